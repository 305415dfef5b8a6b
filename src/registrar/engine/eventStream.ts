/**
 * One open event stream: the engine's octets become lines, lines become events, events wait in a bounded queue, and one
 * consumer iterates over the queue.
 *
 * The socket is always read at once, because the engine waits for a client that does not read. An idle stream does not
 * show whether the engine still runs, so pings are sent on another connection. When Docker dies, its streams close
 * without an end.
 */
import type { Readable } from 'node:stream';
import { EngineError, type EngineEvent, type EventStream } from './engine.ts';
import { LineSplitter, parseEvent } from './eventLines.ts';

export interface SubscriptionSource {
  /** Requests the stream; fulfilled when the engine has answered. Rejects with an `EngineError`. */
  open(signal: AbortSignal): Promise<Readable>;
  /** Rejects with an `EngineError` when the engine does not answer. */
  ping(): Promise<void>;
  readonly label: string;
  readonly pingEveryMs: number;
  /** The number of events that may wait for the consumer. One more ends the stream with an error. */
  readonly maxQueued: number;
}

/** Subscribes. Aborting `signal` ends the stream without an error. */
export function subscribe(source: SubscriptionSource, signal: AbortSignal): EventStream {
  const subscription = new Subscription(source, signal);
  const opened = subscription.run();
  opened.catch(() => {}); // the iterator throws the same error
  return { opened, [Symbol.asyncIterator]: () => subscription.events() };
}

class Subscription {
  readonly #source: SubscriptionSource;
  readonly #queue: EventQueue<EngineEvent>;
  readonly #lines = new LineSplitter();
  readonly #aborted: AbortSignal;
  /** Ends the connection. */
  readonly #closed = new AbortController();
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
      const stream = await this.#source.open(this.#closed.signal);
      if (this.#closed.signal.aborted) stream.destroy();
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
    this.#closed.signal.addEventListener('abort', () => stream.destroy(), { once: true });
    stream.on('data', (octets: Buffer) => this.#onOctets(octets));
    stream.on('error', (error) => this.#lose(`the event stream broke: ${error.message}`, error));
    stream.on('close', () => this.#lose('the event stream was closed'));
    this.#pings = setInterval(() => {
      this.#source.ping().catch((error: unknown) => {
        // An engine that refuses a ping is alive.
        if (error instanceof EngineError && error.code === 'unreachable') this.#fail(error);
      });
    }, this.#source.pingEveryMs);
  }

  #onOctets(octets: Buffer): void {
    const lines = this.#lines.push(octets);
    if (lines === undefined) {
      this.#lose('an event is too long');
      return;
    }
    for (const line of lines) {
      const event = parseEvent(line);
      if (event === undefined || this.#queue.push(event)) continue;
      const problem = `more than ${this.#source.maxQueued} events are waiting`;
      this.#queue.drop(new EngineError('unreachable', `${this.#source.label}: ${problem}`));
      this.#close();
      return;
    }
  }

  #lose(problem: string, cause?: Error): void {
    const message = `${this.#source.label}: ${problem}`;
    this.#fail(new EngineError('unreachable', message, cause && { cause }));
  }

  /** The consumer receives the queued events before the error. */
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
    this.#closed.abort();
  }
}

/** Items that the consumer has not taken. */
export class EventQueue<T> {
  readonly #limit: number;
  #items: T[] = [];
  /** Index of the next item for the consumer. */
  #head = 0;
  #ending: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Returns false, and does not take the item, when the queue is full. */
  push(item: T): boolean {
    if (this.#ending !== undefined) return true;
    if (this.#items.length - this.#head >= this.#limit) return false;
    this.#items.push(item);
    this.#wake?.();
    return true;
  }

  /** Ends the queue: after the last item the consumer gets the error, or the end. Later calls have no effect. */
  end(error?: Error): void {
    this.#ending ??= { error };
    this.#wake?.();
  }

  /** Removes all items and ends the queue. */
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
