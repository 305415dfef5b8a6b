/**
 * DNS over TCP: listening on addresses, and closing in good order. Which clients are let in is connectionTable's, what
 * one of them may do tcpConnection's.
 */
import type { AddressInfo, ListenOptions, Server } from 'node:net';
import net from 'node:net';
import type { Bound } from '../dataplane/listeners/udpListener.ts';
import type { Respond } from '../dns/message.ts';
import { afterNextPoll } from '../timing/fairScheduler.ts';
import {
  ConnectionTable,
  DEFAULT_TCP_LIMITS,
  type TcpCounters,
  type TcpLimits,
} from './connectionTable.ts';

/** Makes sockets that a successor may share, which Node's own cannot be. */
export interface StreamSockets {
  /** One that listens. Throws the system's error. */
  open(address: string, port: number): number;
  /** Has new connections go to a successor's socket, if there is one. */
  giveWay(fd: number): void;
}

export interface TcpListenerOptions {
  readonly respond: Respond;
  /** Without it, Node's own. */
  readonly sockets?: StreamSockets | undefined;
  readonly limits?: Partial<TcpLimits>;
  /** Told of a failure to accept connections (out of descriptors, say); the listener goes on. */
  readonly onError?: (error: Error) => void;
}

export interface TcpListener {
  /**
   * Starts to accept on an address, or on an inherited descriptor `fd` that listens already. May be called for several
   * addresses; the limits hold for all of them together. Rejects with the system's error (`code`: EADDRINUSE …).
   */
  listen(address: string, port: number, fd?: number): Promise<Bound>;
  /** Has new connections go to a successor's sockets; those that are there are served here. */
  giveWay(): void;
  /** Stops accepting, answers what has been received, closes; settles within `closeMs`. */
  close(): Promise<void>;
  counters(): Readonly<TcpCounters>;
}

export function createTcpListener(options: TcpListenerOptions): TcpListener {
  const limits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
  const connections = new ConnectionTable(options.respond, limits);
  /** With the descriptors that we made. */
  const servers = new Map<Server, number | undefined>();
  let closing: Promise<void> | undefined;
  return {
    async listen(address, port, fd) {
      const server = net.createServer({ allowHalfOpen: true, noDelay: true });
      server.on('connection', (socket) => connections.admit(socket));
      const own = fd === undefined ? options.sockets?.open(address, port) : undefined;
      const given = fd ?? own;
      const where = given === undefined ? { host: address, port, ipv6Only: true } : { fd: given };
      await listening(server, where);
      server.on('error', (error) => options.onError?.(error)); // a failed accept
      servers.set(server, own);
      return boundOf(server, servers);
    },
    giveWay() {
      for (const fd of servers.values()) if (fd !== undefined) options.sockets?.giveWay(fd);
    },
    close() {
      closing ??= finish([...servers.keys()], connections, limits.closeMs);
      return closing;
    },
    counters: () => ({ ...connections.counters }),
  };
}

/** One server of those that a listener has, which can be given up alone. */
function boundOf(server: Server, servers: Map<Server, unknown>): Bound {
  const { address, port } = server.address() as AddressInfo;
  const close = () => {
    servers.delete(server);
    return closed(server);
  };
  return { address, port, close };
}

async function finish(
  servers: readonly Server[],
  connections: ConnectionTable,
  closeMs: number,
): Promise<void> {
  await afterNextPoll(); // what the kernel has accepted for us already is served too
  const allClosed = Promise.all(servers.map(closed));
  await afterNextPoll(); // and what has arrived is read
  connections.finishAll();
  const deadline = setTimeout(() => connections.destroyAll(), closeMs);
  await allClosed;
  clearTimeout(deadline);
  await afterNextPoll(); // a server is closed a moment before its last socket says so
}

function listening(server: Server, where: ListenOptions | { readonly fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}
