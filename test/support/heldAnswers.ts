/** What the answer table of a `FastZone` holds for a question, and the slow path's answer to it, as zone-file text. */
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { Rcode } from '../../src/dns/rr.ts';
import type { FastZone } from './fastZone.ts';
import { question } from './zone.ts';

export function queryOf(qname: string, type: string): Uint8Array {
  const flags = { recursionDesired: true, checkingDisabled: false };
  return encodeQuery({ id: 1, ...flags, question: question(qname, type), edns: undefined });
}

/** The answer section's records, or `NXDOMAIN`, `NODATA`, or another rcode as a number. */
export function answerIn(reply: Uint8Array): string {
  const message = decodeMessage(reply);
  if (message === undefined) return 'malformed';
  if (message.rcode === Rcode.NXDOMAIN) return 'NXDOMAIN';
  if (message.rcode !== Rcode.NOERROR) return String(message.rcode);
  if (message.answer.length === 0) return 'NODATA';
  return message.answer
    .map((rr) => printRr(rr).replace(/\s+/g, ' '))
    .sort()
    .join('\n');
}

/** The table's answer; `miss` if it has none. `q`: `name TYPE`, without the final dot. */
export function held(zone: FastZone, q: string): string {
  const [qname = '', type = ''] = q.split(' ');
  const reply = zone.fast(queryOf(`${qname}.`, type));
  return typeof reply === 'number' ? nameOfOutcome(reply) : answerIn(reply);
}

function nameOfOutcome(outcome: number): string {
  return outcome === Outcome.DROP ? 'drop' : 'miss';
}

/** Handles the question as a miss; returns the slow path's answer. */
export function asked(zone: FastZone, q: string): string {
  const [qname = '', type = ''] = q.split(' ');
  const query = queryOf(`${qname}.`, type);
  zone.publish(query);
  const reply = zone.slow(query);
  return reply === undefined ? 'none' : answerIn(reply);
}

/** Asks as a client does: the table answers or, at a miss, the slow path. */
export function ask(zone: FastZone, q: string): string {
  const answer = held(zone, q);
  return answer === 'miss' ? asked(zone, q) : answer;
}
