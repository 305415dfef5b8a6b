/**
 * DNS over TCP: listens on addresses, and answers the received queries before it closes. `connectionTable.ts` admits
 * connections; `tcpConnection.ts` serves one connection within its limits.
 */
import type { AddressInfo, ListenOptions, Server } from 'node:net';
import net from 'node:net';
import type { Bound, FamilyBlock } from '../dataplane/listeners/udpListener.ts';
import type { Respond } from '../dns/message.ts';
import { withDeadline } from '../timing/deadline.ts';
import { afterNextPoll } from '../timing/fairScheduler.ts';
import {
  ConnectionTable,
  DEFAULT_TCP_LIMITS,
  type TcpCounters,
  type TcpLimits,
} from './connectionTable.ts';
import type { StreamTable } from './streamTable.ts';

/** Opens sockets whose addresses a successor may share, which Node cannot do. */
export interface StreamSockets {
  /** The descriptor of a listening socket. Throws the system's error. */
  open(address: string, port: number): number;
  /** Directs new connections to a successor's socket, if one shares the address. */
  divertConnections(fd: number): void;
}

export interface TcpListenerOptions {
  readonly respond: Respond;
  /** Answers queries that the answer table holds; without it `respond` answers everything. */
  readonly table?: StreamTable | undefined;
  /** Default: Node's sockets. */
  readonly sockets?: StreamSockets | undefined;
  readonly limits?: Partial<TcpLimits>;
  /** Receives failures to accept a connection (for example because no descriptor is free); the listener continues. */
  readonly onError?: (error: Error) => void;
}

export class TcpListener {
  /** Counters of the queries that the answer table answered. */
  readonly blocks: readonly FamilyBlock[];
  readonly #sockets: StreamSockets | undefined;
  readonly #onError: (error: Error) => void;
  readonly #closeMs: number;
  readonly #connections: ConnectionTable;
  /** Each server, with its descriptor if `sockets` opened it. */
  readonly #servers = new Map<Server, number | undefined>();
  #closing: Promise<void> | undefined;

  constructor({ respond, table, sockets, limits, onError = () => {} }: TcpListenerOptions) {
    const allLimits = { ...DEFAULT_TCP_LIMITS, ...limits };
    this.blocks = table?.blocks ?? [];
    this.#sockets = sockets;
    this.#onError = onError;
    this.#closeMs = allLimits.closeMs;
    this.#connections = new ConnectionTable(respond, allLimits, table);
  }

  /**
   * Accepts connections on an address, or on an inherited descriptor `fd` that listens already. May be called for
   * several addresses, which share the limits. Rejects with the system's error (`code`: EADDRINUSE …).
   */
  async listen(address: string, port: number, fd?: number): Promise<Bound> {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true });
    server.on('connection', (socket) => this.#connections.admit(socket));
    const own = fd === undefined ? this.#sockets?.open(address, port) : undefined;
    const descriptor = fd ?? own;
    await listening(
      server,
      descriptor === undefined ? { host: address, port, ipv6Only: true } : { fd: descriptor },
    );
    server.on('error', this.#onError); // a failed accept
    this.#servers.set(server, own);
    return this.#boundOf(server);
  }

  /** Directs new connections to a successor's sockets. Open connections are still served. */
  divertToSuccessor(): void {
    for (const fd of this.#servers.values())
      if (fd !== undefined) this.#sockets?.divertConnections(fd);
  }

  /**
   * Stops accepting, answers the queries received so far, then closes. Connections that are open after `closeMs` are
   * destroyed.
   */
  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  counters(): Readonly<TcpCounters> {
    return { ...this.#connections.counters };
  }

  /** One address of the listener, which can be closed alone. */
  #boundOf(server: Server): Bound {
    const { address, port } = server.address() as AddressInfo;
    const close = () => {
      this.#servers.delete(server);
      return closed(server);
    };
    return { address, port, close };
  }

  async #finish(): Promise<void> {
    await afterNextPoll(); // Node gets the connections that the kernel has accepted
    const allClosed = Promise.all([...this.#servers.keys()].map(closed));
    await afterNextPoll(); // and reads the octets that have arrived
    this.#connections.finishAll();
    await withDeadline(
      allClosed.then(() => {}),
      this.#closeMs,
      async () => {
        this.#connections.destroyAll();
        await allClosed;
      },
    );
    await afterNextPoll(); // 'close' of the last sockets comes after that of their server
  }
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
