/** The twelve octets that every message begins with (RFC 1035 §4.1.1; AD and CD: RFC 4035 §3). */
import type { Writer } from './writer.ts';

export const HEADER_OCTETS = 12;

/** Bits of the header's second 16-bit field, between which OPCODE, Z and RCODE stand. */
export const Flag = {
  QR: 0x8000,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  AD: 0x0020,
  CD: 0x0010,
} as const;

/** OPCODE, from the second 16-bit field. */
export function opcodeOf(flags: number): number {
  return (flags >> 11) & 0xf;
}

export interface Counts {
  readonly question: number;
  readonly answer: number;
  readonly authority: number;
  readonly additional: number;
}

/** Writes the header in place, wherever the writer stands: counts and TC are known when the rest has been written. */
export function writeHeader(writer: Writer, id: number, flags: number, counts: Counts): void {
  writer.put16(0, id);
  writer.put16(2, flags);
  writer.put16(4, counts.question);
  writer.put16(6, counts.answer);
  writer.put16(8, counts.authority);
  writer.put16(10, counts.additional);
}
