/**
 * Netlink messages and their attributes as octets (linux/netlink.h, RFC 3549 §2.3). Numbers of the header are in the
 * byte order of the machine, which is little-endian; those of netfilter's attributes are in network order. Pure.
 */

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header. A view of the octets that were read. */
  readonly payload: Uint8Array;
}

export const NetlinkFlag = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  /** What a dump reads has changed meanwhile, so the dump may lack entries. */
  INTERRUPTED: 0x10,
  DUMP: 0x300,
} as const;

/** Types below 16 belong to netlink itself. */
export const NetlinkType = { ERROR: 2, DONE: 3 } as const;

const HEADER_OCTETS = 16;
const ATTRIBUTE_OCTETS = 4;
/** The two highest bits of an attribute's type are flags. */
const ATTRIBUTE_TYPE = 0x3fff;
const NESTED = 0x8000;

export function encodeMessage({ type, flags, sequence, payload }: NetlinkMessage): Uint8Array {
  const octets = new Uint8Array(HEADER_OCTETS + payload.length);
  const view = viewOf(octets);
  view.setUint32(0, octets.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  octets.set(payload, HEADER_OCTETS);
  return octets;
}

/** The messages in one read. Octets that are no whole message end the list. */
export function decodeMessages(octets: Uint8Array): readonly NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const view = viewOf(octets);
  let at = 0;
  while (at + HEADER_OCTETS <= octets.length) {
    const length = view.getUint32(at, true);
    if (length < HEADER_OCTETS || at + length > octets.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: octets.subarray(at + HEADER_OCTETS, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** The errno in an acknowledgement or at the end of a dump; 0 for success. */
export function errnoIn({ payload }: NetlinkMessage): number {
  return payload.length < 4 ? 0 : Math.abs(viewOf(payload).getInt32(0, true));
}

export function attribute(type: number, value: Uint8Array): Uint8Array {
  const octets = new Uint8Array(aligned(ATTRIBUTE_OCTETS + value.length));
  const view = viewOf(octets);
  view.setUint16(0, ATTRIBUTE_OCTETS + value.length, true);
  view.setUint16(2, type, true);
  octets.set(value, ATTRIBUTE_OCTETS);
  return octets;
}

/** An attribute that contains attributes. */
export function nested(type: number, parts: readonly Uint8Array[]): Uint8Array {
  return attribute(type | NESTED, joined(parts));
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const octets = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    octets.set(part, at);
    at += part.length;
  }
  return octets;
}

export function octet(value: number): Uint8Array {
  return Uint8Array.of(value);
}

export function networkShort(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}

export function networkLong(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** The text with the NUL that ends it. */
export function terminated(text: string): Uint8Array {
  return Uint8Array.from([...new TextEncoder().encode(text), 0]);
}

/** The attributes' values by type; of equal types the last one. Octets that are no whole attribute end the list. */
export function readAttributes(octets: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const values = new Map<number, Uint8Array>();
  eachAttribute(octets, (type, value) => values.set(type, value));
  return values;
}

/** Calls back for each attribute, in order, equal types included. */
export function eachAttribute(
  octets: Uint8Array,
  visit: (type: number, value: Uint8Array) => void,
): void {
  let at = 0;
  while (at + ATTRIBUTE_OCTETS <= octets.length) {
    const length = readShort(octets, at);
    if (length < ATTRIBUTE_OCTETS || at + length > octets.length) return;
    const type = readShort(octets, at + 2) & ATTRIBUTE_TYPE;
    visit(type, octets.subarray(at + ATTRIBUTE_OCTETS, at + length));
    at += aligned(length);
  }
}

const FAMILY_NUMBERS = { 4: 2, 6: 10 } as const;
/** struct nfgenmsg: the family, a version and an id, which precede the attributes of every message of netfilter. */
export const NETFILTER_HEADER_OCTETS = 4;

/** The type of a message of netfilter. */
export function netfilterType(subsystem: number, number: number): number {
  return (subsystem << 8) | number;
}

export function netfilterHeader(family: 4 | 6): Uint8Array {
  return Uint8Array.of(FAMILY_NUMBERS[family], 0, 0, 0);
}

/** Undefined for messages of other families. */
export function netfilterFamily({ payload }: NetlinkMessage): 4 | 6 | undefined {
  if (payload[0] === FAMILY_NUMBERS[4]) return 4;
  return payload[0] === FAMILY_NUMBERS[6] ? 6 : undefined;
}

export function netfilterAttributes({ payload }: NetlinkMessage): ReadonlyMap<number, Uint8Array> {
  return readAttributes(payload.subarray(NETFILTER_HEADER_OCTETS));
}

/** The number in network order of a value of 1, 2 or 4 octets; `undefined` for any other. */
export function numberIn(value: Uint8Array | undefined): number | undefined {
  if (value === undefined || ![1, 2, 4].includes(value.length)) return undefined;
  return value.reduce((number, each) => number * 256 + each, 0);
}

/** The text without the NUL that ends it. */
export function textIn(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

/**
 * Where the value of the first attribute of that type is, between `from` and `to`; the end is -1 if there is none. For
 * long lists of messages: it allocates nothing, and returns the same object each time.
 */
export function findAttribute(
  octets: Uint8Array,
  from: number,
  to: number,
  type: number,
): AttributeSpan {
  let at = from;
  SPAN.start = 0;
  SPAN.end = -1;
  while (at + ATTRIBUTE_OCTETS <= to) {
    const length = readShort(octets, at);
    if (length < ATTRIBUTE_OCTETS || at + length > to) break;
    if ((readShort(octets, at + 2) & ATTRIBUTE_TYPE) === type) {
      SPAN.start = at + ATTRIBUTE_OCTETS;
      SPAN.end = at + length;
      break;
    }
    at += aligned(length);
  }
  return SPAN;
}

export interface AttributeSpan {
  start: number;
  end: number;
}

const SPAN: AttributeSpan = { start: 0, end: -1 };

function readShort(octets: Uint8Array, at: number): number {
  return (octets[at] as number) | ((octets[at + 1] as number) << 8);
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function viewOf(octets: Uint8Array): DataView {
  return new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
}
