/**
 * Rdata (RFC 1035 §3.3, RFC 3596, RFC 2782, RFC 3597): reading it from the wire, and writing it.
 *
 * Rdata of a type without a meaning in this program is carried unchanged, except that names in the rdata of old types
 * are decompressed: their pointers would mean something else in another message (RFC 3597 §4).
 */
import { ipv4Bits, ipv6Octets, printAddress } from './address.ts';
import { Cursor } from './cursor.ts';
import { foldOctet } from './name.ts';
import { Class, type Rdata, type Rr, Type } from './rr.ts';
import type { MessageWriter } from './writer.ts';

/** Reads RDLENGTH and the rdata; fails the cursor unless the rdata has exactly that length. */
export function readRdata(cursor: Cursor, type: number, rrClass: number): Rdata {
  const length = cursor.u16();
  const packetEnd = cursor.end;
  if (cursor.at + length > packetEnd) cursor.fail();
  cursor.end = Math.min(cursor.at + length, packetEnd);
  const rdata = readByType(cursor, type, rrClass);
  if (cursor.at !== cursor.end) cursor.fail();
  cursor.end = packetEnd;
  return rdata;
}

/** The rdata of class IN in octets without compression; `undefined` if they are not the type's. */
export function rdataOf(type: number, octets: Uint8Array): Rdata | undefined {
  const cursor = new Cursor(octets);
  const rdata = readByType(cursor, type, Class.IN);
  return cursor.failed || cursor.at !== cursor.end ? undefined : rdata;
}

function readByType(cursor: Cursor, type: number, rrClass: number): Rdata {
  switch (type) {
    case Type.A:
      return rrClass === Class.IN ? readIpv4(cursor) : readOctets(cursor);
    case Type.AAAA:
      return rrClass === Class.IN ? readIpv6(cursor) : readOctets(cursor);
    case Type.SRV:
      return rrClass === Class.IN ? readSrv(cursor) : readOctets(cursor);
    case Type.NS:
    case Type.CNAME:
    case Type.PTR:
    case Type.DNAME:
      return { kind: 'name', target: cursor.name() };
    case Type.MX:
      return { kind: 'mx', preference: cursor.u16(), exchange: cursor.name() };
    case Type.TXT:
      return readTxt(cursor);
    case Type.SOA:
      return readSoa(cursor);
    case Type.HINFO:
      return { kind: 'hinfo', cpu: cursor.characterString(), os: cursor.characterString() };
    default:
      return readUnknown(cursor, type);
  }
}

function readIpv4(cursor: Cursor): Rdata {
  const address = `${cursor.u8()}.${cursor.u8()}.${cursor.u8()}.${cursor.u8()}`;
  return { kind: 'address', address };
}

function readIpv6(cursor: Cursor): Rdata {
  const octets = cursor.copy(16);
  return { kind: 'address', address: cursor.failed ? '::' : printAddress(octets) };
}

function readSrv(cursor: Cursor): Rdata {
  const [priority, weight, port] = [cursor.u16(), cursor.u16(), cursor.u16()];
  return { kind: 'srv', priority, weight, port, target: cursor.name() };
}

function readTxt(cursor: Cursor): Rdata {
  const strings: string[] = [];
  do strings.push(cursor.characterString());
  while (cursor.at < cursor.end);
  return { kind: 'txt', strings };
}

function readSoa(cursor: Cursor): Rdata {
  return {
    kind: 'soa',
    mname: cursor.name(),
    rname: cursor.name(),
    serial: cursor.u32(),
    refreshSeconds: cursor.u32(),
    retrySeconds: cursor.u32(),
    expireSeconds: cursor.u32(),
    minimumSeconds: cursor.u32(),
  };
}

/** A part of an old type's rdata: a number of octets, a name, or a <character-string>. */
type RdataPart = number | 'name' | 'string';

/** The types of RFC 3597 §4, up to their last name; only plain octets follow it. */
const OLD_LAYOUTS: ReadonlyMap<number, readonly RdataPart[]> = new Map<
  number,
  readonly RdataPart[]
>([
  [3, ['name']], // MD
  [4, ['name']], // MF
  [7, ['name']], // MB
  [8, ['name']], // MG
  [9, ['name']], // MR
  [14, ['name', 'name']], // MINFO
  [17, ['name', 'name']], // RP
  [18, [2, 'name']], // AFSDB
  [21, [2, 'name']], // RT
  [24, [18, 'name']], // SIG
  [26, [2, 'name', 'name']], // PX
  [30, ['name']], // NXT
  [35, [4, 'string', 'string', 'string', 'name']], // NAPTR
  [36, [2, 'name']], // KX
]);

