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
  ownEnd,
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
    return await sendAndReceive(socket, upstream, query, options);
  } finally {
    socket.destroy();
  }
}

function sendAndReceive(
  socket: Socket,
  to: SocketAddress,
  query: UpstreamQuery,
  options: ExchangeOptions,
): Promise<ExchangeResult> {
  const id = options.randomInt(65536);
  const { observer } = options;
  let seeReply: ((reply: Uint8Array) => void) | undefined;
  return exchangeWithin(options, (settle) => {
    const fail = (text: string) => settle({ kind: 'network', text });
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('the upstream closed the connection before it replied'));
    onReply(socket, { id, question: query.question, transport: 'tcp' }, ({ result, octets }) => {
      if (octets !== undefined) seeReply?.(octets);
      settle(result);
    });
    const message = encodeUpstreamQuery(query, id);
    socket.on('connect', () => {
      seeReply = observer?.(message, { transport: 'tcp', from: ownEnd(socket), to });
    });
    socket.write(frame(message));
  });
}

interface FoundReply {
  readonly result: ExchangeResult;
  /** Undefined if the upstream sent no message. */
  readonly octets?: Uint8Array;
}

/** Calls `found` with the first message on the connection that is the reply; other messages are ignored. */
function onReply(socket: Socket, sent: SentQuery, found: (reply: FoundReply) => void): void {
  const input = new Reassembly();
  socket.on('data', (chunk: Buffer) => {
    input.push(chunk);
    const reply = firstReply(input, sent);
    if (reply === undefined) return;
    socket.destroy(); // the rest of the chunk stays in `input`, which takes no further one
    found(reply);
  });
}

function firstReply(input: Reassembly, sent: SentQuery): FoundReply | undefined {
  for (;;) {
    const next = input.next();
    switch (next.kind) {
      case 'incomplete':
        return undefined;
      case 'malformed': {
        const text = 'the upstream sent octets that are no DNS message';
        return { result: { kind: 'network', text } };
      }
      case 'message': {
        const result = readReply(next.message, sent);
        if (result !== undefined) return { result, octets: next.message };
      }
    }
  }
}
