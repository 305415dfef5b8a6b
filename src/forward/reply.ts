/**
 * Telling the reply to our question from everything else that arrives at our socket (F1, F2). The socket is connected,
 * so the kernel has checked the server's address and both ports; what is checked here is what a forger must guess or a
 * broken server gets wrong: QR, opcode, id and the question.
 */
import { decodeMessage } from '../dns/decode.ts';
import { HEADER_OCTETS } from '../dns/header.ts';
import type { Message, Question } from '../dns/message.ts';
import { equalNames } from '../dns/name.ts';
import { Rcode } from '../dns/rr.ts';
import { identicalNames } from './randomCase.ts';

/** What one packet to one upstream came to. */
export type Exchanged =
  | { readonly kind: 'reply'; readonly message: Message }
  /** The reply did not fit: TCP will tell. */
  | { readonly kind: 'truncated' }
  /** The right reply but for the case of its question: a forgery, or a server that does not keep case. TCP will tell. */
  | { readonly kind: 'caseChanged' }
  | { readonly kind: 'timeout' }
  /** The text is for people. */
  | { readonly kind: 'network'; readonly text: string };

/** What was asked, as it went out. Nobody off-path can write into a TCP connection, so case proves nothing there. */
export interface Sent {
  readonly id: number;
  /** In the random case of this question. */
  readonly question: Question;
  readonly transport: 'udp' | 'tcp';
}

/**
 * What the packet is to us; `undefined` when it is noise, which must not end the wait for the real reply. Never throws.
 */
export function readReply(packet: Uint8Array, sent: Sent): Exchanged | undefined {
  // Before decoding: noise should cost next to nothing.
  if (packet.length < HEADER_OCTETS || idOf(packet) !== sent.id) return undefined;
  const message = decodeMessage(packet);
  if (message === undefined || !message.isResponse || message.opcode !== 0) return undefined;
  const match = matchQuestion(message, sent.question);
  if (match === 'other') return undefined;
  if (sent.transport === 'tcp') return { kind: 'reply', message };
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

/** Servers that cannot read a query (EDNS among the reasons) answer with a header alone. */
function isBareError(message: Message): boolean {
  const { rcode, answer, authority } = message;
  const isError = rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN;
  return isError && answer.length === 0 && authority.length === 0;
}
