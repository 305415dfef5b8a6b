/** Entries of `GET /containers/json`: which run, and a fingerprint that tells when one must be inspected again. */
import type { Listed } from './engine.ts';

/** The states of a container that has a process; asked for, and checked again as a proxy may drop the filter. */
export const RUNNING_STATES = ['running', 'paused', 'restarting'];

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
    return [{ id: entry.Id, state, fingerprint: fingerprintOf(entry) }];
  });
}

/**
 * Networks carry the id of their endpoint, which is another after every start and connect. Health is only in the text
 * for people; what else that says changes as time goes by.
 */
function fingerprintOf({ Names, State, Status, Ports, NetworkSettings }: Entry): string {
  const ports = Array.isArray(Ports) ? Ports.map((port) => canonical(port)).sort() : [];
  const health =
    typeof Status === 'string' ? /\(((?:un)?healthy|health: \w+)\)/.exec(Status) : null;
  return canonical([State, Names, health?.[1] ?? '', ports, NetworkSettings?.Networks]);
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
