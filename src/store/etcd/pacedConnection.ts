/**
 * A TCP or TLS connection that reads at intervals: octets that arrive soon after others are read together with those
 * that follow. For a process, many small reads cost much more CPU time than a few larger ones. The first octets after a
 * pause are read at once.
 */
import {
  connect as connectTcp,
  isIP,
  type NetConnectOpts,
  type OnReadOpts,
  type Socket,
} from 'node:net';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

/** Octets wait at most this long. */
const INTERVAL_MS = 5;
/** A read of this size is followed by the next one at once. */
const READ_OCTETS = 1 << 16;

export interface PacedTarget {
  /** Host and port, an IPv6 address in brackets. */
  readonly address: string;
  readonly tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } | undefined;
}

/** A connection for HTTP/2. What is written before it is established is sent then. */
export function connectPaced({ address, tls }: PacedTarget): Duplex {
  const { hostname, port } = new URL(`tcp://${address}`);
  const host = hostname.replace(/^\[|\]$/g, '');
  const target = { host, port: Number(port) };
  if (tls === undefined) return new PacedConnection((onread) => connectTcp({ ...target, onread }));
  const servername = serverNameOf(host);
  const secure = {
    ...{ ...target, ...tls, ALPNProtocols: ['h2'] },
    // Without a server name Node checks the certificate against the host.
    ...(servername === '' ? {} : { servername }),
  };
  return new PacedConnection((onread) => {
    const options: ConnectionOptions & Pick<NetConnectOpts, 'onread'> = { ...secure, onread };
    return connectTls(options);
  });
}

/** The TLS server name for a host; empty if TLS must not send one. */
export function serverNameOf(host: string): string {
  const name = host.replace(/\.$/, '');
  return isIP(name) === 0 ? name : '';
}

class PacedConnection extends Duplex {
  readonly #socket: Socket;
  #timer: NodeJS.Timeout | undefined;

  constructor(open: (onread: OnReadOpts) => Socket) {
    super();
    const callback = (octets: number, buffer: Uint8Array): boolean => this.#onRead(octets, buffer);
    this.#socket = open({ buffer: Buffer.allocUnsafeSlow(READ_OCTETS), callback });
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error) => this.destroy(error));
    this.#socket.on('end', () => this.push(null));
    this.#socket.on('close', () => this.destroy());
  }

  /** False: the socket reads nothing until it is resumed. The windows of HTTP/2 limit how much waits in this object. */
  #onRead(octets: number, buffer: Uint8Array): boolean {
    this.push(Buffer.from(buffer.subarray(0, octets)));
    if (octets === READ_OCTETS) return true;
    this.#timer = setTimeout(() => this.#socket.resume(), INTERVAL_MS);
    return false;
  }

  override _read(): void {
    // The socket decides when to read.
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#socket.destroy();
    done(error);
  }
}
