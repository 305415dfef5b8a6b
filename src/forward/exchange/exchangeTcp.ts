/**
 * One question to one upstream over a TCP connection of its own (RFC 7766), for replies that UDP could not carry or
 * prove. Every failure is a value, and the connection is always destroyed.
 */
import { connect, type Socket } from 'node:net';
import type { SocketAddress } from '../../dns/address.ts';
import { frame, Reassembly } from '../../dns/framing.ts';
import {
  type ExchangeOptions,
  encodeUpstreamQuery,
  exchangeWithin,
  type UpstreamQuery,
} from './exchange.ts';
import { type ExchangeResult, readReply, type SentQuery } from './reply.ts';

/** Settles within `timeoutMs` and never rejects. */
export async function exchangeTcp(
  upstream: SocketAddress,
  query: UpstreamQuery,
  options: ExchangeOptions,
): Promise<ExchangeResult> {
  const socket = connect({ host: upstream.address, port: upstream.port, noDelay: true });
  try {
    return await sendAndReceive(socket, query, options);
  } finally {
    socket.destroy();
  }
}

function sendAndReceive(
  socket: Socket,
  query: UpstreamQuery,
  options: ExchangeOptions,
): Promise<ExchangeResult> {
  const id = options.randomInt(65536);
  return exchangeWithin(options, (settle) => {
    const fail = (text: string) => settle({ kind: 'network', text });
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('the upstream closed the connection before it replied'));
    onReply(socket, { id, question: query.question, transport: 'tcp' }, settle);
    socket.write(frame(encodeUpstreamQuery(query, id)));
  });
}

/** Calls `settle` with the first message on the connection that is the reply; other messages are ignored. */
function onReply(socket: Socket, sent: SentQuery, settle: (result: ExchangeResult) => void): void {
  const input = new Reassembly();
  socket.on('data', (chunk: Buffer) => {
    input.push(chunk);
    const result = firstReply(input, sent);
    if (result === undefined) return;
    socket.destroy(); // the rest of the chunk stays in `input`, which takes no further one
    settle(result);
  });
}

function firstReply(input: Reassembly, sent: SentQuery): ExchangeResult | undefined {
  for (;;) {
    const next = input.next();
    switch (next.kind) {
      case 'incomplete':
        return undefined;
      case 'malformed':
        return { kind: 'network', text: 'the upstream sent octets that are no DNS message' };
      case 'message': {
        const result = readReply(next.message, sent);
        if (result !== undefined) return result;
      }
    }
  }
}
