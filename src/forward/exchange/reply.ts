/**
 * Recognizes the reply to our query among the packets that arrive at our socket. The socket is connected, so the kernel
 * has checked the server's address and both ports. This file checks what a forger must guess and what a broken server
 * gets wrong: QR, opcode, id and the question.
 */
import { decodeMessage } from '../../dns/decode.ts';
import type { Message, Question } from '../../dns/message.ts';
import { equalNames } from '../../dns/name.ts';
import { Rcode } from '../../dns/rr.ts';
import { HEADER_OCTETS } from '../../dns/wire.ts';
import { identicalNames } from './randomCase.ts';

/** The result of one query to one upstream. */
export type ExchangeResult =
  | { readonly kind: 'reply'; readonly message: Message }
  /** The reply did not fit UDP; TCP can carry it. */
  | { readonly kind: 'truncated' }
  /**
   * A reply whose question differs in case alone: forged, or from a server that changes case. A query over TCP shows
   * which.
   */
  | { readonly kind: 'caseChanged' }
  | { readonly kind: 'timeout' }
  /** Over TLS: the upstream has no trusted certificate. It did not get the query. The text is for logs. */
  | { readonly kind: 'untrusted'; readonly text: string }
  /** The text is for logs. */
  | { readonly kind: 'network'; readonly text: string };

/**
 * The query that was sent. Over TCP the reply's case is not compared, since no off-path attacker can write into a
 * connection.
 */
export interface SentQuery {
  readonly id: number;
  /** In the random case of this question. */
  readonly question: Question;
  readonly transport: 'udp' | 'tcp';
}

/**
 * What the packet means for the query; `undefined` for a packet that is not its reply and must not end the wait for it.
 * Never throws.
 */
export function readReply(packet: Uint8Array, sent: SentQuery): ExchangeResult | undefined {
  // Before decoding, so that other packets cost next to nothing.
  if (packet.length < HEADER_OCTETS || idOf(packet) !== sent.id) return undefined;
  const message = decodeMessage(packet);
  if (message === undefined || !message.isResponse || message.opcode !== 0) return undefined;
  const match = matchQuestion(message, sent.question);
  if (match === 'other') return undefined;
  if (sent.transport === 'tcp') {
    // RFC 2181 §9: a truncated reply is not complete, and no other transport carries more.
    return message.truncated
      ? { kind: 'network', text: 'the reply over TCP is truncated' }
      : { kind: 'reply', message };
  }
  if (message.truncated) return { kind: 'truncated' };
  return match === 'caseChanged' ? { kind: 'caseChanged' } : { kind: 'reply', message };
}

function idOf(packet: Uint8Array): number {
  const [high = 0, low = 0] = packet;
  return (high << 8) | low;
}

function matchQuestion(message: Message, sent: Question): 'same' | 'caseChanged' | 'other' {
  const [question] = message.questions;
  if (question === undefined) return isBareError(message) ? 'same' : 'other';
  const isSame =
    message.questions.length === 1 &&
    question.qtype === sent.qtype &&
    question.qclass === sent.qclass &&
    equalNames(question.qname, sent.qname);
  if (!isSame) return 'other';
  return identicalNames(question.qname, sent.qname) ? 'same' : 'caseChanged';
}

/** A server that cannot read a query, for instance because of EDNS, replies with a header alone. */
function isBareError(message: Message): boolean {
  const { rcode, answer, authority } = message;
  const isError = rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN;
  return isError && answer.length === 0 && authority.length === 0;
}
