/**
 * Passes octets between a client's socket and a backend's, both ways. The end of one side ends the other side's output
 * once all octets are through; the reset or loss of one side resets the other.
 */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../../timing/clock.ts';
import type { CarriedOctets } from './carrier.ts';
import { giveChunk, type ReadingSocket, takeChunk } from './readingSocket.ts';

export interface SocketPair {
  /** Paused since it was accepted. */
  readonly client: ReadingSocket;
  /** The client came over a Unix socket. */
  readonly isLocal: boolean;
  readonly backend: ReadingSocket;
  readonly octets: CarriedOctets;
  readonly halfClosed: HalfClosedSockets;
}

export interface CarriedConnection {
  /** Resets both sides. */
  reset(): void;
}

/** Sends the backend the header first. `onClosed` is called once and later, when both sockets are closed. */
export function joinSockets(
  pair: SocketPair,
  header: Uint8Array | undefined,
  onClosed: () => void,
): CarriedConnection {
  const { isLocal } = pair;
  const client = pair.client.socket;
  const backend = pair.backend.socket;
  let open = 2;
  const onOneClosed = (): void => {
    open -= 1;
    if (open === 0) onClosed();
  };
  const resetClient = (): void => resetSocket(client, isLocal);
  const resetBackend = (): void => resetSocket(backend, false);
  if (header !== undefined) backend.write(header);
  pass(pair, pair.client, backend, 'toBackends');
  pass(pair, pair.backend, client, 'toClients');
  follow(client, resetBackend, onOneClosed);
  follow(backend, resetClient, onOneClosed);
  client.resume();
  backend.resume();
  return {
    reset: () => {
      resetClient();
      resetBackend();
    },
  };
}

/** Reads on when the kernel has taken all octets, so at most one chunk waits. */
function pass(
  { octets, halfClosed }: SocketPair,
  source: ReadingSocket,
  to: Socket,
  direction: keyof CarriedOctets,
): void {
  const from = source.socket;
  let waiting: Buffer | undefined;
  const onWritten = (): void => {
    if (waiting === undefined || to.writableLength > 0) return;
    giveChunk(waiting);
    waiting = undefined;
    from.resume();
  };
  source.onOctets = (received) => {
    octets[direction] += received.length;
    const chunk = takeChunk(received);
    to.write(chunk.subarray(0, received.length), onWritten);
    if (to.writableLength === 0) giveChunk(chunk);
    else waiting = chunk;
    return waiting === undefined;
  };
  from.on('end', () => {
    halfClosed.add(from);
    to.end();
  });
}

function follow(socket: Socket, resetOther: () => void, onClosed: () => void): void {
  socket.on('close', () => {
    if (!socket.readableEnded || !socket.writableFinished) resetOther();
    onClosed();
  });
}

/** Closes the socket with a RST, which a Unix socket (`isLocal`) does not have. */
export function resetSocket(socket: Socket, isLocal: boolean): void {
  if (socket.destroyed) return;
  const isShuttingDown =
    socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished;
  // libuv refuses to reset a socket during shutdown(2), and then Node never closes the descriptor.
  if (isShuttingDown) socket.once('finish', () => resetSocket(socket, isLocal));
  else if (isLocal) socket.destroy();
  else socket.resetAndDestroy();
}

/** How long a peer that vanished after its FIN may go unnoticed once the kernel knows of it. */
const PROBE_MS = 5_000;
const NO_OCTETS = Buffer.alloc(0);

/**
 * Sockets whose peer has ended its half. libuv no longer polls them, so that neither a RST nor the end of keepalive
 * closes them while nothing is sent: a write without octets sends nothing, and fails if the connection is gone.
 */
export class HalfClosedSockets {
  readonly #clock: Clock;
  readonly #sockets = new Set<Socket>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(socket: Socket): void {
    if (socket.destroyed) return;
    this.#sockets.add(socket);
    socket.once('close', () => this.#remove(socket));
    this.#timer ??= this.#clock.startTimer(PROBE_MS, () => this.#probe());
  }

  #remove(socket: Socket): void {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #probe(): void {
    this.#timer = this.#clock.startTimer(PROBE_MS, () => this.#probe());
    for (const socket of this.#sockets) if (socket.writable) socket.write(NO_OCTETS);
  }
}
