/** The fixed parts of a message's octets (RFC 1035 §4.1; AD and CD: RFC 4035 §3). */

/** ID, flags and the four counts. */
export const HEADER_OCTETS = 12;

/** Bits of the header's second 16-bit field, which also holds OPCODE, Z and RCODE. */
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

/** QTYPE and QCLASS, after a question's name. */
export const QUESTION_FIELDS_OCTETS = 4;

/** TYPE, CLASS, TTL and RDLENGTH, between an RR's owner name and its rdata. */
export const RR_FIELDS_OCTETS = 10;

/** An RR without rdata whose owner name is the root. */
export const MIN_RR_OCTETS = 1 + RR_FIELDS_OCTETS;

/** An RR without its rdata, its owner name compressed to a pointer (§4.1.4). */
export const COMPRESSED_RR_OCTETS = 2 + RR_FIELDS_OCTETS;

/** The longest message, by TCP's length field (§4.2.2). */
export const MAX_MESSAGE_OCTETS = 65_535;

/** Offset behind the name at `at`; a negative number if the name does not end in the message. */
export function afterName(octets: Uint8Array, at: number): number {
  for (let p = at; p < octets.length; ) {
    const length = octets[p] as number;
    if (length === 0) return p + 1;
    if (length >= 0xc0) return p + 2;
    p += 1 + length;
  }
  return Number.MIN_SAFE_INTEGER;
}
