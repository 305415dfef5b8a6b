/**
 * dns/presentation/: Records in the text of zone files, both ways, and the names of types and codes. Pure.
 * Imports: dns.
 * Used by: app, app/answering, cli, cli/commands, cli/signing, forward, main, observability, registrar/describe, server,
 *   service, sign, tools/doctor/judge.
 *
 * RFC 1035 §5.1, RFC 3597 §5, and the RFC of each type. Every type that IANA has registered has its own form; all
 * others, and octets that break their type's rules, are `\# LENGTH HEX`.
 */
import { Cursor } from '../cursor.ts';
import { printName } from '../name.ts';
import { rdataOf } from '../rdata.ts';
import { Class, type Rdata, type Rr } from '../rr.ts';
import { parseHex, printHex } from './encodings.ts';
import { layoutOf } from './layouts.ts';
import { className, typeCode, typeName } from './mnemonic.ts';
import { quote, Words } from './words.ts';

/**
 * The RR in zone-file text: `owner. TTL CLASS TYPE rdata`, separated by tabs. Safe for terminals and logs: octets
 * outside printable ASCII are `\DDD`.
 */
export function printRr(rr: Rr): string {
  const fields = [printName(rr.owner), rr.ttlSeconds, className(rr.class), typeName(rr.type)];
  return `${fields.join('\t')}\t${printRdata(rr)}`;
}

/** The rdata in zone-file text, its fields separated by blanks. */
export function printRdata(rr: Pick<Rr, 'type' | 'class' | 'rdata'>): string {
  const { rdata } = rr;
  switch (rdata.kind) {
    case 'address':
      return rdata.address;
    case 'name':
      return printName(rdata.target);
    case 'srv':
      return `${rdata.priority} ${rdata.weight} ${rdata.port} ${printName(rdata.target)}`;
    case 'mx':
      return `${rdata.preference} ${printName(rdata.exchange)}`;
    case 'txt':
      return rdata.strings.map(quote).join(' ');
    case 'soa':
      return printSoa(rdata);
    case 'hinfo':
      return `${quote(rdata.cpu)} ${quote(rdata.os)}`;
    case 'unknown':
      return printByLayout(rr, rdata.octets) ?? printUnknown(rdata.octets);
  }
}

function printSoa(soa: Extract<Rdata, { kind: 'soa' }>): string {
  const { serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds } = soa;
  const numbers = [serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds];
  return `${printName(soa.mname)} ${printName(soa.rname)} ${numbers.join(' ')}`;
}

/** The octets in the form of their type; `undefined` if it has none, or if the octets break its rules. */
function printByLayout(
  { type, class: rrClass }: Pick<Rr, 'type' | 'class'>,
  octets: Uint8Array,
): string | undefined {
  const layout = rrClass === Class.IN ? layoutOf(type) : undefined;
  if (layout === undefined) return undefined;
  const cursor = new Cursor(octets);
  const texts = layout.map((field) => field.print(cursor));
  if (cursor.failed || cursor.at !== cursor.end) return undefined;
  return texts.filter((text) => text !== '').join(' ');
}

/** RFC 3597 §5: `\# length hex`. */
function printUnknown(octets: Uint8Array): string {
  if (octets.length === 0) return '\\# 0';
  return `\\# ${octets.length} ${printHex(Buffer.from(octets).toString('latin1'))}`;
}

export type ParsedRdata =
  | { readonly kind: 'rdata'; readonly type: number; readonly rdata: Rdata }
  | { readonly kind: 'invalid'; readonly reason: string };

/** RDLENGTH has 16 bits. */
const MAX_RDATA_OCTETS = 0xffff;

/**
 * A type and its rdata of class IN, such as `CAA 0 issue "ca.example"`. A name without a dot at its end is absolute, too.
 * The reason why a text is invalid begins with the type.
 */
export function parseTypedRdata(text: string): ParsedRdata {
  const words = new Words(text);
  const typeText = words.word('a record type');
  const type = typeCode(typeText);
  if (words.failure === undefined && type === undefined)
    words.fail(`${printable(typeText)} is not a record type`);
  if (words.failure !== undefined || type === undefined) return invalid(words.failure ?? '');
  const octets = words.peek() === '\\#' ? parseUnknown(words, type) : parseByLayout(words, type);
  if (!words.isAtEnd) words.fail('there are words behind the last field');
  const { failure = octets.length > MAX_RDATA_OCTETS ? 'is longer than 65535 octets' : undefined } =
    words;
  if (failure !== undefined) return invalid(`${typeName(type)}: ${failure}`);
  const rdata = rdataOf(type, Buffer.from(octets, 'latin1'));
  return rdata === undefined
    ? invalid(`${typeName(type)}: the octets are not its data`)
    : { kind: 'rdata', type, rdata };
}

function invalid(reason: string): ParsedRdata {
  return { kind: 'invalid', reason };
}

function printable(text: string): string {
  return quote(Buffer.from(text.slice(0, 40), 'utf8').toString('latin1')).slice(1, -1);
}

function parseByLayout(words: Words, type: number): string {
  const layout = layoutOf(type);
  if (layout === undefined) {
    words.fail('write the data as \\# LENGTH HEX (RFC 3597)');
    return '';
  }
  let octets = '';
  for (const field of layout) octets += field.parse(words);
  return octets;
}

function parseUnknown(words: Words, type: number): string {
  words.word('data');
  const length = words.integer('length', 0, MAX_RDATA_OCTETS);
  const octets = parseHex(words.rest().join(''));
  if (octets === undefined) words.fail('data is not an even number of hexadecimal digits');
  else if (octets.length !== length) words.fail(`data has ${octets.length} octets, not ${length}`);
  else if (!isValidFor(type, octets)) words.fail('the octets are not its data');
  return octets ?? '';
}

function isValidFor(type: number, octets: string): boolean {
  const rr = { type, class: Class.IN };
  return (
    layoutOf(type) === undefined || printByLayout(rr, Buffer.from(octets, 'latin1')) !== undefined
  );
}
