/**
 * The OPT pseudo-record (RFC 6891 §6.1): reads its fields and options, and writes the one that this server sends, with
 * an extended error (RFC 8914) and other options, or with the path of a question through soradns servers.
 */
import type { Edns, ExtendedError, ReplyOption, ServerId } from './message.ts';
import { Type } from './rr.ts';
import {
  afterName,
  HEADER_OCTETS,
  MAX_MESSAGE_OCTETS,
  MIN_RR_OCTETS,
  QUESTION_FIELDS_OCTETS,
  RR_FIELDS_OCTETS,
} from './wire.ts';
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
/** CO (RFC 9824 §5.1), in the same octet. */
export const CO_IN_OCTET = 0x40;

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
  /** SkyDNS marks a question by it that it sends to the servers of a stub zone. */
  STUB: 65_011,
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

/** The client's cookie, and the server's of RFC 9018. */
export const COOKIE_OCTETS = 8 + 16;

/** CODE and LENGTH of an option. */
export const OPTION_HEAD_OCTETS = 4;

/** The most that the options besides the extended error add to a reply. */
export const MAX_OPTIONS_OCTETS: number = 2 * OPTION_HEAD_OCTETS + MAX_NSID_OCTETS + COOKIE_OCTETS;

/** The content of an OPT record's CLASS and TTL fields. */
export function ednsOf(classField: number, ttlField: number): Edns {
  const edns = {
    udpSize: classField,
    version: (ttlField >>> 16) & 0xff,
    dnssecOk: (ttlField & DO) !== 0,
  };
  return (ttlField & CO) === 0 ? edns : { ...edns, compactOk: true };
}

type OptionFields = Pick<Edns, 'nsid' | 'cookie' | 'path' | 'isStubMarked'>;

/** The known options from `start` to `end`. Of several with one code the first counts (RFC 7873 §5.2). */
export function readOptions(octets: Uint8Array, start: number, end: number): OptionFields {
  const read: { -readonly [Field in keyof OptionFields]: OptionFields[Field] } = {};
  walkOptions(octets, start, end, (code, dataAt, dataEnd) => {
    // A packet may have thousands of options, so only the first of a kind costs memory.
    if (code === OptionCode.NSID) read.nsid = true;
    // Not `slice`, which shares the memory of a Buffer.
    else if (code === OptionCode.COOKIE)
      read.cookie ??= new Uint8Array(octets.subarray(dataAt, dataEnd));
    else if (code === OptionCode.PATH) read.path ??= decodePath(octets.subarray(dataAt, dataEnd));
    else if (code === OptionCode.STUB && dataEnd === dataAt + 1 && octets[dataAt] === STUB_MARK[0])
      read.isStubMarked = true;
  });
  return read;
}

/**
 * Calls `take` with each whole option from `start` to `end`: its code, and where its data are. Whether the lengths of the
 * options add up.
 */
function walkOptions(
  octets: Uint8Array,
  start: number,
  end: number,
  take: (code: number, dataAt: number, dataEnd: number) => void,
): boolean {
  let at = start;
  while (at + OPTION_HEAD_OCTETS <= end) {
    const dataAt = at + OPTION_HEAD_OCTETS;
    const dataEnd = dataAt + u16(octets, at + 2);
    if (dataEnd > end) return false;
    take(u16(octets, at), dataAt, dataEnd);
    at = dataEnd;
  }
  return at === end;
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
  return walkOptions(octets, start, end, () => {});
}

/** An OPT record to send, of version 0 and without flags other than DO and CO. */
export interface Opt {
  readonly udpSize: number;
  readonly dnssecOk: boolean;
  readonly compactOk?: boolean | undefined;
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
    options.reduce((octets, { data }) => octets + OPTION_HEAD_OCTETS + data.length, 0) +
    (path === undefined ? 0 : OPTION_HEAD_OCTETS + pathOctets(path))
  );
}

