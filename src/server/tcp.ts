/**
 * DNS over TCP: listening on addresses, and closing in good order. Which clients are let in is connectionTable's, what
 * one of them may do tcpConnection's.
 */
import type { AddressInfo, ListenOptions, Server } from 'node:net';
import net from 'node:net';
import type { Bound } from '../dataplane/listener.ts';
import type { Respond } from '../dns/respond.ts';
import {
  ConnectionTable,
  DEFAULT_TCP_LIMITS,
  type TcpCounters,
  type TcpLimits,
} from './connectionTable.ts';
import { fullTurn } from './turns.ts';

export interface TcpListenerOptions {
  readonly respond: Respond;
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
  /** Stops accepting, answers what has been received, closes; settles within `closeMs`. */
  close(): Promise<void>;
  counters(): Readonly<TcpCounters>;
}

export function createTcpListener(options: TcpListenerOptions): TcpListener {
  const limits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
  const connections = new ConnectionTable(options.respond, limits);
  const servers = new Set<Server>();
  let closing: Promise<void> | undefined;

  const listen = async (address: string, port: number, fd?: number): Promise<Bound> => {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true });
    server.on('connection', (socket) => connections.admit(socket));
    await listening(server, fd === undefined ? { host: address, port, ipv6Only: true } : { fd });
    server.on('error', (error) => options.onError?.(error)); // a failed accept
    servers.add(server);
    const bound = server.address() as AddressInfo;
    return {
      address: bound.address,
      port: bound.port,
      close: () => {
        servers.delete(server);
        return closed(server);
      },
    };
  };

  const close = async (): Promise<void> => {
    await fullTurn(); // what the kernel has accepted for us already is served too
    const allClosed = Promise.all([...servers].map(closed));
    await fullTurn(); // and what has arrived is read
    connections.finishAll();
    const deadline = setTimeout(() => connections.destroyAll(), limits.closeMs);
    await allClosed;
    clearTimeout(deadline);
    await fullTurn(); // a server is closed a moment before its last socket says so
  };

  return {
    listen,
    close: () => {
      closing ??= close();
      return closing;
    },
    counters: () => ({ ...connections.counters }),
  };
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
