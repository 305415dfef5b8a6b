/**
 * One question to one upstream over UDP, on a socket of its own with a random port and a random id (RFC 5452 §9.2). The
 * socket is connected, so that the kernel drops packets from other addresses and reports a closed port. Every failure
 * is a value, and the socket is always closed.
 */
import { createSocket, type Socket, type SocketOptions } from 'node:dgram';
import { familyOfAddress, type SocketAddress } from '../../dns/address.ts';
import {
  type ExchangeOptions,
  encodeUpstreamQuery,
  exchangeWithin,
  type UpstreamQuery,
} from './exchange.ts';
import type { RandomInt } from './randomCase.ts';
import { type ExchangeResult, readReply } from './reply.ts';

/**
 * The ports to choose from, which give 15.7 bits of randomness. They are above the ports that a host's services usually
 * bind.
 */
const FIRST_PORT = 10240;
const PORT_COUNT = 65536 - FIRST_PORT;
const BIND_ATTEMPTS = 8;

/** Settles within `timeoutMs` and never rejects. */
export async function exchangeUdp(
  upstream: SocketAddress,
  query: UpstreamQuery,
  options: ExchangeOptions,
): Promise<ExchangeResult> {
  let socket: Socket | undefined;
  try {
    socket = openSocket(upstream, options.randomInt);
    return await sendAndReceive(socket, upstream, query, options);
  } catch (error) {
    return { kind: 'network', text: (error as Error).message };
  } finally {
    // The client need not wait until the socket is closed.
    setImmediate(() => socket?.close());
  }
}

/**
 * A socket on a random port that connects to the upstream. If every port tried is in use, the kernel chooses one. Throws
 * if no port can be bound.
 */
function openSocket({ address, port }: SocketAddress, randomInt: RandomInt): Socket {
  for (let attempt = 1; ; attempt++) {
    const socket = createSocket(socketOptions(address));
    const failures: Error[] = [];
    const onFailure = (error: Error) => failures.push(error);
    socket.on('error', onFailure);
    const own = attempt <= BIND_ATTEMPTS ? FIRST_PORT + randomInt(PORT_COUNT) : 0;
    socket.bind({ port: own, exclusive: true });
    const [failure] = failures;
    if (failure === undefined) {
      socket.off('error', onFailure);
      socket.connect(port, address);
      return socket;
    }
    socket.close();
    const isPortInUse = (failure as NodeJS.ErrnoException).code === 'EADDRINUSE';
    if (attempt > BIND_ATTEMPTS || !isPortInUse) throw failure;
  }
}

/** Addresses need no lookup. Node's own takes a turn of the event loop for each; without it `bind` has a result at once. */
function socketOptions(address: string): SocketOptions {
  const family = familyOfAddress(address);
  return {
    type: `udp${family}`,
    ipv6Only: family === 6,
    lookup: (host, _options, callback) => callback(null, host, family),
  };
}

function sendAndReceive(
  socket: Socket,
  to: SocketAddress,
  query: UpstreamQuery,
  options: ExchangeOptions,
): Promise<ExchangeResult> {
  const id = options.randomInt(65536);
  return exchangeWithin(options, (settle) => {
    let seeReply: ((reply: Uint8Array) => void) | undefined;
    const fail = (error: Error) => settle({ kind: 'network', text: error.message });
    socket.on('error', fail);
    socket.on('message', (packet) => {
      const result = readReply(packet, { id, question: query.question, transport: 'udp' });
      if (result === undefined) return;
      seeReply?.(packet);
      settle(result);
    });
    socket.on('connect', () => {
      const packet = encodeUpstreamQuery(query, id);
      seeReply = options.observer?.(packet, { transport: 'udp', from: socket.address(), to });
      socket.send(packet, (error) => {
        if (error) fail(error);
      });
    });
  });
}
