/**
 * What the two threads of a `SpliceCarrier` tell each other. The proxy's thread sends orders, the carrying thread sends
 * reports; each wakes the other only once for many.
 *
 * The proxy must be able to take an attempt back until the moment at which the backend gets the client's first octet,
 * and must know at once whether it could. So both threads decide that in shared memory: an attempt is offered, and then
 * either taken by the carrying thread or cancelled by the proxy's. There is one word for each descriptor of a client.
 */
import type { SocketAddress } from '../../../dns/address.ts';
import type { ConnectPlan } from './carrier.ts';

export type SpliceOrder =
  /** Accept clients from a listening socket. The proxy's thread closes it, because the carrying thread may be lost. */
  | {
      readonly kind: 'listen';
      readonly listener: number;
      readonly fd: number;
      readonly epoch: number;
    }
  | { readonly kind: 'unlisten'; readonly listener: number }
  | {
      readonly kind: 'plan';
      readonly listener: number;
      readonly source: string;
      readonly plan: ConnectPlan;
    }
  /** `epoch`: how often the listener's plans have ended. */
  | { readonly kind: 'unplan'; readonly listener: number; readonly epoch: number }
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
      /** The backend of a plan; its attempt has the number `begunAttempt(client)`. */
      readonly to: SocketAddress | undefined;
      readonly epoch: number;
    }
  | { readonly kind: 'acceptFailed'; readonly listener: number; readonly errno: number }
  /** The carrying thread accepts no more clients from the socket; the proxy's thread can close it. */
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
/** The first word: how many clients may be connected by plans; then the words of descriptors. */
const CREDIT = 0;
const WORDS = 1;

/** States of an attempt, in the low bits of its word; its number is in the other bits. */
const OFFERED = 1;
const TAKEN = 2;
const CANCELLED = 3;
const STATE_BITS = 2;
/** The numbers of attempts that the carrying thread begins by plans have this bit. Those of orders do not. */
const BEGUN = 2 ** 28;

/**
 * The number of the attempt that the carrying thread begins for this client. It must be the client's own: a client that
 * the proxy has not heard of may have ended, and the next client may have its descriptor.
 */
export function begunAttempt(client: number): number {
  return BEGUN + (client % BEGUN);
}

/** The memory that both threads use. Pages that were never written cost nothing. */
export class SpliceMemory {
  readonly memory: SharedArrayBuffer;
  readonly #counts: Float64Array;
  readonly #words: Int32Array;

  constructor(memory?: SharedArrayBuffer) {
    const octets = COUNTS_OCTETS + (WORDS + MAX_DESCRIPTORS) * Int32Array.BYTES_PER_ELEMENT;
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

  /** The proxy's thread lets that many more clients be connected by plans. */
  giveCredit(clients: number): void {
    Atomics.add(this.#words, CREDIT, clients);
  }

  /** Takes all of it back, and returns how much that was. */
  withdrawCredit(): number {
    return Atomics.exchange(this.#words, CREDIT, 0);
  }

  /** Returns false if no client may be connected by a plan now. */
  spendCredit(): boolean {
    for (;;) {
      const credit = Atomics.load(this.#words, CREDIT);
      if (credit <= 0) return false;
      if (Atomics.compareExchange(this.#words, CREDIT, credit, credit - 1) === credit) return true;
    }
  }

  hasWordFor(fd: number): boolean {
    return fd < MAX_DESCRIPTORS;
  }

  /** The number of the order after this one. */
  nextAttempt(attempt: number): number {
    return (attempt + 1) % BEGUN;
  }

  /** The thread that orders or begins an attempt offers it first. */
  offer(fd: number, attempt: number): void {
    Atomics.store(this.#words, WORDS + fd, word(attempt, OFFERED));
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
    const [at, offered] = [WORDS + fd, word(attempt, OFFERED)];
    return Atomics.compareExchange(this.#words, at, offered, word(attempt, state)) === offered;
  }
}

function word(attempt: number, state: number): number {
  return (attempt << STATE_BITS) | state | 0;
}
