/** Carries byte streams with Node's sockets: works everywhere, and copies every octet through this process. */
import net, { type ListenOptions, type Server, type Socket } from 'node:net';
import { clientAddress, type SocketAddress } from '../../../dns/address.ts';
import type { Clock } from '../../../timing/clock.ts';
import { afterNextPoll } from '../../../timing/fairScheduler.ts';
import {
  type AcceptedClient,
  type CarriedOctets,
  type Carrier,
  type ConnectAttempt,
  type ConnectFailure,
  connectFailureOf,
  KEEPALIVE_MS,
  type StreamAddress,
  type StreamSocket,
} from './carrier.ts';
import { connectReading, type ReadingSocket, readingFrom } from './readingSocket.ts';
import {
  type CarriedConnection,
  HalfClosedSockets,
  joinSockets,
  resetSocket,
} from './socketPair.ts';

const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEPALIVE_MS,
} as const;

export class NetCarrier implements Carrier {
  readonly kind = 'net';
  readonly octets: CarriedOctets = { toBackends: 0, toClients: 0 };
  readonly #halfClosed: HalfClosedSockets;

  constructor(clock: Clock) {
    this.#halfClosed = new HalfClosedSockets(clock);
  }

  async listen(
    at: StreamAddress,
    onClient: (client: AcceptedClient) => void,
    onError: (error: NodeJS.ErrnoException) => void,
  ): Promise<StreamSocket> {
    const server = net.createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true });
    await listening(server, listenOptions(at));
    const bound = server.address();
    const isLocal = typeof bound === 'string'; // the path of a Unix socket
    server.on('connection', (socket) => this.#accept(socket, isLocal, onClient));
    server.on('error', onError);
    return {
      address: isLocal || bound === null ? undefined : socketAddress(bound),
      close: async () => {
        await afterNextPoll(); // Node gets the connections that the kernel has accepted
        if (server.listening) server.close();
      },
    };
  }

  #accept(accepted: Socket, isLocal: boolean, onClient: (client: AcceptedClient) => void): void {
    const source = readingFrom(accepted);
    const { socket } = source;
    socket.on('error', () => {}); // at once: a reset may already be pending
    const { remoteAddress, remotePort } = socket;
    const isGone = remoteAddress === undefined || remotePort === undefined;
    if (isGone && !isLocal) return void socket.destroy();
    let carried: CarriedConnection | undefined;
    onClient({
      peer: isGone ? undefined : { address: clientAddress(remoteAddress), port: remotePort },
      localEnd: () => endOf(socket),
      connect: (to, header, { onConnected, onFailed, onClosed }) =>
        this.#connect(to, onFailed, (backend) => {
          const pair = { client: source, isLocal, backend };
          const rest = { octets: this.octets, halfClosed: this.#halfClosed };
          carried = joinSockets({ ...pair, ...rest }, header, onClosed);
          onConnected();
        }),
      reset: () => (carried === undefined ? resetSocket(socket, isLocal) : carried.reset()),
    });
  }

  async close(): Promise<void> {}

  #connect(
    { address, port }: SocketAddress,
    onFailed: (reason: ConnectFailure) => void,
    onConnected: (backend: ReadingSocket) => void,
  ): ConnectAttempt {
    const source = connectReading({ host: address, port, ...SOCKET_OPTIONS });
    const { socket } = source;
    let isOver = false;
    const fail = (reason: ConnectFailure): void => {
      if (isOver) return;
      isOver = true;
      socket.destroy();
      onFailed(reason);
    };
    socket.on('error', (error) => fail(connectFailureOf(error)));
    socket.once('connect', () => {
      if (isOver) return;
      if (isConnectedToItself(socket)) return fail('refused');
      isOver = true;
      onConnected(source);
    });
    return {
      cancel: () => {
        isOver = true;
        socket.destroy();
        return true;
      },
    };
  }
}

/**
 * The kernel may choose the backend's port as the local port of a connection to this host. If no process listens there,
 * the socket connects to itself (RFC 9293 §3.5) and would send the client its own octets.
 */
function isConnectedToItself(socket: Socket): boolean {
  return socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
}

function endOf({ localAddress, localPort }: Socket): SocketAddress | undefined {
  return localAddress === undefined || localPort === undefined
    ? undefined
    : { address: clientAddress(localAddress), port: localPort };
}

function socketAddress({ address, port }: SocketAddress): SocketAddress {
  return { address, port };
}

function listenOptions(at: StreamAddress): ListenOptions | { readonly fd: number } {
  switch (at.kind) {
    case 'port':
      return { host: at.address, port: at.port, ipv6Only: true };
    case 'path':
      return { path: at.path };
    case 'descriptor':
      return { fd: at.fd };
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
