/** The listening sockets of a carrying thread: which clients they accept, and by which plans these are connected. */
import { EAGAIN, EINTR } from '../../../kernel/libc.ts';
import type { ConnectPlan } from './carrier.ts';
import type { KernelSockets } from './kernelSockets.ts';

export interface AcceptingSocket {
  readonly listener: number;
  readonly fd: number;
  /** By the source address of clients. */
  readonly plans: Map<string, ConnectPlan>;
  /** How often its plans have ended. */
  epoch: number;
  /** The number by which the kernel's events name it; 0: it is not watched. */
  watch: number;
  /** When it is watched again after the system could not accept; undefined: it is watched. */
  resumesAtMs: number | undefined;
}

export interface AcceptingOptions {
  readonly sockets: Pick<KernelSockets, 'accept' | 'reset'>;
  /** Returns the number of the watch; 0 if the kernel has no room. */
  readonly watch: (socket: AcceptingSocket) => number;
  readonly unwatch: (socket: AcceptingSocket) => void;
  readonly isUsable: (fd: number) => boolean;
  readonly onAccepted: (socket: AcceptingSocket, fd: number) => void;
  readonly onFailed: (socket: AcceptingSocket, errno: number) => void;
}

const ECONNABORTED = 103;
const EMFILE = 24;

/** How long clients wait in the kernel before it is asked again, after the system could not accept one. */
export const ACCEPT_PAUSE_MS = 100;
/** Clients accepted before other sockets have their turn. */
export const MAX_ACCEPTS = 64;
/** More than the kernel queues. */
const ALL_ACCEPTS = 4_096;

export class AcceptingSockets {
  readonly #options: AcceptingOptions;
  readonly #sockets = new Map<number, AcceptingSocket>();
  #paused = 0;

  constructor(options: AcceptingOptions) {
    this.#options = options;
  }

  /** Whether one of them has to be resumed. */
  get hasPaused(): boolean {
    return this.#paused > 0;
  }

  add(listener: number, fd: number, epoch: number): void {
    const common = { plans: new Map(), watch: 0, resumesAtMs: undefined };
    const socket: AcceptingSocket = { listener, fd, epoch, ...common };
    this.#sockets.set(listener, socket);
    this.#watch(socket);
  }

  plan(listener: number, source: string, plan: ConnectPlan): void {
    this.#sockets.get(listener)?.plans.set(source, plan);
  }

  unplan(listener: number, epoch: number): void {
    const socket = this.#sockets.get(listener);
    if (socket === undefined) return;
    socket.plans.clear();
    socket.epoch = epoch;
  }

  /** Accepts the clients that wait, and none after them. The caller closes the socket. */
  remove(listener: number): void {
    const socket = this.#sockets.get(listener);
    if (socket === undefined) return;
    this.accept(socket, ALL_ACCEPTS);
    this.#sockets.delete(listener);
    if (socket.resumesAtMs === undefined) this.#options.unwatch(socket);
    else this.#paused -= 1;
  }

  accept(socket: AcceptingSocket, most: number): void {
    const { sockets, isUsable, onAccepted } = this.#options;
    for (let i = 0; i < most; i++) {
      const fd = sockets.accept(socket.fd);
      if (fd === -EAGAIN) return;
      if (fd === -ECONNABORTED || fd === -EINTR) continue;
      if (fd >= 0 && isUsable(fd)) {
        onAccepted(socket, fd);
        continue;
      }
      if (fd >= 0) sockets.reset(fd);
      this.#pause(socket, fd < 0 ? -fd : EMFILE);
      return;
    }
  }

  /** Watches those again whose pause is over. */
  resume(nowMs: number): void {
    if (this.#paused === 0) return;
    for (const socket of this.#sockets.values()) {
      if (socket.resumesAtMs === undefined || nowMs < socket.resumesAtMs) continue;
      socket.resumesAtMs = undefined;
      this.#paused -= 1;
      this.#watch(socket);
    }
  }

  #watch(socket: AcceptingSocket): void {
    socket.watch = this.#options.watch(socket);
    if (socket.watch === 0) this.#pause(socket, EMFILE);
  }

  #pause(socket: AcceptingSocket, errno: number): void {
    this.#options.onFailed(socket, errno);
    if (socket.resumesAtMs === undefined) {
      this.#options.unwatch(socket);
      this.#paused += 1;
    }
    socket.resumesAtMs = performance.now() + ACCEPT_PAUSE_MS;
  }
}
