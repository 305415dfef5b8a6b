/**
 * One question to one upstream over UDP, on a socket of its own with a random port and a random id (RFC 5452 §9.2). The
 * socket is connected, so that the kernel drops packets from other addresses and reports a closed port. Every failure
 * is a value, and the socket is always closed.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { UDP_SIZE } from '../dns/edns.ts';
import { encodeQuery } from '../dns/encode.ts';
import type { Question, ServerId } from '../dns/message.ts';
import { withDeadline } from '../timing/deadline.ts';
import { isPublicAddress } from './privateNames.ts';
import type { RandomInt } from './randomCase.ts';
import { type ExchangeResult, readReply } from './reply.ts';
import type { Upstream } from './upstream.ts';

export interface UpstreamQuery {
  /** With the qname in the case to send. */
  readonly question: Question;
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
  /** Whether to send an OPT record. */
  readonly edns: boolean;
  /** The soradns servers that the question has passed, this one the last. */
  readonly path: readonly ServerId[];
}

export interface ExchangeOptions {
  readonly timeoutMs: number;
  /** Ends the exchange at once, as a network failure. */
  readonly signal: AbortSignal;
  readonly randomInt: RandomInt;
}

/**
 * The ports to choose from, which give 15.7 bits of randomness. They are above the ports that a host's services usually
 * bind.
 */
const FIRST_PORT = 10240;
const PORT_COUNT = 65536 - FIRST_PORT;
const BIND_ATTEMPTS = 8;

/**
 * The question as octets, with RD set. Only upstreams on private addresses get the path: other soradns servers have
 * such addresses, and old public servers may fail on an option that they do not know.
 */
export function encodeUpstreamQuery(
  query: UpstreamQuery,
  id: number,
  { address }: Upstream,
): Uint8Array {
  const { question, checkingDisabled, dnssecOk } = query;
  const path = isPublicAddress(address) ? undefined : query.path;
  const edns = query.edns ? { udpSize: UDP_SIZE, dnssecOk, path } : undefined;
  return encodeQuery({ id, question, recursionDesired: true, checkingDisabled, edns });
}

/**
 * Settles with the first result that `start` reports, or with a failure at the timeout or when the signal is aborted.
 */
export function exchangeWithin(
  { timeoutMs, signal }: ExchangeOptions,
  start: (settle: (result: ExchangeResult) => void) => void,
): Promise<ExchangeResult> {
  return withDeadline(
    new Promise(start),
    timeoutMs,
    (end): ExchangeResult =>
      end === 'timeout' ? { kind: 'timeout' } : { kind: 'network', text: 'shutting down' },
    { signal },
  );
}

/** Settles within `timeoutMs` and never rejects. */
export async function exchangeUdp(
  upstream: Upstream,
  query: UpstreamQuery,
  options: ExchangeOptions,
): Promise<ExchangeResult> {
  let socket: Socket | undefined;
  try {
    socket = await bindRandomPort(
      isIP(upstream.address) === 6 ? 'udp6' : 'udp4',
      options.randomInt,
    );
    socket.connect(upstream.port, upstream.address);
    await once(socket, 'connect');
    return await sendAndReceive(socket, upstream, query, options);
  } catch (error) {
    return { kind: 'network', text: (error as Error).message };
  } finally {
    socket?.close();
  }
}

/** A socket on a random port. If every port tried is in use, the kernel chooses one. */
async function bindRandomPort(type: 'udp4' | 'udp6', randomInt: RandomInt): Promise<Socket> {
  for (let attempt = 1; ; attempt++) {
    const socket = createSocket({ type, ipv6Only: type === 'udp6' });
    const port = attempt <= BIND_ATTEMPTS ? FIRST_PORT + randomInt(PORT_COUNT) : 0;
    try {
      socket.bind({ port, exclusive: true });
      await once(socket, 'listening');
      return socket;
    } catch (error) {
      socket.close();
      if (attempt > BIND_ATTEMPTS || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE')
        throw error;
    }
  }
}

function sendAndReceive(
  socket: Socket,
  upstream: Upstream,
  query: UpstreamQuery,
  options: ExchangeOptions,
): Promise<ExchangeResult> {
  const id = options.randomInt(65536);
  return exchangeWithin(options, (settle) => {
    const fail = (error: Error) => settle({ kind: 'network', text: error.message });
    socket.on('error', fail);
    socket.on('message', (packet) => {
      const result = readReply(packet, { id, question: query.question, transport: 'udp' });
      if (result !== undefined) settle(result);
    });
    socket.send(encodeUpstreamQuery(query, id, upstream), (error) => {
      if (error) fail(error);
    });
  });
}
