/**
 * A time limit on connecting, which grpc-js does not have: a peer that accepts and never speaks would hold a socket for
 * as long as it likes, and every new attempt one more.
 *
 * It reaches into what etcd3 and grpc-js keep private, at the one place where they let the new socket be seen.
 */
import type { Socket } from 'node:net';
import type { ConnectionPool } from 'etcd3/lib/connection-pool.js';

interface Connector {
  connect(socket: Socket): Promise<unknown>;
}

interface Credentials {
  _createSecureConnector(...args: unknown[]): Connector;
}

interface Internals {
  readonly hosts: ReadonlyArray<{ readonly channelCredentials: Credentials }>;
}

/** From here on the pool's connections end when not one octet has come after so long. */
export function limitHandshake(pool: ConnectionPool, timeoutMs: number): void {
  for (const { channelCredentials } of (pool as unknown as Internals).hosts) {
    const create = channelCredentials._createSecureConnector.bind(channelCredentials);
    channelCredentials._createSecureConnector = (...args) => {
      const connector = create(...args);
      const connect = connector.connect.bind(connector);
      connector.connect = (socket) => {
        endIfSilent(socket, timeoutMs);
        return connect(socket);
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
