/**
 * Listens on addresses for connections, and ends them in order: the queries that were received are answered before a
 * connection closes. What is spoken on the connections is a `StreamService`.
 */
import type { AddressInfo, ListenOptions, Server, Socket } from 'node:net';
import net from 'node:net';
import type { Bound } from '../../dataplane/listeners/udpListener.ts';
import { withDeadline } from '../../timing/deadline.ts';
import { afterNextPoll } from '../../timing/fairScheduler.ts';

/** Opens sockets whose addresses a successor may share, which Node cannot do. */
export interface StreamSockets {
  /** The descriptor of a listening socket. Throws the system's error. */
  open(address: string, port: number): number;
  /** Directs new connections to a successor's socket, if one shares the address. */
  divertConnections(fd: number): void;
}

/** Serves accepted connections. */
export interface StreamService {
  admit(socket: Socket): void;
  /** Answers the queries received so far, then closes each connection. */
  finishAll(): void;
  destroyAll(): void;
}

export interface ConnectionListenerOptions {
  /** Default: Node's sockets. */
  readonly sockets?: StreamSockets | undefined;
  /** How long `close` waits for answers, and for clients to read them. */
  readonly closeMs: number;
  /** Receives failures to accept a connection (for example because no descriptor is free); the listener continues. */
  readonly onError?: ((error: Error) => void) | undefined;
}

export class ConnectionListener {
  readonly #service: StreamService;
  readonly #options: ConnectionListenerOptions;
  /** Each server, with its descriptor if `sockets` opened it. */
  readonly #servers = new Map<Server, number | undefined>();
  #closing: Promise<void> | undefined;

  constructor(service: StreamService, options: ConnectionListenerOptions) {
    this.#service = service;
    this.#options = options;
  }

  /**
   * Accepts connections on an address, or on an inherited descriptor `fd` that listens already. May be called for
   * several addresses, which share the limits. Rejects with the system's error (`code`: EADDRINUSE …).
   */
  async listen(address: string, port: number, fd?: number): Promise<Bound> {
    const { sockets, onError = () => {} } = this.#options;
    const server = net.createServer({ allowHalfOpen: true, noDelay: true });
    server.on('connection', (socket) => this.#service.admit(socket));
    const own = fd === undefined ? sockets?.open(address, port) : undefined;
    const descriptor = fd ?? own;
    await listening(
      server,
      descriptor === undefined ? { host: address, port, ipv6Only: true } : { fd: descriptor },
    );
    server.on('error', onError); // a failed accept
    this.#servers.set(server, own);
    return this.#boundOf(server);
  }

  /** Directs new connections to a successor's sockets. Open connections are still served. */
  divertToSuccessor(): void {
    for (const fd of this.#servers.values())
      if (fd !== undefined) this.#options.sockets?.divertConnections(fd);
  }

  /**
   * Stops accepting, answers the queries received so far, then closes. Connections that are open after `closeMs` are
   * destroyed.
   */
  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
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
    this.#service.finishAll();
    await withDeadline(
      allClosed.then(() => {}),
      this.#options.closeMs,
      async () => {
        this.#service.destroyAll();
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
