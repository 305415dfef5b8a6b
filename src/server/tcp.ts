/**
 * DNS over TCP: listens on addresses, and closes in good order. `connectionTable.ts` admits clients; `tcpConnection.ts`
 * serves one and limits what it may do.
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

/** Opens sockets whose addresses a successor may share, which Node cannot do. */
export interface StreamSockets {
  /** The descriptor of a listening socket. Throws the system's error. */
  open(address: string, port: number): number;
  /** Leaves new connections to a successor's socket, if there is one. */
  giveWay(fd: number): void;
}

export interface TcpListenerOptions {
  readonly respond: Respond;
  /** Default: Node's sockets. */
  readonly sockets?: StreamSockets | undefined;
  readonly limits?: Partial<TcpLimits>;
  /** Receives failures to accept a connection (out of descriptors, say); the listener goes on. */
  readonly onError?: (error: Error) => void;
}

export interface TcpListener {
  /**
   * Accepts connections on an address, or on an inherited descriptor `fd` that listens already. May be called for several
   * addresses, which share the limits. Rejects with the system's error (`code`: EADDRINUSE …).
   */
  listen(address: string, port: number, fd?: number): Promise<Bound>;
  /** Leaves new connections to a successor's sockets; goes on serving the open ones. */
  giveWay(): void;
  /** Stops accepting, answers the queries received so far, then closes; settles within `closeMs`. */
  close(): Promise<void>;
  counters(): Readonly<TcpCounters>;
}

export function createTcpListener(options: TcpListenerOptions): TcpListener {
  const limits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
  const connections = new ConnectionTable(options.respond, limits);
  /** With the descriptors that `sockets` opened. */
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

/** One server of the listener, which can be closed alone. */
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
  await afterNextPoll(); // Node gets the connections that the kernel has accepted
  const allClosed = Promise.all(servers.map(closed));
  await afterNextPoll(); // and reads the octets that have arrived
  connections.finishAll();
  const deadline = setTimeout(() => connections.destroyAll(), closeMs);
  await allClosed;
  clearTimeout(deadline);
  await afterNextPoll(); // 'close' of the last sockets comes after that of their server
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
