/** Writes the messages of one thread into its ring. Used by workers and by the main thread; allocates nothing per message. */
import { MessageEncoder, type TappedExchange } from './messageEncoder.ts';
import { TapRingWriter } from './tapRing.ts';

/** What a thread needs for its messages. It can be posted to the thread. */
export interface TapStart {
  readonly memory: SharedArrayBuffer;
  /** Each thread writes one of so many exchanges. */
  readonly sample: number;
  readonly identity: string | undefined;
  readonly version: string;
}

/** The clocks of the system are read in milliseconds and in fractions of them; a larger difference is a step. */
const MOST_DRIFT_MS = 2;

export class TapWriter {
  /** Fill it before `add`. */
  readonly exchange: TappedExchange;
  readonly #ring: TapRingWriter;
  readonly #encoder: MessageEncoder;
  #at = 0;
  #originMs = Date.now() - performance.now();

  constructor({ memory, identity, version }: TapStart, thread: number) {
    this.#ring = new TapRingWriter(memory, thread);
    this.#encoder = new MessageEncoder(this.#ring.octets, identity, version);
    this.exchange = this.#encoder.exchange;
  }

  /** Makes room for so many messages, with so many octets of DNS. False: there is none, so call `drop`. */
  open(messages: number, octets: number): boolean {
    this.#at = this.#ring.reserve(this.#encoder.mostOctets(messages, octets));
    return this.#at >= 0;
  }

  /** Writes a message about `exchange`. `isResponse`: it has the reply, and the time of the reply. */
  add(type: number, isResponse: boolean, from: Uint8Array, fromAt: number, length: number): void {
    this.#at = this.#encoder.encode(this.#at, type, isResponse, from, fromAt, length);
  }

  /** Changes the type of the message that was added last. */
  retype(type: number): void {
    this.#encoder.retype(type);
  }

  /** Keeps the messages that were added since `open`; without it they are forgotten. */
  commit(): void {
    this.#ring.commit(this.#at);
  }

  drop(messages: number): void {
    this.#ring.drop(messages);
  }

  /** Shows the messages to the main thread. True if it sleeps, and the caller must wake it. */
  publish(): boolean {
    return this.#ring.publish();
  }

  /**
   * Milliseconds since 1970, with fractions, at a moment of `performance.now`, which must be now or a moment ago. That
   * clock does not follow steps of the system's, so this function does.
   */
  wallMs(nowMs: number): number {
    const driftMs = Date.now() - nowMs - this.#originMs;
    if (driftMs > MOST_DRIFT_MS || driftMs < -MOST_DRIFT_MS) this.#originMs += driftMs;
    return this.#originMs + nowMs;
  }

  /** As `wallMs`, a moment after a call of that: it does not look for a step. */
  soonMs(nowMs: number): number {
    return this.#originMs + nowMs;
  }
}
