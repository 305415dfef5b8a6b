/**
 * Connections of clients that have as many open as they may. When this thread was blocked, the kernel passes many new
 * connections on at once, although each would have been answered and closed before the next one came. So such a
 * connection waits a short time for one of its client's to close before it is refused.
 *
 * When all places are taken, the client with the most connections here gives up one. So one client cannot keep the
 * connections of others from waiting.
 */
import type { Socket } from 'node:net';

/** Less than a client waits for its answer. */
const WAIT_MS = 500;

interface Waiting {
  readonly timer: NodeJS.Timeout;
  readonly onClose: () => void;
}

/** The waiting connections of one client, the oldest first. */
type ClientQueue = Map<Socket, Waiting>;

export class WaitingConnections {
  readonly #most: number;
  readonly #onRefused: () => void;
  /** By the client's address; no queue is empty. */
  readonly #queues = new Map<string, ClientQueue>();
  #count = 0;

  /** `onRefused` is called for each connection that waited in vain, or gave up its place among `most`. */
  constructor(most: number, onRefused: () => void) {
    this.#most = most;
    this.#onRefused = onRefused;
  }

  /** Keeps the connection of the client with that address until `take`, or refuses it. */
  add(socket: Socket, address: string): void {
    if (this.#count >= this.#most && !this.#makeRoomFor(address)) {
      this.#refuse(socket, address);
      return;
    }
    const onClose = () => this.#remove(socket, address);
    socket.on('close', onClose);
    const timer = setTimeout(() => this.#refuse(socket, address), WAIT_MS);
    const queue = this.#queues.get(address) ?? new Map<Socket, Waiting>();
    this.#queues.set(address, queue.set(socket, { timer, onClose }));
    this.#count++;
  }

  /** The client's connection that has waited longest. */
  take(address: string): Socket | undefined {
    const socket = this.#oldestOf(address);
    if (socket !== undefined) this.#remove(socket, address);
    return socket;
  }

  destroyAll(): void {
    for (const [address, queue] of this.#queues) {
      for (const socket of queue.keys()) {
        this.#remove(socket, address);
        socket.destroy();
      }
    }
  }

  /** Refuses the oldest connection of the client that has most; false if no client has more than this one. */
  #makeRoomFor(address: string): boolean {
    let greatest = address;
    for (const other of this.#queues.keys())
      if (this.#countOf(other) > this.#countOf(greatest)) greatest = other;
    const socket = greatest === address ? undefined : this.#oldestOf(greatest);
    if (socket === undefined) return false;
    this.#refuse(socket, greatest);
    return true;
  }

  #countOf(address: string): number {
    return this.#queues.get(address)?.size ?? 0;
  }

  #oldestOf(address: string): Socket | undefined {
    const [oldest] = this.#queues.get(address)?.keys() ?? [];
    return oldest;
  }

  #refuse(socket: Socket, address: string): void {
    this.#remove(socket, address);
    socket.destroy();
    this.#onRefused();
  }

  #remove(socket: Socket, address: string): void {
    const queue = this.#queues.get(address);
    const waiting = queue?.get(socket);
    if (queue === undefined || waiting === undefined) return;
    clearTimeout(waiting.timer);
    socket.off('close', waiting.onClose);
    queue.delete(socket);
    if (queue.size === 0) this.#queues.delete(address);
    this.#count--;
  }
}
