/**
 * The OPT pseudo-record (RFC 6891 §6.1): reads its fields and options, and writes the one that this server sends, with
 * an extended error (RFC 8914) and other options, or with the path of a question through soradns servers.
 */
import type { Edns, ExtendedError, ReplyOption, ServerId } from './message.ts';
import { Type } from './rr.ts';
import { MIN_RR_OCTETS } from './wire.ts';
import type { MessageWriter } from './writer.ts';

/**
 * The UDP size that this server announces, and by default the most that it sends: networks do not fragment it (RFC 9715
 * §3).
 */
export const UDP_SIZE = 1232;

/** The largest UDP size that the operator may set: resolvers used it before RFC 9715, though networks fragment it. */
export const MAX_UDP_SIZE = 4096;

/** Offset in an OPT record of the octet whose highest bit is DO. */
export const DO_OFFSET = 7;
export const DO_IN_OCTET = 0x80;

/** Codes of the options that this server reads or writes. */
export const OptionCode = {
  NSID: 3,
  COOKIE: 10,
  KEEPALIVE: 11,
  PADDING: 12,
  EXTENDED_ERROR: 15,
  /**
   * A path. The code is from the range for local use (RFC 6891 §9), so the data begin with a mark that other uses of
   * the code do not have. Servers that do not know the option skip it (§6.1.2).
   */
  PATH: 65_083,
} as const;

const DO = 0x8000;
const CO = 0x4000;

/**
 * RFC 8914 §3 wants EXTRA-TEXT short. With this bound the longest question, OPT, the text, a cookie and an NSID of
 * `MAX_NSID_OCTETS` fit 512 octets.
 */
const MAX_EXTRA_TEXT_OCTETS = 128;

/** The longest text of an NSID that this server sends. */
export const MAX_NSID_OCTETS = 64;

/** The content of an OPT record's CLASS and TTL fields. */
export function ednsOf(classField: number, ttlField: number): Edns {
  const edns = {
    udpSize: classField,
    version: (ttlField >>> 16) & 0xff,
    dnssecOk: (ttlField & DO) !== 0,
  };
  return (ttlField & CO) === 0 ? edns : { ...edns, compactOk: true };
}

type OptionFields = Pick<Edns, 'nsid' | 'cookie' | 'keepaliveOctets' | 'isPadded' | 'path'>;

/** The known options from `start` to `end`. Of several with one code the first counts (RFC 7873 §5.2). */
export function readOptions(octets: Uint8Array, start: number, end: number): OptionFields {
  const read: { -readonly [Field in keyof OptionFields]: OptionFields[Field] } = {};
  for (let at = start; at + 4 <= end; ) {
    const code = u16(octets, at);
    const dataAt = at + 4;
    at = dataAt + u16(octets, at + 2);
    if (at > end) break;
    if (code === OptionCode.NSID) read.nsid = true;
    // Not `slice`, which shares the memory of a Buffer.
    else if (code === OptionCode.COOKIE)
      read.cookie ??= new Uint8Array(octets.subarray(dataAt, at));
    else if (code === OptionCode.KEEPALIVE) read.keepaliveOctets ??= at - dataAt;
    else if (code === OptionCode.PADDING) read.isPadded = true;
    else if (code === OptionCode.PATH) read.path ??= decodePath(octets.subarray(dataAt, at));
  }
  return read;
}

function u16(octets: Uint8Array, at: number): number {
  return ((octets[at] as number) << 8) | (octets[at + 1] as number);
}

/** The upper eight bits of a 12-bit RCODE, shifted into position, from an OPT record's TTL field. */
export function extendedRcodeBits(ttlField: number): number {
  return (ttlField >>> 24) << 4;
}

/** Whether the options from `start` to `end` have lengths that add up (RFC 6891 §6.1.2). */
export function areWellFormedOptions(octets: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at + 4 <= end) at += 4 + u16(octets, at + 2);
  return at === end;
}

/** An OPT record to send, of version 0 and without flags other than DO. */
export interface Opt {
  readonly udpSize: number;
  readonly dnssecOk: boolean;
  readonly rcode: number;
  readonly extendedError?: { readonly code: number; readonly text: Buffer } | undefined;
  readonly options?: readonly ReplyOption[] | undefined;
  /** Of a query: the servers that the question has passed. */
  readonly path?: readonly ServerId[] | undefined;
}

/** The error with its text as UTF-8; text that is too long is cut between characters. */
export function encodedError(error: ExtendedError): { code: number; text: Buffer } {
  const text = Buffer.from(error.text, 'utf8');
  let length = Math.min(text.length, MAX_EXTRA_TEXT_OCTETS);
  while (length < text.length && ((text[length] as number) & 0xc0) === 0x80) length--;
  return { code: error.code, text: text.subarray(0, length) };
}

export function encodedOptOctets(opt: Opt): number {
  return MIN_RR_OCTETS + optionOctets(opt);
}

function optionOctets({ extendedError, options = [], path }: Opt): number {
  return (
    (extendedError === undefined ? 0 : 6 + extendedError.text.length) +
    options.reduce((octets, { data }) => octets + 4 + data.length, 0) +
    (path === undefined ? 0 : 4 + pathOctets(path))
  );
}

export function writeOpt(writer: MessageWriter, opt: Opt): void {
  const { udpSize, rcode, dnssecOk, extendedError, options = [], path } = opt;
  writer.u8(0);
  writer.u16(Type.OPT);
  writer.u16(udpSize);
  writer.u8(rcode >> 4);
  writer.u8(0);
  writer.u16(dnssecOk ? DO : 0);
  writer.u16(optionOctets(opt));
  if (extendedError !== undefined) {
    writer.u16(OptionCode.EXTENDED_ERROR);
    writer.u16(2 + extendedError.text.length);
    writer.u16(extendedError.code);
    writer.raw(extendedError.text);
  }
  for (const option of options) writeOption(writer, option);
  if (path !== undefined) writeOption(writer, { code: OptionCode.PATH, data: encodePath(path) });
}

function writeOption(writer: MessageWriter, { code, data }: ReplyOption): void {
  writer.u16(code);
  writer.u16(data.length);
  writer.raw(data);
}

const MARK = Buffer.from('sora');
const ID_OCTETS = 8;
/** A longer path is forged, or is from a loop through servers that ignore the option. */
const MAX_IDS = 16;

/** The ids in the option's data; none if the data begins with another mark. */
function decodePath(data: Uint8Array): readonly ServerId[] {
  const octets = Buffer.from(data.buffer, data.byteOffset, data.length);
  if (!octets.subarray(0, MARK.length).equals(MARK)) return [];
  const ids: ServerId[] = [];
  for (let at = MARK.length; at + ID_OCTETS <= octets.length && ids.length < MAX_IDS; ) {
    ids.push(octets.toString('hex', at, at + ID_OCTETS));
    at += ID_OCTETS;
  }
  return ids;
}

/** The length of the option's data. */
function pathOctets(path: readonly ServerId[]): number {
  return MARK.length + ID_OCTETS * Math.min(path.length, MAX_IDS);
}

function encodePath(path: readonly ServerId[]): Buffer {
  return Buffer.concat([MARK, ...path.slice(-MAX_IDS).map((id) => Buffer.from(id, 'hex'))]);
}

/** A random id, unique in practice; `randomOctets` returns `count` octets from a cryptographic source. */
export function newServerId(randomOctets: (count: number) => Buffer): ServerId {
  return randomOctets(ID_OCTETS).toString('hex');
}
