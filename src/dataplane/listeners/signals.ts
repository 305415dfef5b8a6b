/**
 * What passes between the main thread and a worker beside packets. A worker waits in system calls, where no message
 * reaches it, so a number in shared memory tells it that there is one; it looks at that number once a batch.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { AddressRange } from '../sockets/recursionRanges.ts';
import type { UdpSocket } from '../sockets/socket.ts';
import type { TableHandle } from '../table/layout.ts';

/** Words of the shared memory; then, for each worker, the last generation that it has gone by. */
const GENERATION = 0;
/** Not 0 while the main thread takes what is handed to it, or was told to. */
const AWAKE = 1;
const SEEN = 16;

/** From the main thread: what to do from now on. */
export interface Orders {
  /** They count up; each says everything anew. */
  readonly generation: number;
  readonly sockets: readonly UdpSocket[];
  /** Clients that are told that recursion is available. */
  readonly recursionRanges: readonly AddressRange[];
  /** To answer what has arrived, and end. */
  readonly stop: boolean;
}

/** From a worker. */
export type Report =
  /** Packets wait in its rings. */
  | { readonly kind: 'handedOver' }
  /** It goes by new orders: whatever is not in them it does not touch any more. */
  | { readonly kind: 'seen' }
  /** Reading failed; it tries again. */
  | { readonly kind: 'readError'; readonly errno: number };

/** Threads are numbered from 1: 0 is the main one. */
export function newLinkMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer((SEEN + 1 + workers) * Int32Array.BYTES_PER_ELEMENT);
}

/** The main thread's side of the shared words. */
export class LinkBoard {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /** To be called after the orders were posted. */
  announce(generation: number): void {
    Atomics.store(this.#words, GENERATION, generation);
    Atomics.notify(this.#words, GENERATION);
  }

  seen(thread: number): number {
    return Atomics.load(this.#words, SEEN + thread);
  }

  /** From now on a worker that hands something over says so. */
  sleep(): void {
    Atomics.store(this.#words, AWAKE, 0);
  }

  /** False if it was awake, or a worker has just called it. */
  wake(): boolean {
    return Atomics.compareExchange(this.#words, AWAKE, 0, 1) === 0;
  }
}

/** A worker's side. */
export class WorkerLink {
  readonly #words: Int32Array;
  readonly #thread: number;
  readonly #port: MessagePort;
  #seen = -1;

  constructor(memory: SharedArrayBuffer, thread: number, port: MessagePort) {
    this.#words = new Int32Array(memory);
    this.#thread = thread;
    this.#port = port;
  }

  hasOrders(): boolean {
    return Atomics.load(this.#words, GENERATION) !== this.#seen;
  }

  /** The newest orders; `undefined` if they are still on their way. */
  orders(): Orders | undefined {
    let newest: Orders | undefined;
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) return newest;
      newest = received.message as Orders;
    }
  }

  /** Says that from here on it goes by these orders. */
  follow({ generation }: Orders): void {
    this.#seen = generation;
    Atomics.store(this.#words, SEEN + this.#thread, generation);
    this.report({ kind: 'seen' });
  }

  /** Waits for orders where there is nothing else to wait for. */
  idle(timeoutMs: number): void {
    Atomics.wait(this.#words, GENERATION, this.#seen, timeoutMs);
  }

  /** Calls the main thread if it sleeps. */
  wakeMain(): void {
    if (Atomics.compareExchange(this.#words, AWAKE, 0, 1) === 0)
      this.report({ kind: 'handedOver' });
  }

  report(report: Report): void {
    this.#port.postMessage(report);
  }
}

/** What a worker is started with. */
export interface WorkerStart {
  readonly thread: number;
  readonly linkMemory: SharedArrayBuffer;
  readonly ringMemory: SharedArrayBuffer;
  readonly counterMemory: SharedArrayBuffer;
  /** Without one every question is handed over. */
  readonly table: TableHandle | undefined;
  /** Where the main thread's `performance.now()` began, on the clock that all threads share (`clockOriginMs`). */
  readonly mainClockOriginMs: number;
}

/** When this thread's `performance.now()` was 0, on the monotonic clock of the whole system. */
export function clockOriginMs(): number {
  return Number(process.hrtime.bigint()) / 1e6 - performance.now();
}
