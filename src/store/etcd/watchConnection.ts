/**
 * The HTTP/2 connection that carries the watches of one etcd member. It exists while it carries a watch.
 *
 * Invariant: a connection whose peer is silent is closed, while it is set up and later.
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import { GrpcStream } from './grpcStream.ts';
import { connectPaced, type PacedTarget } from './pacedConnection.ts';

export interface WatchConnectionOptions extends PacedTarget {
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

/** Octets that etcd may send before this process has read them: of one watch, and of all watches. */
const WINDOW_OCTETS = 4 << 20;
const WATCH_PATH = '/etcdserverpb.Watch/Watch';

export class WatchConnections {
  readonly #options: WatchConnectionOptions;
  /** The connection of the next watch. Earlier ones end with their last watch. */
  #current: WatchConnection | undefined;
  readonly #streams = new Set<GrpcStream>();

  constructor(options: WatchConnectionOptions) {
    this.#options = options;
  }

  /** A new stream for one watch. Does not wait for the connection. */
  open(token: string | undefined): GrpcStream {
    if (this.#current?.isUsable !== true) this.#current = new WatchConnection(this.#options);
    const stream = this.#current.open(token, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    return stream;
  }

  /** Later watches use a new connection. */
  reconnect(): void {
    this.#current = undefined;
  }

  close(): void {
    for (const stream of this.#streams) stream.cancel();
  }
}

class WatchConnection {
  readonly #session: ClientHttp2Session;
  readonly #options: WatchConnectionOptions;
  readonly #streams = new Set<GrpcStream>();
  #isGoingAway = false;

  constructor(options: WatchConnectionOptions) {
    this.#options = options;
    this.#session = sessionTo(options);
    this.#session.on('goaway', () => {
      this.#isGoingAway = true;
    });
    // The streams report the error.
    this.#session.on('error', () => undefined);
    this.#endIfSilent();
  }

  get isUsable(): boolean {
    return !this.#isGoingAway && !this.#session.closed && !this.#session.destroyed;
  }

  /** The member ends the stream when it loses the cluster's leader. */
  open(token: string | undefined, onEnded: () => void): GrpcStream {
    const request = this.#session.request({
      ':method': 'POST',
      ':path': WATCH_PATH,
      ':authority': this.#options.address,
      ':scheme': this.#options.tls === undefined ? 'http' : 'https',
      'content-type': 'application/grpc',
      te: 'trailers',
      hasleader: 'true',
      ...(token === undefined ? {} : { token }),
    });
    const stream = new GrpcStream(request, (ended) => {
      this.#streams.delete(ended);
      if (this.#streams.size === 0) this.#session.destroy();
      onEnded();
    });
    this.#streams.add(stream);
    return stream;
  }

  #endIfSilent(): void {
    const { connectTimeoutMs, keepaliveTimeMs, keepaliveTimeoutMs } = this.#options;
    const session = this.#session;
    const end = (): void => session.destroy(new Error('the connection is silent'));
    let timeout: NodeJS.Timeout | undefined;
    const expectLife = (withinMs: number): void => {
      timeout = setTimeout(end, withinMs);
    };
    const onLife = (): void => {
      clearTimeout(timeout);
      timeout = undefined;
    };
    // The first settings show that the peer speaks HTTP/2, inside TLS if there is TLS.
    expectLife(connectTimeoutMs);
    session.once('remoteSettings', onLife);
    const keepalive = setInterval(() => {
      if (timeout !== undefined || session.destroyed) return;
      expectLife(keepaliveTimeoutMs);
      session.ping(onLife);
    }, keepaliveTimeMs);
    session.once('close', () => {
      clearTimeout(timeout);
      clearInterval(keepalive);
    });
  }
}

function sessionTo(options: WatchConnectionOptions): ClientHttp2Session {
  const session = connect(`http://${options.address}`, {
    createConnection: () => connectPaced(options),
    settings: { enablePush: false, initialWindowSize: WINDOW_OCTETS },
    // The windows limit the memory, and Node would refuse further watches at its own limit.
    maxSessionMemory: Number.MAX_SAFE_INTEGER,
  });
  // Node emits this event even if the last watch has ended the session in the meantime.
  session.once('connect', () => {
    if (!session.destroyed) session.setLocalWindowSize(WINDOW_OCTETS);
  });
  return session;
}