export function writeOpt(writer: MessageWriter, opt: Opt): void {
  const { udpSize, rcode, dnssecOk, compactOk, extendedError, options = [], path } = opt;
  writer.u8(0);
  writer.u16(Type.OPT);
  writer.u16(udpSize);
  writer.u8(rcode >> 4);
  writer.u8(0);
  writer.u16((dnssecOk ? DO : 0) | (compactOk === true ? CO : 0));
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

const STUB_MARK = Buffer.from([1]);

/** The option of a question that is sent for a stub zone. */
export const STUB_OPTION: ReplyOption = { code: OptionCode.STUB, data: STUB_MARK };

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

/** RFC 7828 §3.1: the time is in units of 100 ms, in 16 bits. */
const KEEPALIVE_UNIT_MS = 100;

/** The options that only connections have, as read from a message. */
export interface StreamOptions {
  /** The message has padding (RFC 7830). */
  readonly isPadded: boolean;
  /** The message has the keepalive option (RFC 7828). */
  readonly hasKeepalive: boolean;
  /** Of a server's keepalive option. */
  readonly keepaliveMs: number | undefined;
}

const NO_STREAM_OPTIONS: StreamOptions = {
  isPadded: false,
  hasKeepalive: false,
  keepaliveMs: undefined,
};

/** The stream options in the OPT record of a whole message. Never throws. */
export function readStreamOptions(octets: Uint8Array): StreamOptions {
  const opt = optAt(octets);
  if (opt < 0) return NO_STREAM_OPTIONS;
  let isPadded = false;
  let hasKeepalive = false;
  let keepaliveMs: number | undefined;
  const start = opt + MIN_RR_OCTETS;
  walkOptions(octets, start, start + u16(octets, start - 2), (code, dataAt, dataEnd) => {
    if (code === OptionCode.PADDING) isPadded = true;
    if (code !== OptionCode.KEEPALIVE) return;
    hasKeepalive = true;
    if (dataEnd - dataAt === 2) keepaliveMs = u16(octets, dataAt) * KEEPALIVE_UNIT_MS;
  });
  return { isPadded, hasKeepalive, keepaliveMs };
}

/** The stream options to add to a message. */
export interface AddedStreamOptions {
  /** A keepalive option: a server's with its time, a client's (`ask`) without. */
  readonly keepalive?: number | 'ask' | undefined;
  /** Pad the message to a multiple of this many octets (RFC 8467). */
  readonly paddedTo?: number | undefined;
}

/**
 * A copy of the message with the options in its OPT record; the message itself if that is not its last record, or if the
 * options would make it too long.
 */
export function withStreamOptions(
  message: Uint8Array,
  { keepalive, paddedTo = 0 }: AddedStreamOptions,
): Uint8Array {
  const opt = optAt(message);
  const optEnd = opt < 0 ? -1 : opt + MIN_RR_OCTETS + u16(message, opt + 9);
  if (optEnd !== message.length) return message;
  const keepaliveOctets = keepalive === undefined ? 0 : keepalive === 'ask' ? 4 : 6;
  const unpadded = message.length + keepaliveOctets + OPTION_HEAD_OCTETS;
  const padded = Math.ceil(unpadded / paddedTo) * paddedTo;
  const isPadded = paddedTo > 0 && padded <= MAX_MESSAGE_OCTETS;
  const length = isPadded ? padded : unpadded - OPTION_HEAD_OCTETS;
  if (length > MAX_MESSAGE_OCTETS || length === message.length) return message;
  const octets = new Uint8Array(length);
  octets.set(message);
  put16(octets, opt + 9, length - opt - MIN_RR_OCTETS);
  let at = message.length;
  if (keepalive !== undefined) {
    put16(octets, at, OptionCode.KEEPALIVE);
    put16(octets, at + 2, keepaliveOctets - OPTION_HEAD_OCTETS);
    if (keepalive !== 'ask') put16(octets, at + 4, Math.min(keepalive / KEEPALIVE_UNIT_MS, 0xffff));
    at += keepaliveOctets;
  }
  if (isPadded) {
    put16(octets, at, OptionCode.PADDING);
    put16(octets, at + 2, length - at - OPTION_HEAD_OCTETS);
  }
  return octets;
}

/** Offset of the message's OPT record; -1 if it has none, or if its records cannot be followed. */
function optAt(octets: Uint8Array): number {
  const end = octets.length;
  if (end < HEADER_OCTETS) return -1;
  let at = HEADER_OCTETS;
  for (let left = u16(octets, 4); left > 0 && at > 0; left--)
    at = afterName(octets, at) + QUESTION_FIELDS_OCTETS;
  const before = u16(octets, 6) + u16(octets, 8);
  const records = before + u16(octets, 10);
  for (let i = 0; i < records; i++) {
    const fields = afterName(octets, at);
    const dataAt = fields + RR_FIELDS_OCTETS;
    if (fields < 0 || dataAt > end) return -1;
    const next = dataAt + u16(octets, dataAt - 2);
    if (next > end) return -1;
    if (i >= before && fields === at + 1 && u16(octets, fields) === Type.OPT) return at;
    at = next;
  }
  return -1;
}

function put16(octets: Uint8Array, at: number, value: number): void {
  octets[at] = value >>> 8;
  octets[at + 1] = value & 0xff;
}
