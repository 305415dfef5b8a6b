/** Entries of `GET /containers/json`: which run, and a fingerprint that tells when one must be inspected again. */
import type { Listed } from './engine.ts';

/** The states of a container that has a process. The list is asked for without a filter: Podman refuses `restarting`. */
const RUNNING_STATES = ['running', 'paused', 'restarting'];

interface Entry {
  readonly Id?: unknown;
  readonly Names?: unknown;
  readonly State?: unknown;
  readonly Status?: unknown;
  readonly Ports?: unknown;
  readonly NetworkSettings?: { readonly Networks?: unknown } | null;
}

/** Gives the running ones; `undefined` if the answer is not a list. */
export function parseListing(answer: unknown): readonly Listed[] | undefined {
  if (!Array.isArray(answer)) return undefined;
  return answer.flatMap((entry: Entry | null) => {
    if (typeof entry?.Id !== 'string' || typeof entry.State !== 'string') return [];
    const state = entry.State.toLowerCase();
    if (!RUNNING_STATES.includes(state)) return [];
    return [{ id: entry.Id, state, health: healthOf(entry), fingerprint: fingerprintOf(entry) }];
  });
}

/** Only the text for people tells it; what else that says changes as time goes by. */
function healthOf({ Status }: Entry): string | undefined {
  if (typeof Status !== 'string') return undefined;
  return /\((?:health: )?((?:un)?healthy|starting)\)/.exec(Status)?.[1];
}

/** Networks carry the id of their endpoint, which is another after every start and connect. */
function fingerprintOf(entry: Entry): string {
  const { Names, State, Ports, NetworkSettings } = entry;
  const ports = Array.isArray(Ports) ? Ports.map((port) => canonical(port)).sort() : [];
  return canonical([State, Names, healthOf(entry) ?? '', ports, NetworkSettings?.Networks]);
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
