/**
 * One etcd member over gRPC: calls with a deadline, and streams for watches. Of etcd3 this file uses only the proto
 * files and the pool of service clients, and not for watches. It does not use etcd3's retries, circuit breaker, tokens
 * and Watcher, because they hide which member answered, retry writes, and lose events.
 *
 * Invariant: every call ends within its deadline, and the endpoint closes a connection whose peer is silent.
 */
import type { Socket } from 'node:net';
import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import type { StoreError } from '../store.ts';
import { isShutDown, isTimeout, storeErrorOf } from './failure.ts';
import type { GrpcStream } from './grpcStream.ts';
import { serverNameOf } from './pacedConnection.ts';
import { WatchConnections } from './watchConnection.ts';

type Lent = Parameters<Parameters<ConnectionPool['withConnection']>[1]>[0];
type Metadata = Lent['metadata'];
type GrpcService = 'KV' | 'Lease' | 'Auth';

interface Cancellable {
  cancel(): void;
}

type Unary = (
  request: unknown,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: Error | null, response: unknown) => void,
) => Cancellable;

/** A bidirectional stream that carries one request and one answer. */
interface OneRequestStream extends Cancellable {
  on(event: 'data', listener: (answer: unknown) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end' | 'close', listener: () => void): unknown;
  /** Sends the request and ends the client's side. */
  end(request: unknown): unknown;
}

type Stream = (metadata: Metadata, options: { deadline: number }) => OneRequestStream;

export interface GrpcCallOptions {
  readonly timeoutMs: number;
  readonly token: string | undefined;
  /** The method is a bidirectional stream: the endpoint sends one request and reads the first answer. */
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
  // An idle connection does not matter, and etcd closes connections that send pings without a call ("excess pings").
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 3_000,
  // Otherwise a new client would get the old, perhaps dead, connection from a pool that the process shares.
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
  readonly #watches: WatchConnections;
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
    correctHandshakes(this.#pool, options.connectTimeoutMs);
    this.#watches = new WatchConnections(options);
  }

  /** One call. Rejects with grpc-js's error within `timeoutMs`. */
  async call(
    service: GrpcService,
    method: string,
    request: object,
    options: GrpcCallOptions,
  ): Promise<unknown> {
    try {
      return await this.#attempt(service, method, request, options);
    } catch (error) {
      // Another call may have replaced all connections after this one borrowed its client.
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
      if (stream === true)
        return await this.#exchange(bound as Stream, request, metadata, timeoutMs);
      return await this.#unary(bound as Unary, request, metadata, timeoutMs);
    } catch (error) {
      // grpc-js doubles the pause between attempts to connect. The caller decides how long to wait, so new channels
      // replace the old ones.
      const isStuck = client.getChannel().getConnectivityState(false) !== READY;
      if ((isStuck || isTimeout(error)) && !this.#closed) resource.resetAllServices();
      throw error;
    }
  }

  /**
   * Later calls use new connections, and calls in progress end on the old ones. A connection without messages may be
   * dead in one direction only, or may wait for its peer's next retransmission, for as long as the outage lasted.
   */
  async reconnect(): Promise<void> {
    if (this.#closed) return;
    this.#watches.reconnect();
    await this.#pool.withConnection('KV', ({ resource }) => resource.resetAllServices());
  }

  /** A new stream for a watch. The member ends it when it loses the cluster's leader. */
  openWatch(token: string | undefined): GrpcStream {
    if (this.#closed) throw this.#closedError();
    return this.#watches.open(token);
  }

  close(): void {
    this.#closed = true;
    for (const call of this.#inFlight) call.cancel();
    this.#watches.close();
    this.#pool.close();
  }

  async #borrow(service: GrpcService, token: string | undefined): Promise<Lent> {
    if (this.#closed) throw this.#closedError();
    const lent = await this.#pool.withConnection(service, (lending) => lending);
    if (token !== undefined) lent.metadata.set('token', token);
    return lent;
  }

  #closedError(): StoreError {
    return storeErrorOf(new Error('the store is closed'), this.address);
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

  #exchange(
    open: Stream,
    request: object,
    metadata: Metadata,
    timeoutMs: number,
  ): Promise<unknown> {
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
    // Undefined means the system's CAs. grpc-js allows that, but etcd3's types do not.
    rootCertificate: tls.ca as Buffer,
    ...(tls.key === undefined ? {} : { privateKey: tls.key }),
    ...(tls.cert === undefined ? {} : { certChain: tls.cert }),
  };
}

interface Connector {
  /** The options that a connector with TLS passes to `tls.connect`. */
  readonly connectionOptions?: { servername?: string };
  /** Resolves after the TLS handshake. Without TLS it returns the same socket. */
  connect(socket: Socket): Promise<{ readonly socket: Socket }>;
}

interface Credentials {
  _createSecureConnector(...args: unknown[]): Connector;
}

interface Internals {
  readonly hosts: ReadonlyArray<{ readonly channelCredentials: Credentials }>;
}

/**
 * Corrects two faults of grpc-js's handshakes for every later connection of the pool:
 *
 * - grpc-js sets no time limit. A peer that accepts a connection and stays silent could hold the socket for any time,
 *   and every new attempt would add one more socket. Here a connection ends if no octet arrives within `timeoutMs`, or
 *   if no octet inside TLS arrives within `timeoutMs` after the TLS handshake.
 * - grpc-js sends the host of the target as the TLS server name even if it is an IP address. RFC 6066 §3 allows only
 *   host names without a trailing dot; Node 26 throws for an address, and etcd ends the handshake for a trailing dot.
 *
 * This uses private members of etcd3 and grpc-js, at the only point where they expose the new socket.
 */
function correctHandshakes(pool: ConnectionPool, timeoutMs: number): void {
  for (const { channelCredentials } of (pool as unknown as Internals).hosts) {
    const create = channelCredentials._createSecureConnector.bind(channelCredentials);
    channelCredentials._createSecureConnector = (...args) => {
      const connector = create(...args);
      const { connectionOptions: tls } = connector;
      // Without a server name Node checks the certificate against `host`, which grpc-js sets too.
      if (tls?.servername !== undefined) tls.servername = serverNameOf(tls.servername);
      const connect = connector.connect.bind(connector);
      connector.connect = async (socket) => {
        endIfSilent(socket, timeoutMs);
        const connected = await connect(socket);
        // The handshake does not show that the peer speaks HTTP/2 inside TLS.
        if (connected.socket !== socket) endIfSilent(connected.socket, timeoutMs);
        return connected;
      };
      return connector;
    };
  }
}

function endIfSilent(socket: Socket, timeoutMs: number): void {
  const timer = setTimeout(() => {
    if (socket.bytesRead === 0) socket.destroy();
  }, timeoutMs);
  socket.once('close', () => clearTimeout(timer));
  timer.unref();
}
