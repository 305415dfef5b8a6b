/** Messages and questions for tests, made from zone-file text by dns-packet's encoder. */
import assert from 'node:assert/strict';
import dnsPacket from 'dns-packet';
import { decodeMessage } from '../../src/dns/decode.ts';
import type { Message, Question } from '../../src/dns/message.ts';
import { type Name, parseName } from '../../src/dns/name.ts';
import { typeCode } from '../../src/dns/presentation/mnemonic.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import type { Rr } from '../../src/dns/rr.ts';
import { parseRecord } from './upstreamReply.ts';

/** Parses a name; fails the test on a malformed one. */
export function nameOf(text: string): Name {
  const name = parseName(text);
  assert.ok(name, `not a name: ${text}`);
  return name;
}

export function questionOf(qname: string, qtype = 'A'): Question {
  const code = typeCode(qtype);
  assert.ok(code !== undefined, `not a type: ${qtype}`);
  return { qname: nameOf(qname), qtype: code, qclass: 1 };
}

export interface MessageText {
  /** Lines of `name ttl type rdata`. */
  readonly answer?: readonly string[];
  readonly authority?: readonly string[];
  readonly additional?: readonly string[];
  readonly rcode?: number;
  /** Header bits besides QR; default RD and RA. */
  readonly flags?: number;
}

/** A response to the question with these records. */
export function messageOf(question: Question, text: MessageText = {}): Message {
  const packet = dnsPacket.encode({
    type: 'response',
    flags: (text.flags ?? 0x0180) | (text.rcode ?? 0),
    questions: [],
    answers: (text.answer ?? []).map(parseRecord),
    authorities: (text.authority ?? []).map(parseRecord),
    additionals: (text.additional ?? []).map(parseRecord),
  });
  const message = decodeMessage(packet);
  assert.ok(message);
  return { ...message, questions: [question] };
}

/** One line for each record, `name ttl IN type rdata` with single spaces. */
export function printed(rrs: readonly Rr[]): string[] {
  return rrs.map((rr) => printRr(rr).replace(/\s+/g, ' '));
}
