/**
 * Reduces an engine's answers to the members that a registrar reads. The other members may contain secrets: passwords
 * are in the environment, command lines, labels, the engine's proxy settings and the output of health checks. PURE.
 */
import type { EndpointSettings, EngineEvent, Inspection } from './engine.ts';
import { asList, asObject, asText, type JsonObject } from './json.ts';
import { ROOTLESS } from './responses.ts';

/** The kinds of answers that are one JSON document. */
export type ReducedKind = 'info' | 'network' | 'list' | 'inspection';

/** The variables and labels that a registrar reads. */
export interface ReadableMetadata {
  /** Prefixes of names of variables and labels. */
  readonly prefixes: readonly string[];
  /** Whole names of labels. */
  readonly labels: readonly string[];
}

/** Read in every configuration: registrator's settings, and the labels by which Compose and swarm group containers. */
const PREFIXES = ['SERVICE_', 'com.docker.compose.', 'com.docker.swarm.', 'com.docker.stack.'];

/** The links of ambassadord and connectable, read in every configuration. */
const FOREIGN_LINK = /^(?:BACKEND_[0-9]{1,5}(?:=|$)|connect\.[0-9]{1,5}$)/i;

/**
 * Each prefix selects variables and labels, because a registrar reports a label with the name of a variable and the
 * reverse.
 */
export function readableMetadata(
  prefixes: readonly string[],
  labels: readonly string[],
): ReadableMetadata {
  return { prefixes: [...prefixes, ...PREFIXES], labels };
}

/** Returns a member's reduced value; `undefined` leaves the member out. */
type Reduce = (value: unknown) => unknown;

/** One entry for each declared member, so that the compiler reports a forgotten one. */
type Members<T> = { readonly [K in keyof Required<T>]: Reduce };

const keep: Reduce = (value) => value;

/** Returns the part of an answer that passes. A value of an unexpected type counts as an object without members. */
export function reduceAnswer(
  kind: ReducedKind,
  answer: unknown,
  metadata: ReadableMetadata,
): JsonObject | readonly JsonObject[] {
  switch (kind) {
    case 'info':
      return reduced(answer, INFO);
    case 'network':
      return reduced(answer, NETWORK);
    case 'list':
      return reduceList(answer);
    case 'inspection':
      return reduceInspection(answer, metadata);
  }
}

/** The members of `GET /info` that `parseInfo` reads; not the labels, proxies, registries, plugins and warnings. */
const INFO: Readonly<Record<string, Reduce>> = {
  ID: keep,
  Name: keep,
  DockerRootDir: keep,
  KernelVersion: keep,
  SystemTime: keep,
  BuildahVersion: keep,
  ServerVersion: keep,
  OperatingSystem: keep,
  SecurityOptions: (value) => asList(value).filter((option) => option === ROOTLESS),
  FirewallBackend: (value) => reduced(value, { Driver: keep }),
  Swarm: (value) => reduced(value, { NodeAddr: keep }),
};

/**
 * The members of `GET /networks/{id}` that `parseBridge` and `parseDriver` read; not the containers, labels and other
 * options.
 */
const NETWORK: Readonly<Record<string, Reduce>> = {
  Id: keep,
  Driver: keep,
  IPAM: (value) =>
    reduced(value, {
      Config: (configs) => asList(configs).map((config) => reduced(config, { Gateway: keep })),
    }),
  Options: (value) => reduced(value, { 'com.docker.network.bridge.name': keep }),
};

/** Reduces `GET /containers/{id}/json`. */
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

/** Start and exit code of each check, without its output. */
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
  Pid: keep,
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

/**
 * The members of an entry of `GET /containers/json`. Its networks pass whole, because the fingerprint contains them.
 */
const LISTED: Readonly<Record<string, Reduce>> = {
  Id: keep,
  Names: keep,
  State: keep,
  Status: keep,
  Ports: keep,
  NetworkSettings: (value) => ({ Networks: asObject(value).Networks }),
};

/** Reduces `GET /containers/json`. */
export function reduceList(answer: unknown): readonly JsonObject[] {
  return asList(answer).map((entry) => reduced(entry, LISTED));
}

/** Prints an event as a line of JSON in Docker's form, without the container's labels. */
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
  // JSON.stringify would round a number of this size.
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

/** Keeps null, which engines send for an absent part. */
function orNull(reduce: Reduce): Reduce {
  return (value) => (value === null ? null : reduce(value));
}

function readableLabels(value: unknown, metadata: ReadableMetadata): JsonObject {
  const labels = Object.entries(asObject(value));
  return Object.fromEntries(
    labels.filter(([name]) => isReadable(name, metadata) || metadata.labels.includes(name)),
  );
}

/** `name`: of a label, or a variable with its value. */
function isReadable(name: string, { prefixes }: ReadableMetadata): boolean {
  return prefixes.some((prefix) => name.startsWith(prefix)) || FOREIGN_LINK.test(name);
}
