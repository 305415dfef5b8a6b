/**
 * The real engine: Docker's HTTP API through dockerode. Paths contain no API version, because engines refuse versions
 * that are too old or too new for them. Every call has a deadline; an open event stream has none.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { withDeadline } from '../../timing/deadline.ts';
import type { ContainerId } from './containerId.ts';
import { createDocker } from './createDocker.ts';
import { type EngineEndpoint, endpointLabel } from './endpoint.ts';
import {
  type DefaultBridge,
  type Engine,
  EngineError,
  type EngineEvent,
  type EngineInfo,
  type EventStream,
  type Inspection,
  type ListedContainer,
} from './engine.ts';
import { ACTIONS, LineSplitter, parseEvent } from './eventLines.ts';
import { subscribe } from './eventStream.ts';
import { asObject } from './json.ts';
import { parseBridge, parseDriver, parseInfo, parseListing } from './responses.ts';

export interface EngineTimes {
  /** The limit of each call, including connecting and reading. */
  readonly callTimeoutMs?: number;
  /** The interval of pings while the event stream is open. */
  readonly pingEveryMs?: number;
  /** Events that may wait for the consumer. */
  readonly maxQueuedEvents?: number;
}

const CALL_TIMEOUT_MS = 5000;
const PING_EVERY_MS = 10_000;
const MAX_QUEUED_EVENTS = 100_000;
const TCP_KEEPALIVE_MS = 10_000;

/** Connects with the first call. Every rejection is an `EngineError`. */
export function connectEngine(endpoint: EngineEndpoint, times: EngineTimes = {}): Engine {
  return new DockerodeEngine(endpoint, times);
}

/** The part of dockerode that this file uses. dockerode's own types lack the abort signal, which it passes on. */
interface ReadOnlyDocker {
  ping(options: DockerCallOptions): Promise<unknown>;
  info(options: DockerCallOptions): Promise<unknown>;
  listContainers(options: DockerCallOptions): Promise<unknown>;
  getContainer(id: string): { inspect(options: DockerCallOptions): Promise<unknown> };
  getNetwork(id: string): { inspect(): Promise<unknown> };
  getEvents(options: DockerCallOptions & EventParameters): Promise<Readable>;
}

interface DockerCallOptions {
  readonly abortSignal: AbortSignal;
}

interface EventParameters {
  readonly filters?: object;
  /** Seconds since 1970, with a fraction. */
  readonly since?: string;
  /** In the form of `since`. */
  readonly until?: string;
}

/** Excludes events that `parseEvent` would skip. */
const EVENT_FILTERS = {
  type: Object.keys(ACTIONS),
  event: [...ACTIONS.container, ...ACTIONS.network],
};

const SIGNAL_FILTERS = { type: ['container'], event: ['kill'] };

class DockerodeEngine implements Engine {
  readonly label: string;
  readonly #agent: HttpAgent;
  readonly #docker: ReadOnlyDocker;
  readonly #closed = new AbortController();
  readonly #calls = new Set<AbortController>();
  readonly #times: Required<EngineTimes>;

