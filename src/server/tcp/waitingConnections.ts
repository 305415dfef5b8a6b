/**
 * Connections of clients that have as many open as they may. When this thread was blocked, the kernel passes many new
 * connections on at once, although each would have been answered and closed before the next one came. So such a
 * connection waits a short time for one of its client's to close before it is refused.
 */
import type { Socket } from 'node:net';

/** Less than a client waits for its answer. */
const WAIT_MS = 500;

interface Waiting {
  readonly address: string;
  readonly timer: NodeJS.Timeout;
  readonly onClose: () => void;
}

export class WaitingConnections {
  readonly #most: number;
  readonly #onRefused: () => void;
  /** The oldest first. */
  readonly #waiting = new Map<Socket, Waiting>();

  /** `onRefused` is called for each connection that waited in vain, or found `most` waiting. */
  constructor(most: number, onRefused: () => void) {
    this.#most = most;
    this.#onRefused = onRefused;
  }

  /** Keeps the connection of the client with that address until `take`, or refuses it. */
  add(socket: Socket, address: string): void {
    if (this.#waiting.size >= this.#most) {
      this.#refuse(socket);
      return;
    }
    const onClose = () => this.#remove(socket);
    socket.on('close', onClose);
    const timer = setTimeout(() => this.#refuse(socket), WAIT_MS);
    this.#waiting.set(socket, { address, timer, onClose });
  }

  /** The client's connection that has waited longest. */
  take(address: string): Socket | undefined {
    for (const [socket, waiting] of this.#waiting) {
      if (waiting.address !== address) continue;
      this.#remove(socket);
      return socket;
    }
    return undefined;
  }

  destroyAll(): void {
    for (const socket of this.#waiting.keys()) {
      this.#remove(socket);
      socket.destroy();
    }
  }

  #refuse(socket: Socket): void {
    this.#remove(socket);
    socket.destroy();
    this.#onRefused();
  }

  #remove(socket: Socket): void {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) return;
    this.#waiting.delete(socket);
    clearTimeout(waiting.timer);
    socket.off('close', waiting.onClose);
  }
}
