/** JSON of strangers: what is missing or of another type is as empty, and nothing throws. */
import { createHash } from 'node:crypto';
import { addressFamily } from '../../dns/address.ts';
import type {
  DefaultBridge,
  EngineEvent,
  EngineInfo,
  Inspection,
  ListedContainer,
} from './engine.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** `undefined` if the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Without members if it is no object, or a list. */
export function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : {};
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** What an engine's answers say of the engine itself, and a stand-in for the id of an engine that has none. PURE. */

/** Reads `/info`. `undefined`: not the answer of an engine. */
export function parseInfo(answer: unknown): EngineInfo | undefined {
  const info = asObject(answer);
  const id = asText(info.ID);
  if (id === '') return undefined;
  const [name, rootDir] = [asText(info.Name), asText(info.DockerRootDir)];
  const isOwnId = !isPodman(info);
  return {
    id: isOwnId ? id : standInId(name, rootDir),
    isOwnId,
    name,
    nodeAddress: asText(asObject(info.Swarm).NodeAddr) || undefined,
    rootDir: rootDir || undefined,
    kernel: asText(info.KernelVersion) || undefined,
    timeNano: parseInstant(asText(info.SystemTime)),
  };
}

/** Every version of Podman's Docker API adds this field, and Docker has none of that name. */
function isPodman(info: JsonObject): boolean {
  return typeof info.BuildahVersion === 'string';
}

const DIGITS = 12;

/** Podman gives another id with each answer. Where its containers are stored is as stable as the engine itself. */
function standInId(name: string, rootDir: string): string {
  const hash = createHash('sha256').update(JSON.stringify([name, rootDir]));
  return `podman:${name}:${hash.digest('hex').slice(0, DIGITS)}`;
}

/** Reads `/networks/bridge`. Older engines leave out a gateway that they have chosen themselves. */
export function parseBridge(answer: unknown): DefaultBridge {
  const network = asObject(answer);
  const gateways = asList(asObject(network.IPAM).Config).map((each) =>
    asText(asObject(each).Gateway),
  );
  return {
    id: asText(network.Id) || undefined,
    gateway: gateways.find((address) => addressFamily(address) === 4),
    device: asText(asObject(network.Options)['com.docker.network.bridge.name']) || undefined,
  };
}

/** Entries of `GET /containers/json`: which run, and a fingerprint that tells when one must be inspected again. */

/** The states of a container that has a process. The list is asked for without a filter: Podman refuses `restarting`. */
const RUNNING_STATES = ['running', 'paused', 'restarting'];

interface ListEntry {
  readonly Id?: unknown;
  readonly Names?: unknown;
  readonly State?: unknown;
  readonly Status?: unknown;
  readonly Ports?: unknown;
  readonly NetworkSettings?: { readonly Networks?: unknown } | null;
}

/** Gives the running ones; `undefined` if the answer is not a list. */
export function parseListing(answer: unknown): readonly ListedContainer[] | undefined {
  if (!Array.isArray(answer)) return undefined;
  return answer.flatMap((entry: ListEntry | null) => {
    if (typeof entry?.Id !== 'string' || typeof entry.State !== 'string') return [];
    const state = entry.State.toLowerCase();
    if (!RUNNING_STATES.includes(state)) return [];
    return [
      { id: entry.Id, state, health: listedHealth(entry), fingerprint: fingerprintOf(entry) },
    ];
  });
}

/** Only the text for people tells it; what else that says changes as time goes by. */
function listedHealth({ Status }: ListEntry): string | undefined {
  if (typeof Status !== 'string') return undefined;
  return /\((?:health: )?((?:un)?healthy|starting)\)/.exec(Status)?.[1];
}

/** Networks carry the id of their endpoint, which is another after every start and connect. */
function fingerprintOf(entry: ListEntry): string {
  const { Names, State, Ports, NetworkSettings } = entry;
  const ports = Array.isArray(Ports) ? Ports.map((port) => canonical(port)).sort() : [];
  return canonical([State, Names, listedHealth(entry) ?? '', ports, NetworkSettings?.Networks]);
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** A container's lives: one id, another StartedAt each time. */

const SHORT_ID_DIGITS = 12;

/** As people and stamps have it. */
export function shortId(id: string): string {
  return id.slice(0, SHORT_ID_DIGITS);
}

/** Whether the event happened before the life that was inspected began: both times are the daemon's. */
export function precedesLife({ timeNano }: EngineEvent, { State }: Inspection): boolean {
  const startedNano = parseInstant(State?.StartedAt ?? '');
  const eventNano = parseNano(timeNano);
  return startedNano !== undefined && eventNano !== undefined && eventNano < startedNano;
}

/**
 * RFC 3339 as engines write it, with up to nine digits of a second and in any zone (Docker's health log and Podman have
 * the host's), in nanoseconds since 1970.
 */
export function parseInstant(text: string): bigint | undefined {
  const [, seconds, fraction = '', zone] =
    /^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})$/.exec(
      text,
    ) ?? [];
  const ms = Date.parse(`${seconds}${zone}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

/** The same of an event's time, which is such a number as text. */
export function parseNano(text: string): bigint | undefined {
  return /^[0-9]{1,30}$/.test(text) ? BigInt(text) : undefined;
}