  constructor(endpoint: EngineEndpoint, times: EngineTimes) {
    this.label = endpointLabel(endpoint);
    this.#times = {
      callTimeoutMs: times.callTimeoutMs ?? CALL_TIMEOUT_MS,
      pingEveryMs: times.pingEveryMs ?? PING_EVERY_MS,
      maxQueuedEvents: times.maxQueuedEvents ?? MAX_QUEUED_EVENTS,
    };
    const agentOptions = { keepAlive: true, keepAliveMsecs: TCP_KEEPALIVE_MS };
    const isTls = endpoint.kind === 'tcp' && endpoint.tls !== undefined;
    this.#agent = opaque(isTls ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions));
    this.#docker = createDocker(endpoint, this.#agent) as unknown as ReadOnlyDocker;
  }

  async info(): Promise<EngineInfo> {
    const answer = await this.#call('info', (options) => this.#docker.info(options));
    const info = parseInfo(answer);
    if (info === undefined) throw this.#notUnderstood('info');
    return info;
  }

  async defaultBridge(): Promise<DefaultBridge | undefined> {
    const network = await this.#network('bridge');
    return network === undefined ? undefined : parseBridge(network);
  }

  async networkDriver(networkId: string): Promise<string | undefined> {
    const network = await this.#network(encodeURIComponent(networkId));
    if (network === undefined) return undefined;
    const driver = parseDriver(network);
    if (driver === undefined) throw this.#notUnderstood('network');
    return driver;
  }

  async list(): Promise<readonly ListedContainer[]> {
    const answer = await this.#call('list', (options) => this.#docker.listContainers(options));
    const list = parseListing(answer);
    if (list === undefined) throw this.#notUnderstood('list');
    return list;
  }

  async inspect(id: ContainerId): Promise<Inspection | undefined> {
    const container = this.#docker.getContainer(encodeURIComponent(id));
    try {
      const answer = await this.#call('inspect', (options) => container.inspect(options));
      if (!isInspection(answer)) throw this.#notUnderstood('inspect');
      return answer;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  events(sinceNano: string | undefined, signal: AbortSignal): EventStream {
    const { pingEveryMs, maxQueuedEvents } = this.#times;
    const since = sinceNano === undefined ? {} : { since: secondsOf(sinceNano) };
    const source = {
      label: this.label,
      pingEveryMs,
      maxQueued: maxQueuedEvents,
      ping: () => this.ping(),
      open: (abortSignal: AbortSignal) => this.#openEvents(opaque(abortSignal), since),
    };
    return subscribe(source, AbortSignal.any([signal, this.#closed.signal]));
  }

  async signals(sinceNano: bigint, untilNano: bigint): Promise<readonly EngineEvent[]> {
    const query = { since: secondsOf(`${sinceNano}`), until: secondsOf(`${untilNano}`) };
    return this.#call('events', async (options) => {
      const stream = await this.#docker.getEvents({
        filters: SIGNAL_FILTERS,
        ...query,
        ...options,
      });
      return readSignals(stream, this.#times.maxQueuedEvents);
    });
  }

  async ping(): Promise<void> {
    await this.#call('ping', (options) => this.#docker.ping(options));
  }

  close(): void {
    this.#closed.abort();
    for (const call of this.#calls) call.abort();
    this.#agent.destroy();
  }

  async #network(id: string): Promise<unknown> {
    const network = this.#docker.getNetwork(id);
    try {
      // Without a signal, because dockerode would put it into the query.
      return await this.#call('network', () => network.inspect());
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Filters are optional: after a refusal the request is repeated without them. */
  async #openEvents(abortSignal: AbortSignal, since: EventParameters): Promise<Readable> {
    const open = (query: EventParameters): Promise<Readable> =>
      this.#within('events', this.#times.callTimeoutMs, () =>
        this.#docker.getEvents({ abortSignal, ...query }),
      );
    try {
      return await open({ filters: EVENT_FILTERS, ...since });
    } catch (error) {
      if (!isRefusedQuery(error)) throw error;
      return open(since);
    }
  }

  /** Makes a call and aborts it at its deadline. */
  async #call<T>(name: string, start: (options: DockerCallOptions) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    this.#calls.add(abort);
    const abortSignal = opaque(abort.signal);
    try {
      return await this.#within(name, this.#times.callTimeoutMs, () => start({ abortSignal }));
    } finally {
      this.#calls.delete(abort);
      abort.abort();
    }
  }

  /**
   * Limits the time of a call. Necessary, because dockerode's promise never settles when the answer ends in the middle.
   */
  async #within<T>(name: string, timeoutMs: number, start: () => Promise<T>): Promise<T> {
    try {
      return await withDeadline(start(), timeoutMs, () => {
        throw new Error(`no answer within ${timeoutMs} ms`);
      });
    } catch (error) {
      throw engineFailure(this.label, name, error);
    }
  }

  #notUnderstood(call: string): EngineError {
    return new EngineError('failed', `${this.label}: ${call}: the answer is not a Docker engine's`);
  }
}

/**
 * Hides a value from `inspect`. docker-modem formats its options for a debug line on every call, even without
 * debugging. With whole agents and signals that takes milliseconds, and more with every open connection.
 */
function opaque<T extends object>(value: T): T {
  return Object.defineProperty(value, inspect.custom, { value: () => '' });
}

/** Reads to the end of the answer; the deadline of the call limits the time. */
async function readSignals(stream: Readable, max: number): Promise<readonly EngineEvent[]> {
  const lines = new LineSplitter();
  const events: EngineEvent[] = [];
  for await (const octets of stream) {
    for (const line of lines.push(octets as Buffer) ?? []) {
      const event = parseEvent(line);
      if (event?.action === 'kill') events.push(event);
    }
    if (events.length > max) break;
  }
  return events;
}

/** Docker's form of a time: seconds with a fraction. */
function secondsOf(nano: string): string {
  const digits = nano.padStart(10, '0');
  return `${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

function isInspection(answer: unknown): answer is Inspection {
  return typeof (answer as { Id?: unknown } | null)?.Id === 'string';
}

function isNotFound(error: unknown): boolean {
  return error instanceof EngineError && httpStatusOf(error.cause) === 404;
}

/** Whether the engine refused the query. It may accept the same query without filters. */
function isRefusedQuery(error: unknown): boolean {
  return (
    error instanceof EngineError && error.code === 'failed' && httpStatusOf(error.cause) !== 404
  );
}

/** A proxy answers these when it cannot reach its engine, and an engine while it starts. */
const GATEWAY_STATUSES = [502, 503, 504];

/** The failure of a call, with the engine and the call in its message, and the cause. */
function engineFailure(engine: string, call: string, cause: unknown): EngineError {
  if (cause instanceof EngineError) return cause;
  const code = failureCodeOf(cause);
  const because = cause instanceof Error ? cause.message.trim() : String(cause);
  return new EngineError(code, `${engine}: ${call}: ${because}${adviceOn(code, cause)}`, { cause });
}

/** The HTTP status of the engine's or the proxy's answer. */
function httpStatusOf(cause: unknown): number | undefined {
  const status = asObject(cause).statusCode;
  return typeof status === 'number' ? status : undefined;
}

function failureCodeOf(cause: unknown): EngineError['code'] {
  const status = httpStatusOf(cause);
  if (status === 401 || status === 403) return 'denied';
  if (status !== undefined) return GATEWAY_STATUSES.includes(status) ? 'unreachable' : 'failed';
  const errno = asObject(cause).code;
  return errno === 'EACCES' || errno === 'EPERM' ? 'denied' : 'unreachable';
}

function adviceOn(code: EngineError['code'], cause: unknown): string {
  if (code !== 'denied') return '';
  return httpStatusOf(cause) === undefined
    ? ' (run soradns as root or in the group that owns the socket)'
    : ' (allow this request in the proxy in front of the engine)';
}
