/** The OPT pseudo-record (RFC 6891 §6.1): its fields, its options, and the one we send (with RFC 8914's error). */
import type { Edns, ExtendedError } from './message.ts';
import { Type } from './rr.ts';
import type { Writer } from './writer.ts';

/** What we say that we can receive, and the most that we send over UDP: never fragmented (RFC 9715 §3). */
export const UDP_SIZE = 1232;

/** Offset of the octet of an OPT record that has DO as its upper bit. */
export const DO_OFFSET = 7;
export const DO_IN_OCTET = 0x80;

const EXTENDED_ERROR = 15;
const DO = 0x8000;
const OPT_OCTETS = 11;

/** RFC 8914 §3 wants EXTRA-TEXT short; with this bound question, OPT and text always fit 512 octets. */
const MAX_EXTRA_TEXT_OCTETS = 160;

/** What an OPT record says in its CLASS and TTL fields. */
export function ednsOf(classField: number, ttlField: number): Edns {
  return {
    udpSize: classField,
    version: (ttlField >>> 16) & 0xff,
    dnssecOk: (ttlField & DO) !== 0,
  };
}

/** The upper eight bits of a 12-bit RCODE, in their place, from an OPT record's TTL field. */
export function extendedRcodeBits(ttlField: number): number {
  return (ttlField >>> 24) << 4;
}

/** Whether the octets from `start` to `end` are a list of options, each as long as it says (RFC 6891 §6.1.2). */
export function areOptions(octets: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at + 4 <= end) at += 4 + ((octets[at + 2] as number) << 8) + (octets[at + 3] as number);
  return at === end;
}

/** An OPT record to send: version 0, and of the flags only DO. */
export interface Opt {
  readonly udpSize: number;
  readonly dnssecOk: boolean;
  readonly rcode: number;
  readonly extendedError?: { readonly code: number; readonly text: Buffer } | undefined;
}

/** The error with its text as UTF-8, cut between characters where it is too long. */
export function encodedError(error: ExtendedError): { code: number; text: Buffer } {
  const text = Buffer.from(error.text, 'utf8');
  let length = Math.min(text.length, MAX_EXTRA_TEXT_OCTETS);
  while (length < text.length && ((text[length] as number) & 0xc0) === 0x80) length--;
  return { code: error.code, text: text.subarray(0, length) };
}

export function optOctets({ extendedError }: Opt): number {
  return OPT_OCTETS + (extendedError === undefined ? 0 : 6 + extendedError.text.length);
}

export function writeOpt(writer: Writer, opt: Opt): void {
  writer.u8(0);
  writer.u16(Type.OPT);
  writer.u16(opt.udpSize);
  writer.u8(opt.rcode >> 4);
  writer.u8(0);
  writer.u16(opt.dnssecOk ? DO : 0);
  writer.u16(optOctets(opt) - OPT_OCTETS);
  if (opt.extendedError === undefined) return;
  writer.u16(EXTENDED_ERROR);
  writer.u16(2 + opt.extendedError.text.length);
  writer.u16(opt.extendedError.code);
  writer.raw(opt.extendedError.text);
}
