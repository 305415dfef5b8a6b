/**
 * One open event stream: reads whatever comes at once, into a bounded queue, and asks for a sign of life on another
 * connection as an idle stream says nothing about its daemon. Docker's streams close without an end when it dies.
 */
import type { Readable } from 'node:stream';
import { EngineError, type EngineEvent, type EventStream } from './engine.ts';
import { asObject, type JsonObject, parseJson } from './responses.ts';

export interface SubscriptionSource {
  /** Asks for the stream; fulfilled when the daemon has answered. Rejects with an `EngineError`. */
  open(signal: AbortSignal): Promise<Readable>;
  /** Rejects with an `EngineError` when there is no sign of life. */
  ping(): Promise<void>;
  readonly label: string;
  readonly pingEveryMs: number;
  /** Events that may wait for the consumer. */
  readonly maxQueued: number;
}

/** Subscribes; aborting `signal` ends it silently. */
export function subscribe(source: SubscriptionSource, signal: AbortSignal): EventStream {
  const subscription = new Subscription(source, signal);
  const opened = subscription.run();
  opened.catch(() => {}); // the consumer of the events learns it too
  return { opened, [Symbol.asyncIterator]: () => subscription.events() };
}

class Subscription {
  readonly #source: SubscriptionSource;
  readonly #queue: EventQueue<EngineEvent>;
  readonly #lines = new LineSplitter();
  /** Ends the connection. */
  readonly #over = new AbortController();
  readonly #aborted: AbortSignal;
  #pings: NodeJS.Timeout | undefined;

  constructor(source: SubscriptionSource, aborted: AbortSignal) {
    this.#source = source;
    this.#queue = new EventQueue(source.maxQueued);
    this.#aborted = aborted;
  }

  async run(): Promise<void> {
    if (this.#aborted.aborted) {
      this.#onAbort();
      return;
    }
    this.#aborted.addEventListener('abort', this.#onAbort, { once: true });
    try {
      const stream = await this.#source.open(this.#over.signal);
      if (this.#over.signal.aborted) stream.destroy();
      else this.#read(stream);
    } catch (error) {
      if (this.#aborted.aborted) return;
      const failure = error instanceof Error ? error : new Error(String(error));
      this.#fail(failure);
      throw failure;
    }
  }

  async *events(): AsyncGenerator<EngineEvent, void> {
    try {
      yield* this.#queue.drain();
    } finally {
      this.#close();
    }
  }

  #read(stream: Readable): void {
    this.#over.signal.addEventListener('abort', () => stream.destroy(), { once: true });
    stream.on('data', (octets: Buffer) => this.#take(octets));
    stream.on('error', (error) => this.#lose(`the event stream broke: ${error.message}`, error));
    stream.on('close', () => this.#lose('the event stream was closed'));
    this.#pings = setInterval(() => {
      this.#source.ping().catch((error: unknown) => {
        // A refused ping is a sign of life.
        if (error instanceof EngineError && error.code === 'unreachable') this.#fail(error);
      });
    }, this.#source.pingEveryMs);
  }

  #take(octets: Buffer): void {
    const lines = this.#lines.push(octets);
    if (lines === undefined) {
      this.#lose('an event without end');
      return;
    }
    for (const line of lines) {
      const event = parseEvent(line);
      if (event === undefined || this.#queue.push(event)) continue;
      const problem = `over ${this.#source.maxQueued} events wait to be read`;
      this.#queue.drop(new EngineError('unreachable', `${this.#source.label}: ${problem}`));
      this.#close();
      return;
    }
  }

  #lose(what: string, cause?: Error): void {
    const message = `${this.#source.label}: ${what}`;
    this.#fail(new EngineError('unreachable', message, cause && { cause }));
  }

  /** What was read before still reaches the consumer. */
  #fail(error: Error): void {
    this.#queue.end(error);
    this.#close();
  }

  readonly #onAbort = (): void => {
    this.#queue.drop();
    this.#close();
  };

  #close(): void {
    clearInterval(this.#pings);
    this.#aborted.removeEventListener('abort', this.#onAbort);
    this.#over.abort();
  }
}

/**
 * What has been read and not yet asked for. The reader of the socket never waits for the consumer, as the daemon would
 * wait for it; so the queue is bounded, and when it is full the stream has failed.
 */

