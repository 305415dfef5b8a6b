/**
 * One open event stream: reads whatever comes at once, into a bounded queue, and asks for a sign of life on another
 * connection as an idle stream says nothing about its daemon. Docker's streams close without an end when it dies.
 */
import type { Readable } from 'node:stream';
import { EngineError, type EngineEvent, type EventStream } from './engine.ts';
import { LineSplitter, parseEvent } from './eventLines.ts';
import { EventQueue } from './eventQueue.ts';

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
