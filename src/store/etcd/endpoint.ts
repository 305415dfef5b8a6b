/**
 * One etcd member as gRPC sees it: calls with a deadline, and the watch stream. etcd3 is used for its proto files
 * and its pool of service clients, nothing else: its retries, circuit breaker, tokens and Watcher stay idle, because
 * they hide which member answered, retry writes, and lose events.
 *
 * Invariant: a call settles within its deadline, and a connection on which the peer went silent is given up.
 */
import { isIP, type Socket } from 'node:net';
import type { IWatchRequest } from 'etcd3';
import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import { isShutDown, isTimeout, storeErrorOf } from './failure.ts';
import type { WireEvent } from './translate.ts';

type Lent = Parameters<Parameters<ConnectionPool['withConnection']>[1]>[0];
type Metadata = Lent['metadata'];
type GrpcService = 'KV' | 'Lease' | 'Auth' | 'Watch';

interface Cancellable {
  cancel(): void;
}

/** A message of the watch stream, as far as it is read here. */
export interface WatchMessage {
  readonly header: { readonly revision: string } | null;
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  readonly fragment: boolean;
  readonly events: readonly WireEvent[];
}

/** The two-way stream of a watch. After `cancel` it ends with an error. */
export interface WatchStream extends AsyncIterable<WatchMessage>, Cancellable {
  write(request: IWatchRequest): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

type Unary = (
  request: unknown,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: Error | null, response: unknown) => void,
) => Cancellable;

/** A two-way stream that is asked one question. */
interface OneRequestStream extends Cancellable {
  on(event: 'data', listener: (answer: unknown) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end' | 'close', listener: () => void): unknown;
  /** The last thing to say. */
  end(request: unknown): unknown;
}

type Stream = (metadata: Metadata, options: { deadline: number }) => OneRequestStream;

export interface GrpcCallOptions {
  readonly timeoutMs: number;
  readonly token: string | undefined;
  /** The method is a two-way stream: the request is all that is said, the first answer all that is heard. */
  readonly stream?: boolean;
}

export interface EndpointOptions {
  /** Host and port, an IPv6 address in brackets. */
  readonly address: string;
  readonly tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } | undefined;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

const READY = 2;

const channelOptions = (options: EndpointOptions) => ({
  'grpc.keepalive_time_ms': options.keepaliveTimeMs,
  'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs,
  // A connection without a call does not matter, and etcd drops clients that ping on one ("excess pings").
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 3_000,
  // Without it a new client would get the old, perhaps dead, connection from a pool that the process shares.
  'grpc.use_local_subchannel_pool': 1,
  // One revision is one message, however many keys it deletes.
  'grpc.max_receive_message_length': -1,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc-node.flow_control_window': 4 << 20,
});

export class Endpoint {
  readonly address: string;
  readonly #pool: ConnectionPool;
  readonly #inFlight = new Set<Cancellable>();
  #closed = false;

  constructor(options: EndpointOptions) {
    const { address, tls } = options;
    this.address = address;
    this.#pool = new ConnectionPool({
      hosts: tls === undefined ? `http://${address}` : `https://${address}`,
      grpcOptions: channelOptions(options),
      ...(tls === undefined ? {} : { credentials: credentialsOf(tls) }),
    });
    mendHandshakes(this.#pool, options.connectTimeoutMs);
  }