function readUnknown(cursor: Cursor, type: number): Rdata {
  const layout = OLD_LAYOUTS.get(type);
  if (layout === undefined) return readOctets(cursor);
  let octets = '';
  for (const part of layout) octets += readPart(cursor, part);
  octets += cursor.string(cursor.end - cursor.at);
  return { kind: 'unknown', octets: new Uint8Array(Buffer.from(octets, 'latin1')) };
}

/** The rdata of an old type with its names in lower case, as signatures cover it (RFC 4034 §6.2); of another type as it is. */
export function foldedNames(type: number, octets: Uint8Array): Uint8Array {
  const layout = OLD_LAYOUTS.get(type);
  if (layout === undefined) return octets;
  const folded = Uint8Array.from(octets);
  let at = 0;
  for (const part of layout) {
    if (part === 'string') at += 1 + (octets[at] ?? 0);
    else if (part !== 'name') at += part;
    else at = foldNameAt(folded, at);
  }
  return folded;
}

/** Folds the name without compression at `at`; returns the offset after it. */
function foldNameAt(octets: Uint8Array, at: number): number {
  let start = at;
  for (;;) {
    const length = octets[start] ?? 0;
    for (let i = start + 1; i <= start + length && i < octets.length; i++) {
      octets[i] = foldOctet(octets[i] as number);
    }
    start += 1 + length;
    if (length === 0) return start;
  }
}

/** The part without compression, as an octet string. */
function readPart(cursor: Cursor, part: RdataPart): string {
  if (part === 'name') return cursor.uncompressedName();
  if (part !== 'string') return cursor.string(part);
  const string = cursor.characterString();
  return String.fromCharCode(string.length) + string;
}

function readOctets(cursor: Cursor): Rdata {
  return { kind: 'unknown', octets: cursor.copy(cursor.end - cursor.at) };
}

/** Writes RDLENGTH and rdata. Throws RangeError on values that cannot be encoded. */
export function writeRdata(writer: MessageWriter, rr: Rr): void {
  const lengthAt = writer.at;
  writer.u16(0);
  writeByKind(writer, rr);
  const length = writer.at - lengthAt - 2;
  // Rdata of more than 65535 octets exceeds every limit, so the caller rolls the RR back.
  writer.put16(lengthAt, length & 0xffff);
}

function writeByKind(writer: MessageWriter, { type, rdata }: Rr): void {
  switch (rdata.kind) {
    case 'address':
      if (type === Type.A) writer.u32(ipv4Bits(rdata.address));
      else writer.raw(ipv6Octets(rdata.address));
      break;
    case 'name':
      // RFC 6672 §2.5: DNAME's target is not compressed.
      if (type === Type.DNAME) writer.uncompressedName(rdata.target);
      else writer.name(rdata.target);
      break;
    case 'srv':
      writer.u16(rdata.priority);
      writer.u16(rdata.weight);
      writer.u16(rdata.port);
      writer.uncompressedName(rdata.target); // RFC 2782, "Target": not compressed
      break;
    case 'mx':
      writer.u16(rdata.preference);
      writer.name(rdata.exchange);
      break;
    case 'txt':
      for (const string of rdata.strings) writer.characterString(string);
      break;
    case 'soa':
      writeSoa(writer, rdata);
      break;
    case 'hinfo':
      writer.characterString(rdata.cpu);
      writer.characterString(rdata.os);
      break;
    case 'unknown':
      writer.raw(rdata.octets);
  }
}

function writeSoa(writer: MessageWriter, soa: Extract<Rdata, { kind: 'soa' }>): void {
  writer.name(soa.mname);
  writer.name(soa.rname);
  writer.u32(soa.serial);
  writer.u32(soa.refreshSeconds);
  writer.u32(soa.retrySeconds);
  writer.u32(soa.expireSeconds);
  writer.u32(soa.minimumSeconds);
}

/** Text as TXT strings of 255 octets, the last one shorter; an empty text is one empty string. */
export function splitText(octets: string): string[] {
  const strings = [octets.slice(0, 255)];
  for (let at = 255; at < octets.length; at += 255) strings.push(octets.slice(at, at + 255));
  return strings;
}
