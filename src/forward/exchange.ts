/**
 * One question to one upstream over UDP, on a socket of its own: a fresh random port and a fresh random id for each
 * (F1, RFC 5452 §9.2), connected, so that the kernel drops what others send and reports a closed port. Every failure is
 * a value, and the socket is closed whatever happens.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { type ServerId, UDP_SIZE } from '../dns/edns.ts';
import { encodeQuery } from '../dns/encode.ts';
import type { Question } from '../dns/message.ts';
import { withDeadline } from '../timing/deadline.ts';
import { isPublicAddress } from './privateNames.ts';
import { type ExchangeResult, type RandomInt, readReply } from './reply.ts';
import type { Upstream } from './upstream.ts';

export interface UpstreamQuery {
  /** With the qname in the case to send. */
  readonly question: Question;
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
  /** Whether to send an OPT record at all. */
  readonly edns: boolean;
  /** The soradns servers on the question's way, this one the last. */
  readonly path: readonly ServerId[];
}

export interface ExchangeOptions {
  readonly timeoutMs: number;
  /** Ends the exchange at once, as a network failure. */
  readonly signal: AbortSignal;
  readonly randomInt: RandomInt;
}

/** The ports to choose from: above those that services of a host usually bind, 15.7 bits of them. */
const FIRST_PORT = 10240;
const PORT_COUNT = 65536 - FIRST_PORT;
const BIND_ATTEMPTS = 8;

/**
 * The question on the wire, with RD set. Only servers on private addresses get to see its way: another soradns is one of
 * those, and old public servers may not know what to do with an option.
 */
export function encodeUpstreamQuery(
  ask: UpstreamQuery,
  id: number,
  { address }: Upstream,
): Uint8Array {
  const { question, checkingDisabled, dnssecOk } = ask;
  const path = isPublicAddress(address) ? undefined : ask.path;
  const edns = ask.edns ? { udpSize: UDP_SIZE, dnssecOk, path } : undefined;
  return encodeQuery({ id, question, recursionDesired: true, checkingDisabled, edns });
}

/** What the conversation is settled with first, unless its time is over or it is ended before. */
export function exchangeWithin(
  { timeoutMs, signal }: ExchangeOptions,
  converse: (settle: (exchanged: ExchangeResult) => void) => void,
): Promise<ExchangeResult> {
  return withDeadline(
    new Promise(converse),
    timeoutMs,
    (end): ExchangeResult =>
      end === 'timeout' ? { kind: 'timeout' } : { kind: 'network', text: 'shutting down' },
    { signal },
  );
}

/** Settles within `timeoutMs` and never rejects. */
export async function exchangeUdp(
  upstream: Upstream,
  ask: UpstreamQuery,
  limits: ExchangeOptions,
): Promise<ExchangeResult> {
  let socket: Socket | undefined;
  try {
    socket = await bindFreshPort(isIP(upstream.address) === 6 ? 'udp6' : 'udp4', limits.randomInt);
    socket.connect(upstream.port, upstream.address);
    await once(socket, 'connect');
    return await converse(socket, upstream, ask, limits);
  } catch (error) {
    return { kind: 'network', text: (error as Error).message };
  } finally {
    socket?.close();
  }
}

/** A socket on a random port; one that the kernel chose when ours were taken again and again. */
async function bindFreshPort(type: 'udp4' | 'udp6', randomInt: RandomInt): Promise<Socket> {
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

function converse(
  socket: Socket,
  upstream: Upstream,
  ask: UpstreamQuery,
  limits: ExchangeOptions,
): Promise<ExchangeResult> {
  const id = limits.randomInt(65536);
  return exchangeWithin(limits, (settle) => {
    const fail = (error: Error) => settle({ kind: 'network', text: error.message });
    socket.on('error', fail);
    socket.on('message', (packet) => {
      const exchanged = readReply(packet, { id, question: ask.question, transport: 'udp' });
      if (exchanged !== undefined) settle(exchanged);
    });
    socket.send(encodeUpstreamQuery(ask, id, upstream), (error) => {
      if (error) fail(error);
    });
  });
}
