/**
 * What is left of an engine's answers before they pass to a registrar: the members that it reads. The others may hold
 * secrets: passwords are in the environment, in command lines, in labels, in the engine's proxy settings and in the output
 * of health checks. PURE.
 */
import type { EndpointSettings, EngineEvent, Inspection } from './engine.ts';
import { asList, asObject, asText, type JsonObject } from './json.ts';

/** The answers that are JSON and are reduced as a whole. */
export type ReducedKind = 'info' | 'bridge' | 'list' | 'inspection';

/** Which variables and labels a registrar reads. */
export interface ReadableMetadata {
  /** Begin the name of a variable or of a label. */
  readonly prefixes: readonly string[];
  /** Whole names of labels. */
  readonly labels: readonly string[];
}

/** What is read without being configured: registrator's settings, and where Compose and swarm say what belongs together. */
const PREFIXES = ['SERVICE_', 'com.docker.compose.', 'com.docker.swarm.', 'com.docker.stack.'];

/** `prefixes`: the metadata's, for variables and labels alike, as a registrar explains which of the two is meant. */
export function readableMetadata(
  prefixes: readonly string[],
  labels: readonly string[],
): ReadableMetadata {
  return { prefixes: [...prefixes, ...PREFIXES], labels };
}

/** A member's new value, from what the engine sent; `undefined` leaves it out. */
type Reduce = (value: unknown) => unknown;

/** One for each member that is declared, so that none is forgotten. */
type Members<T> = { readonly [K in keyof Required<T>]: Reduce };

const keep: Reduce = (value) => value;

/** What passes of an answer: of another type than expected, as much as if it had no members. */
export function reduceAnswer(
  kind: ReducedKind,
  answer: unknown,
  metadata: ReadableMetadata,
): JsonObject | readonly JsonObject[] {
  switch (kind) {
    case 'info':
      return reduced(answer, INFO);
    case 'bridge':
      return reduced(answer, BRIDGE);
    case 'list':
      return reduceList(answer);
    case 'inspection':
      return reduceInspection(answer, metadata);
  }
}

/** Of `GET /info`, what `parseInfo` reads: not the engine's labels, proxies, registries, plugins and warnings. */
const INFO: Readonly<Record<string, Reduce>> = {
  ID: keep,
  Name: keep,
  DockerRootDir: keep,
  KernelVersion: keep,
  SystemTime: keep,
  BuildahVersion: keep,
  Swarm: (value) => reduced(value, { NodeAddr: keep }),
};

/** Of `GET /networks/bridge`, what `parseBridge` reads: not the network's containers, labels and other options. */
const BRIDGE: Readonly<Record<string, Reduce>> = {
  Id: keep,
  IPAM: (value) =>
    reduced(value, {
      Config: (configs) => asList(configs).map((config) => reduced(config, { Gateway: keep })),
    }),
  Options: (value) => reduced(value, { 'com.docker.network.bridge.name': keep }),
};

/** Of `GET /containers/{id}/json`. */
export function reduceInspection(answer: unknown, metadata: ReadableMetadata): JsonObject {
  const config: Members<NonNullable<Inspection['Config']>> = {
    Hostname: keep,
    Image: keep,
    Env: (value) => asList(value).filter((variable) => isReadable(asText(variable), metadata)),
    Labels: (value) => readableLabels(value, metadata),
    ExposedPorts: keep,
    StopSignal: keep,
    StopTimeout: keep,
    Healthcheck: orNull((value) => ({ Test: asList(asObject(value).Test).slice(0, 1) })),
  };
  const members: Members<Inspection> = { ...INSPECTION, Config: (value) => reduced(value, config) };
  return reduced(answer, members);
}

/** When a check ran and how it ended, without what it printed. */
const HEALTH: Readonly<Record<string, Reduce>> = {
  Status: keep,
  Log: (value) => asList(value).map((result) => reduced(result, { Start: keep, ExitCode: keep })),
};

const STATE: Members<NonNullable<Inspection['State']>> = {
  Status: keep,
  Running: keep,
  Paused: keep,
  Restarting: keep,
  StartedAt: keep,
  Health: orNull((value) => reduced(value, HEALTH)),
};

const HOST_CONFIG: Members<NonNullable<Inspection['HostConfig']>> = {
  NetworkMode: keep,
  PortBindings: keep,
  PublishAllPorts: keep,
};

const ENDPOINT: Members<EndpointSettings> = {
  NetworkID: keep,
  IPAddress: keep,
  GlobalIPv6Address: keep,
};

const NETWORK_SETTINGS: Members<NonNullable<Inspection['NetworkSettings']>> = {
  IPAddress: keep,
  GlobalIPv6Address: keep,
  Ports: keep,
  Networks: (value) => eachMember(value, (endpoint) => reduced(endpoint, ENDPOINT)),
};

const INSPECTION: Omit<Members<Inspection>, 'Config'> = {
  Id: keep,
  Name: keep,
  State: (value) => reduced(value, STATE),
  HostConfig: (value) => reduced(value, HOST_CONFIG),
  NetworkSettings: (value) => reduced(value, NETWORK_SETTINGS),
};

/** Of an entry of `GET /containers/json`: its networks are compared whole. */
const LISTED: Readonly<Record<string, Reduce>> = {
  Id: keep,
  Names: keep,
  State: keep,
  Status: keep,
  Ports: keep,
  NetworkSettings: (value) => ({ Networks: asObject(value).Networks }),
};

/** Of `GET /containers/json`. */
export function reduceList(answer: unknown): readonly JsonObject[] {
  return asList(answer).map((entry) => reduced(entry, LISTED));
}

/** An event as a line of JSON in Docker's form, without the container's labels. */
export function printEvent(event: EngineEvent): string {
  const { type, action, containerId, signal, timeNano } = event;
  const isOfContainer = type === 'container';
  const attributes = isOfContainer ? { signal } : { container: containerId, type: 'network' };
  const text = JSON.stringify({
    Type: type,
    Action: action,
    Actor: { ID: isOfContainer ? containerId : '', Attributes: attributes },
    scope: 'local',
  });
  // A number of this size would be rounded.
  return `${text.slice(0, -1)},"timeNano":${timeNano}}\n`;
}

function reduced(value: unknown, members: Readonly<Record<string, Reduce>>): JsonObject {
  const object = asObject(value);
  const kept = Object.entries(members).flatMap(([name, reduce]) => {
    const member = Object.hasOwn(object, name) ? reduce(object[name]) : undefined;
    return member === undefined ? [] : [[name, member] as const];
  });
  return Object.fromEntries(kept);
}

function eachMember(value: unknown, reduce: Reduce): JsonObject {
  return Object.fromEntries(
    Object.entries(asObject(value)).map(([name, member]) => [name, reduce(member)]),
  );
}

/** Engines say null for what a container does not have. */
function orNull(reduce: Reduce): Reduce {
  return (value) => (value === null ? null : reduce(value));
}

function readableLabels(value: unknown, metadata: ReadableMetadata): JsonObject {
  const labels = Object.entries(asObject(value));
  return Object.fromEntries(
    labels.filter(([name]) => isReadable(name, metadata) || metadata.labels.includes(name)),
  );
}

function isReadable(name: string, { prefixes }: ReadableMetadata): boolean {
  return prefixes.some((prefix) => name.startsWith(prefix));
}