export class EventQueue<T> {
  readonly #limit: number;
  #items: T[] = [];
  /** Where the first item is that was not consumed. */
  #head = 0;
  #ending: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Gives false, and takes nothing, when it is full. */
  push(item: T): boolean {
    if (this.#ending !== undefined) return true;
    if (this.#items.length - this.#head >= this.#limit) return false;
    this.#items.push(item);
    this.#wake?.();
    return true;
  }

  /** What is queued still comes, then the end: the error thrown, or silence. The first end counts. */
  end(error?: Error): void {
    this.#ending ??= { error };
    this.#wake?.();
  }

  /** Forgets what is queued, and ends. */
  drop(error?: Error): void {
    this.#items = [];
    this.#head = 0;
    this.end(error);
  }

  /** For one consumer. */
  async *drain(): AsyncGenerator<T, void> {
    for (;;) {
      while (this.#head < this.#items.length) yield this.#shift();
      if (this.#ending?.error !== undefined) throw this.#ending.error;
      if (this.#ending !== undefined) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #shift(): T {
    const item = this.#items[this.#head++] as T;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/**
 * The octets of `GET /events` as events. Docker's chunks are not lines, and may end within a character. Whatever is not
 * an event of a container or network that matters here is passed over: filters are a proxy's to ignore.
 */

/**
 * The events to ask for. `health_status` also stands for `health_status: healthy`. Podman's are `died`, for `die` in old
 * versions, and `exec_died`, which ends a HEALTHCHECK: its `health_status` has no verdict and may begin one.
 */
export const ACTIONS = {
  container: [
    'start',
    'die',
    'died',
    'kill',
    'pause',
    'unpause',
    'health_status',
    'exec_died',
    'rename',
    'destroy',
  ],
  network: ['connect', 'disconnect'],
} as const;

/** No line of Docker's comes near: all labels of a container are in it, once. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

/** Cuts a stream of UTF-8 octets into lines. */
export class LineSplitter {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #maxLength: number;
  #pieces: string[] = [];
  #length = 0;

  constructor(maxLength = MAX_LINE_LENGTH) {
    this.#maxLength = maxLength;
  }

  /** Gives the lines that the octets completed, without their ends; `undefined` when a line grows beyond all bounds. */
  push(octets: Uint8Array): readonly string[] | undefined {
    const text = this.#decoder.decode(octets, { stream: true });
    const [first = '', ...others] = text.split('\n');
    this.#pieces.push(first);
    this.#length += first.length;
    if (this.#length > this.#maxLength) return undefined;
    const rest = others.pop();
    if (rest === undefined) return [];
    const lines = [this.#pieces.join(''), ...others];
    this.#pieces = [rest];
    this.#length = rest.length;
    return lines;
  }
}

/** Reads one line; `undefined` if it is no event that matters here. */
export function parseEvent(line: string): EngineEvent | undefined {
  const { Type: type, Action: action, Actor } = asObject(parseJson(line));
  if (type !== 'container' && type !== 'network') return undefined;
  if (typeof action !== 'string' || !matters(type, action)) return undefined;
  const actor = asObject(Actor);
  const attributes = asObject(actor.Attributes);
  const containerId = type === 'container' ? actor.ID : joinedContainer(actor.ID, attributes);
  const timeNano = exactTimeNano(line);
  if (typeof containerId !== 'string' || containerId === '' || timeNano === undefined) {
    return undefined;
  }
  return { type, action, containerId, signal: signalOf(action, attributes), timeNano };
}

/** Docker's event is about a network, whose type it tells, and names the container; Podman's is about the container. */
function joinedContainer(id: unknown, { container, type }: JsonObject): unknown {
  return container === undefined && type === undefined ? id : container;
}

function matters(type: 'container' | 'network', action: string): boolean {
  const colon = action.indexOf(':');
  const verb = colon === -1 ? action : action.slice(0, colon);
  return (ACTIONS[type] as readonly string[]).includes(verb);
}

/** A label named `signal` overwrites the attribute, so it may be any text. */
function signalOf(action: string, attributes: JsonObject): string | undefined {
  const signal = attributes.signal;
  return action === 'kill' && typeof signal === 'string' ? signal : undefined;
}

/**
 * JSON.parse would round it. All attributes are strings and quotes within strings are escaped, so that only the real
 * member matches.
 */
function exactTimeNano(line: string): string | undefined {
  return /"timeNano"\s*:\s*(\d+)/.exec(line)?.[1];
}
