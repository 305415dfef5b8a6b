/**
 * The control channel between the main thread and a worker. The main thread sends assignments, and the worker sends
 * reports. A worker waits in system calls, where no message reaches it. So the main thread changes a number in shared
 * memory after it has posted a message, and the worker compares that number once per batch.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { TapStart } from '../../dnstap/tapWriter.ts';
import type { ClientPolicy } from '../sockets/clientPolicy.ts';
import type { UdpSocket } from '../sockets/socket.ts';
import type { TableHandle } from '../table/layout.ts';

/** Words of the shared memory; from `ACKNOWLEDGED` on, for each thread, the last generation that it acknowledged. */
const GENERATION = 0;
/** 1 while the main thread answers misses, or has been woken to do so. */
const AWAKE = 1;
const ACKNOWLEDGED = 16;

/** The sockets and settings of a worker. Each assignment replaces the previous one. */
export interface WorkerAssignment {
  /** Grows by one with each assignment. */
  readonly generation: number;
  readonly sockets: readonly UdpSocket[];
  readonly policy: ClientPolicy;
  /** The worker answers the packets that have arrived, and ends. */
  readonly stop: boolean;
}

/** A worker's message to the main thread. */
export type WorkerReport =
  /** The worker has put packets into its rings. */
  | { readonly kind: 'handedOver' }
  /** The worker has written messages for dnstap. */
  | { readonly kind: 'tapped' }
  /** The worker has acknowledged an assignment: it no longer uses sockets that are not listed there. */
  | { readonly kind: 'acknowledged' }
  /** Reading failed; the worker tries again. */
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

  /** Call this after the assignment was posted to every worker. */
  announce(generation: number): void {
    Atomics.store(this.#words, GENERATION, generation);
    Atomics.notify(this.#words, GENERATION);
  }

  acknowledged(thread: number): number {
    return Atomics.load(this.#words, ACKNOWLEDGED + thread);
  }

  /** The next worker that hands over packets reports it. */
  markAsleep(): void {
    Atomics.store(this.#words, AWAKE, 0);
  }

  /** False if the main thread was awake, or a worker has just woken it. */
  markAwake(): boolean {
    return Atomics.compareExchange(this.#words, AWAKE, 0, 1) === 0;
  }
}

/** A worker's side of the shared words, and its message port. */
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

  /** The newest assignment; `undefined` if its message has not arrived yet. */
  receiveAssignment(): WorkerAssignment | undefined {
    let newest: WorkerAssignment | undefined;
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) return newest;
      newest = received.message as WorkerAssignment;
    }
  }

  /** Acknowledges an assignment; the worker no longer uses sockets that are not listed in it. */
  acknowledge({ generation }: WorkerAssignment): void {
    this.#acknowledged = generation;
    Atomics.store(this.#words, ACKNOWLEDGED + this.#thread, generation);
    this.report({ kind: 'acknowledged' });
  }

  /** Waits for an assignment; for a worker without sockets. */
  waitForAssignment(timeoutMs: number): void {
    Atomics.wait(this.#words, GENERATION, this.#acknowledged, timeoutMs);
  }

  /** Wakes the main thread if it sleeps. */
  wakeMain(): void {
    if (Atomics.compareExchange(this.#words, AWAKE, 0, 1) === 0)
      this.report({ kind: 'handedOver' });
  }

  report(report: WorkerReport): void {
    this.#port.postMessage(report);
  }
}

/** The start data of a worker thread. */
export interface WorkerStart {
  readonly thread: number;
  readonly channelMemory: SharedArrayBuffer;
  readonly ringMemory: SharedArrayBuffer;
  readonly counterMemory: SharedArrayBuffer;
  /** Without a table the worker hands over every question. */
  readonly table: TableHandle | undefined;
  /** Undefined: the worker writes no messages for dnstap. */
  readonly tap?: TapStart | undefined;
  /** The main thread's `clockOriginMs`. */
  readonly mainClockOriginMs: number;
}

/** When this thread's `performance.now()` was 0, on the monotonic clock of the whole system. */
export function clockOriginMs(): number {
  return Number(process.hrtime.bigint()) / 1e6 - performance.now();
}
