/** Parses the engine's answers about itself, its default bridge and its containers. Pure. */
import { createHash } from 'node:crypto';
import { addressFamily } from '../../dns/address.ts';
import { asContainerId } from './containerId.ts';
import type { DefaultBridge, EngineInfo, EnginePlatform, ListedContainer } from './engine.ts';
import { parseInstant } from './instants.ts';
import { asList, asObject, asText, type JsonObject } from './json.ts';

/** Parses `/info`; `undefined` if the answer is not an engine's. */
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
    platform: {
      kind: platformOf(info),
      version: asText(info.ServerVersion) || undefined,
      firewall: asText(asObject(info.FirewallBackend).Driver) || undefined,
    },
  };
}

function platformOf(info: JsonObject): EnginePlatform['kind'] {
  if (isPodman(info)) return 'podman';
  if (asText(info.OperatingSystem) === DESKTOP) return 'desktop';
  return asList(info.SecurityOptions).includes(ROOTLESS) ? 'rootless' : 'docker';
}

/** The name of Docker Desktop's virtual machine. */
const DESKTOP = 'Docker Desktop';
export const ROOTLESS = 'name=rootless';

/** Every version of Podman's Docker API adds this field. Docker has no field of that name. */
function isPodman(info: JsonObject): boolean {
  return typeof info.BuildahVersion === 'string';
}

const STAND_IN_DIGITS = 12;

/**
 * Podman's id differs in each answer. The name of its host and the folder of its containers last as long as the engine.
 */
function standInId(name: string, rootDir: string): string {
  const hash = createHash('sha256').update(JSON.stringify([name, rootDir]));
  return `podman:${name}:${hash.digest('hex').slice(0, STAND_IN_DIGITS)}`;
}

/** Parses `/networks/bridge`. Older engines omit a gateway that they chose themselves. */
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

/** Parses `/networks/{id}`; `undefined` if the answer is not a network. */
export function parseDriver(answer: unknown): string | undefined {
  return asText(asObject(answer).Driver) || undefined;
}

/** The states of a container that has a process. The request has no filter, because Podman refuses `restarting`. */
const RUNNING_STATES = ['running', 'paused', 'restarting'];

interface ListEntry {
  readonly Id?: unknown;
  readonly Names?: unknown;
  readonly State?: unknown;
  readonly Status?: unknown;
  readonly Ports?: unknown;
  readonly NetworkSettings?: { readonly Networks?: unknown } | null;
}

/** Parses `GET /containers/json` and keeps the running containers; `undefined` if the answer is not a list. */
export function parseListing(answer: unknown): readonly ListedContainer[] | undefined {
  if (!Array.isArray(answer)) return undefined;
  return answer.flatMap((entry: ListEntry | null) => {
    if (typeof entry?.Id !== 'string' || typeof entry.State !== 'string') return [];
    const state = entry.State.toLowerCase();
    if (!RUNNING_STATES.includes(state)) return [];
    return [
      {
        id: asContainerId(entry.Id),
        state,
        health: listedHealth(entry),
        fingerprint: fingerprintOf(entry),
      },
    ];
  });
}

/**
 * A list contains the health only in a text for people, such as `Up 2 minutes (healthy)`. The rest of that text changes
 * with time.
 */
function listedHealth({ Status }: ListEntry): string | undefined {
  if (typeof Status !== 'string') return undefined;
  return /\((?:health: )?((?:un)?healthy|starting)\)/.exec(Status)?.[1];
}

/**
 * Contains all members of the networks: each network has the id of the container's endpoint, which changes at every
 * start and connect.
 */
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
