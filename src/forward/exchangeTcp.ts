/**
 * One question to one upstream over a TCP connection of its own (RFC 7766), for replies that UDP could not carry or
 * prove. Every failure is a value, and the connection is destroyed whatever happens.
 */
import { connect, type Socket } from 'node:net';
import { type Ask, type ExchangeLimits, encodeAsk } from './exchange.ts';
import { type Exchanged, readReply, type Sent } from './reply.ts';
import type { Upstream } from './upstream.ts';

/** Settles within `timeoutMs` and never rejects. */
export async function exchangeTcp(
  upstream: Upstream,
  ask: Ask,
  limits: ExchangeLimits,
): Promise<Exchanged> {
  const socket = connect({ host: upstream.address, port: upstream.port, noDelay: true });
  try {
    return await converse(socket, ask, limits);
  } finally {
    socket.destroy();
  }
}

function converse(socket: Socket, ask: Ask, limits: ExchangeLimits): Promise<Exchanged> {
  const { timeoutMs, signal, randomInt } = limits;
  const id = randomInt(65536);
  return new Promise((resolve) => {
    const settle = (exchanged: Exchanged) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(exchanged);
    };
    const fail = (text: string) => settle({ kind: 'network', text });
    const onAbort = () => fail('shutting down');
    const timer = setTimeout(() => settle({ kind: 'timeout' }), timeoutMs);
    signal.addEventListener('abort', onAbort);
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('the upstream closed the connection before it replied'));
    onReply(socket, { id, question: ask.question, transport: 'tcp' }, settle);
    socket.write(framed(encodeAsk(ask, id)));
  });
}

/** Calls `settle` with the first message on the connection that is the reply; others are noise. */
function onReply(socket: Socket, sent: Sent, settle: (exchanged: Exchanged) => void): void {
  let unread = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 2 && unread.length >= 2 + unread.readUInt16BE(0)) {
      const end = 2 + unread.readUInt16BE(0);
      const exchanged = readReply(unread.subarray(2, end), sent);
      if (exchanged !== undefined) return settle(exchanged);
      unread = unread.subarray(end);
    }
  });
}

/** RFC 1035 §4.2.2: the message behind its length in two octets. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(2 + message.length);
  frame.writeUInt16BE(message.length, 0);
  frame.set(message, 2);
  return frame;
}
