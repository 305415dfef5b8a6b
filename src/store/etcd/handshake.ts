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
import { isIP, type Socket } from 'node:net';
import type { ConnectionPool } from 'etcd3/lib/connection-pool.js';

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
