/**
 * What the two threads of a `SpliceCarrier` tell each other. The proxy's thread sends orders, the carrying thread sends
 * reports; each wakes the other only once for many.
 *
 * The proxy must be able to take an attempt back until the moment at which the backend gets the client's first octet,
 * and must know at once whether it could. So both threads decide that in shared memory: an attempt is offered, and then
 * either taken by the carrying thread or cancelled by the proxy's. There is one word for each descriptor of a client.
 */
import type { SocketAddress } from '../../../dns/address.ts';

export type SpliceOrder =
  /** Accept clients from a listening socket. It belongs to the carrying thread until `unlistened`. */
  | { readonly kind: 'listen'; readonly listener: number; readonly fd: number }
  | { readonly kind: 'unlisten'; readonly listener: number }
  | {
      readonly kind: 'connect';
      readonly client: number;
      readonly attempt: number;
      readonly to: SocketAddress;
      readonly header: Uint8Array | undefined;
    }
  | { readonly kind: 'cancel'; readonly client: number; readonly attempt: number }
  | { readonly kind: 'reset'; readonly client: number }
  | { readonly kind: 'end' };

export type SpliceReport =
  | {
      readonly kind: 'accepted';
      readonly listener: number;
      /** No other client ever has the number. */
      readonly client: number;
      readonly fd: number;
      readonly peer: SocketAddress | undefined;
    }
  | { readonly kind: 'acceptFailed'; readonly listener: number; readonly errno: number }
  /** The socket is closed. */
  | { readonly kind: 'unlistened'; readonly listener: number }
  | { readonly kind: 'connected'; readonly client: number; readonly attempt: number }
  | {
      readonly kind: 'failed';
      readonly client: number;
      readonly attempt: number;
      readonly errno: number;
    }
  /** Follows `connected`. */
  | { readonly kind: 'closed'; readonly client: number };

export interface SpliceThreadStart {
  readonly memory: SharedArrayBuffer;
  /** The descriptor of the signal that there are orders. */
  readonly signal: number;
  /** Clients get numbers from here on. */
  readonly firstClient: number;
}

/** Descriptors of clients that have a word. The system's limit for a process is rarely higher. */
const MAX_DESCRIPTORS = 1 << 20;
const OCTET_COUNTS = 2;
const COUNTS_OCTETS = OCTET_COUNTS * Float64Array.BYTES_PER_ELEMENT;

/** States of an attempt, in the low bits of its word; its number is in the other bits. */
const OFFERED = 1;
const TAKEN = 2;
const CANCELLED = 3;
const STATE_BITS = 2;
/** Numbers of attempts begin anew after this one. */
const MAX_ATTEMPT = 2 ** 29 - 1;

/** The memory that both threads use. Pages that were never written cost nothing. */
export class SpliceMemory {
  readonly memory: SharedArrayBuffer;
  readonly #counts: Float64Array;
  readonly #words: Int32Array;

  constructor(memory?: SharedArrayBuffer) {
    const octets = COUNTS_OCTETS + MAX_DESCRIPTORS * Int32Array.BYTES_PER_ELEMENT;
    this.memory = memory ?? new SharedArrayBuffer(octets);
    this.#counts = new Float64Array(this.memory, 0, OCTET_COUNTS);
    this.#words = new Int32Array(this.memory, COUNTS_OCTETS);
  }

  get toBackends(): number {
    return this.#counts[0] ?? 0;
  }

  get toClients(): number {
    return this.#counts[1] ?? 0;
  }

  /** Only the carrying thread counts. */
  count(toBackends: number, toClients: number): void {
    this.#counts[0] = this.toBackends + toBackends;
    this.#counts[1] = this.toClients + toClients;
  }

  hasWordFor(fd: number): boolean {
    return fd < MAX_DESCRIPTORS;
  }

  nextAttempt(attempt: number): number {
    return attempt >= MAX_ATTEMPT ? 1 : attempt + 1;
  }

  /** The proxy's thread offers an attempt before it orders it. */
  offer(fd: number, attempt: number): void {
    Atomics.store(this.#words, fd, word(attempt, OFFERED));
  }

  /** Returns false if it was taken. */
  cancel(fd: number, attempt: number): boolean {
    return this.#decide(fd, attempt, CANCELLED);
  }

  /** Returns false if it was cancelled. */
  take(fd: number, attempt: number): boolean {
    return this.#decide(fd, attempt, TAKEN);
  }

  #decide(fd: number, attempt: number, state: number): boolean {
    const offered = word(attempt, OFFERED);
    return Atomics.compareExchange(this.#words, fd, offered, word(attempt, state)) === offered;
  }
}

function word(attempt: number, state: number): number {
  return (attempt << STATE_BITS) | state | 0;
}
