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
const ACKNOWLEDGED = 16;

/** From the main thread: what to do from now on. */
export interface Assignment {
  /** They count up; each says everything anew. */
  readonly generation: number;
  readonly sockets: readonly UdpSocket[];
  /** Clients that are told that recursion is available. */
  readonly recursionRanges: readonly AddressRange[];
  /** To answer what has arrived, and end. */
  readonly stop: boolean;
}

/** From a worker. */
export type WorkerReport =
  /** Packets wait in its rings. */
  | { readonly kind: 'handedOver' }
  /** It goes by new the assignment: whatever is not in them it does not touch any more. */
  | { readonly kind: 'seen' }
  /** Reading failed; it tries again. */
  | { readonly kind: 'readError'; readonly errno: number };

/** Threads are numbered from 1: 0 is the main one. */
export function newChannelMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer((ACKNOWLEDGED + 1 + workers) * Int32Array.BYTES_PER_ELEMENT);
}

/** The main thread's side of the shared words. */
export class MainChannel {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /** To be called after the assignment were posted. */
  announce(generation: number): void {
    Atomics.store(this.#words, GENERATION, generation);
    Atomics.notify(this.#words, GENERATION);
  }

  acknowledged(thread: number): number {
    return Atomics.load(this.#words, ACKNOWLEDGED + thread);
  }

  /** From now on a worker that hands something over says so. */
  markAsleep(): void {
    Atomics.store(this.#words, AWAKE, 0);
  }

  /** False if it was awake, or a worker has just called it. */
  markAwake(): boolean {
    return Atomics.compareExchange(this.#words, AWAKE, 0, 1) === 0;
  }
}

/** A worker's side. */
export class WorkerChannel {
  readonly #words: Int32Array;
  readonly #thread: number;
  readonly #port: MessagePort;
  #acknowledged = -1;

  constructor(memory: SharedArrayBuffer, thread: number, port: MessagePort) {
    this.#words = new Int32Array(memory);
    this.#thread = thread;
    this.#port = port;
  }

  hasAssignment(): boolean {
    return Atomics.load(this.#words, GENERATION) !== this.#acknowledged;
  }

  /** The newest the assignment; `undefined` if they are still on their way. */
  receiveAssignment(): Assignment | undefined {
    let newest: Assignment | undefined;
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) return newest;
      newest = received.message as Assignment;
    }
  }

  /** Says that from here on it goes by these the assignment. */
  acknowledge({ generation }: Assignment): void {
    this.#acknowledged = generation;
    Atomics.store(this.#words, ACKNOWLEDGED + this.#thread, generation);
    this.report({ kind: 'seen' });
  }

  /** Waits for the assignment where there is nothing else to wait for. */
  waitForAssignment(timeoutMs: number): void {
    Atomics.wait(this.#words, GENERATION, this.#acknowledged, timeoutMs);
  }

  /** Calls the main thread if it sleeps. */
  wakeMain(): void {
    if (Atomics.compareExchange(this.#words, AWAKE, 0, 1) === 0)
      this.report({ kind: 'handedOver' });
  }

  report(report: WorkerReport): void {
    this.#port.postMessage(report);
  }
}

/** What a worker is started with. */
export interface WorkerStart {
  readonly thread: number;
  readonly channelMemory: SharedArrayBuffer;
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