  /** One call. Rejects with grpc-js's own error, at the latest after `timeoutMs`. */
  async call(
    service: GrpcService,
    method: string,
    request: object,
    options: GrpcCallOptions,
  ): Promise<unknown> {
    try {
      return await this.#attempt(service, method, request, options);
    } catch (error) {
      // Between the borrowing of a client and its use another call may have had all connections made anew.
      if (!isShutDown(error) || this.#closed) throw error;
      return this.#attempt(service, method, request, options);
    }
  }

  async #attempt(
    service: GrpcService,
    method: string,
    request: object,
    { timeoutMs, token, stream }: GrpcCallOptions,
  ): Promise<unknown> {
    const { client, metadata, resource } = await this.#borrow(service, token);
    const methods = client as unknown as Record<string, unknown>;
    const send = methods[method] as (...args: unknown[]) => unknown;
    const bound = send.bind(client);
    try {
      if (stream === true) return await this.#ask(bound as Stream, request, metadata, timeoutMs);
      return await this.#unary(bound as Unary, request, metadata, timeoutMs);
    } catch (error) {
      // A channel that cannot connect waits ever longer between attempts. How long to wait is our caller's to say.
      const isStuck = client.getChannel().getConnectivityState(false) !== READY;
      if ((isStuck || isTimeout(error)) && !this.#closed) resource.resetAllServices();
      throw error;
    }
  }

  /**
   * What is asked from here on goes over new connections; what is under way ends on the old ones. One on which nothing
   * came may be dead in one direction only, or wait for its peer's next repetition for as long as the outage lasted.
   */
  async reconnect(): Promise<void> {
    if (this.#closed) return;
    await this.#pool.withConnection('KV', ({ resource }) => resource.resetAllServices());
  }

  /** A new watch stream. It asks the member to end it when it has lost the cluster's leader. */
  async openWatch(token: string | undefined): Promise<WatchStream> {
    const { client, metadata } = await this.#borrow('Watch', token);
    metadata.set('hasleader', 'true');
    const open = (client as unknown as { watch(metadata: Metadata): WatchStream }).watch;
    const stream = open.call(client, metadata);
    this.#inFlight.add(stream);
    // The reader hears of errors through the iterator; this keeps one that comes later from killing the process.
    stream.on('error', () => this.#inFlight.delete(stream));
    return stream;
  }

  close(): void {
    this.#closed = true;
    for (const call of this.#inFlight) call.cancel();
    this.#pool.close();
  }

  async #borrow(service: GrpcService, token: string | undefined): Promise<Lent> {
    if (this.#closed) throw storeErrorOf(new Error('the store is closed'), this.address);
    const lent = await this.#pool.withConnection(service, (lending) => lending);
    if (token !== undefined) lent.metadata.set('token', token);
    return lent;
  }

  #unary(send: Unary, request: object, metadata: Metadata, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + timeoutMs };
      const call = send(request, metadata, options, (error, response) => {
        this.#inFlight.delete(call);
        if (error === null) resolve(response);
        else reject(error);
      });
      this.#inFlight.add(call);
    });
  }

  #ask(open: Stream, request: object, metadata: Metadata, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stream = open(metadata, { deadline: Date.now() + timeoutMs });
      this.#inFlight.add(stream);
      stream.on('data', resolve);
      stream.on('error', reject);
      stream.on('end', () => reject(new Error('the stream ended without an answer')));
      stream.on('close', () => this.#inFlight.delete(stream));
      stream.end(request);
    });
  }
}

function credentialsOf(tls: { ca?: Buffer; cert?: Buffer; key?: Buffer }) {
  return {
    // Without a CA of its own the system's are used; etcd3's types do not know that grpc-js allows it.
    rootCertificate: tls.ca as Buffer,
    ...(tls.key === undefined ? {} : { privateKey: tls.key }),
    ...(tls.cert === undefined ? {} : { certChain: tls.cert }),
  };
}

/**
 * Two things that grpc-js leaves undone when it connects:
 *
 * - It sets no time limit. A peer that accepts a connection and stays silent would hold the socket for as long as it
 *   likes, and every new attempt would add one more.
 * - It sends the host of the target as the TLS server name even if that is an IP address. RFC 6066 §3 allows host names
 *   only, without a trailing dot; Node 26 throws for an address, and etcd ends the handshake for a trailing dot.
 *
 * This reaches into what etcd3 and grpc-js keep private, at the one place where they show the new socket.
 */

interface Connector {
  /** What a connector with TLS hands to `tls.connect`. */
  readonly connectionOptions?: { servername?: string };
  /** Resolves when TLS is up. Without TLS it gives the same socket. */
  connect(socket: Socket): Promise<{ readonly socket: Socket }>;
}

interface Credentials {
  _createSecureConnector(...args: unknown[]): Connector;
}

interface Internals {
  readonly hosts: ReadonlyArray<{ readonly channelCredentials: Credentials }>;
}

/**
 * Has every later connection of the pool send a proper server name, and end if no octet has come after `timeoutMs`, or
 * none within TLS after as much again.
 */
export function mendHandshakes(pool: ConnectionPool, timeoutMs: number): void {
  for (const { channelCredentials } of (pool as unknown as Internals).hosts) {
    const create = channelCredentials._createSecureConnector.bind(channelCredentials);
    channelCredentials._createSecureConnector = (...args) => {
      const connector = create(...args);
      const { connectionOptions: tls } = connector;
      // Without a server name Node compares the certificate with `host`, which grpc-js sets as well.
      if (tls?.servername !== undefined) tls.servername = serverNameOf(tls.servername);
      const connect = connector.connect.bind(connector);
      connector.connect = async (socket) => {
        endIfSilent(socket, timeoutMs);
        const connected = await connect(socket);
        // The octets of the handshake do not show that somebody speaks HTTP/2 behind it.
        if (connected.socket !== socket) endIfSilent(connected.socket, timeoutMs);
        return connected;
      };
      return connector;
    };
  }
}

/** The name that TLS may tell a server which is reached at this host; empty: none. */
export function serverNameOf(host: string): string {
  const name = host.replace(/\.$/, '');
  return isIP(name) === 0 ? name : '';
}

function endIfSilent(socket: Socket, timeoutMs: number): void {
  const timer = setTimeout(() => {
    if (socket.bytesRead === 0) socket.destroy();
  }, timeoutMs);
  socket.once('close', () => clearTimeout(timer));
  timer.unref();
}
