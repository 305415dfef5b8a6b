/**
 * One question to one upstream over a TCP connection of its own (RFC 7766), for replies that UDP could not carry or
 * prove. Every failure is a value, and the connection is destroyed whatever happens.
 */
import { connect, type Socket } from 'node:net';
import { frame, Reassembly } from '../dns/framing.ts';
import {
  type ExchangeOptions,
  encodeUpstreamQuery,
  exchangeWithin,
  type UpstreamQuery,
} from './exchange.ts';
import { type ExchangeResult, readReply, type SentQuery } from './reply.ts';
import type { Upstream } from './upstream.ts';

/** Settles within `timeoutMs` and never rejects. */
export async function exchangeTcp(
  upstream: Upstream,
  ask: UpstreamQuery,
  limits: ExchangeOptions,
): Promise<ExchangeResult> {
  const socket = connect({ host: upstream.address, port: upstream.port, noDelay: true });
  try {
    return await converse(socket, upstream, ask, limits);
  } finally {
    socket.destroy();
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
    const fail = (text: string) => settle({ kind: 'network', text });
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('the upstream closed the connection before it replied'));
    onReply(socket, { id, question: ask.question, transport: 'tcp' }, settle);
    socket.write(frame(encodeUpstreamQuery(ask, id, upstream)));
  });
}

/** Calls `settle` with the first message on the connection that is the reply; others are noise. */
function onReply(
  socket: Socket,
  sent: SentQuery,
  settle: (exchanged: ExchangeResult) => void,
): void {
  const input = new Reassembly();
  socket.on('data', (chunk: Buffer) => {
    input.push(chunk);
    const exchanged = firstReply(input, sent);
    if (exchanged === undefined) return;
    socket.destroy(); // what else has come is left in `input`, which takes no more
    settle(exchanged);
  });
}

function firstReply(input: Reassembly, sent: SentQuery): ExchangeResult | undefined {
  for (;;) {
    const next = input.next();
    switch (next.kind) {
      case 'incomplete':
        return undefined;
      case 'malformed':
        return { kind: 'network', text: 'the upstream sent what is no DNS message' };
      case 'message': {
        const exchanged = readReply(next.message, sent);
        if (exchanged !== undefined) return exchanged;
      }
    }
  }
}
