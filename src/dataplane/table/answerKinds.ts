/**
 * The kinds of answers. A name in the table has one answer for each kind: one kind for each of `TABLE_TYPES`, and one
 * that all other QTYPEs share: its answer says for which of them it is (`answerTypeAt`). Counters count questions by the same kinds.
 */
import { Type } from '../../dns/rr.ts';

/** The QTYPEs with a kind of their own, which is their index. */
export const TABLE_TYPES = [
  ['A', Type.A],
  ['AAAA', Type.AAAA],
  ['SRV', Type.SRV],
  ['TXT', Type.TXT],
  ['MX', Type.MX],
  ['CNAME', Type.CNAME],
  ['PTR', Type.PTR],
  ['NS', Type.NS],
  ['SOA', Type.SOA],
  ['ANY', Type.ANY],
] as const;

/** The kind of all other QTYPEs. */
export const OTHER_KIND: number = TABLE_TYPES.length;

export const KIND_COUNT: number = OTHER_KIND + 1;

/** Instead of a kind, for a QTYPE that the table never answers. */
export const NO_KIND = 255;

/**
 * QTYPEs that the table never answers: the main thread makes transfers, OPT is not a QTYPE, and DNSSEC's own types have
 * records at names where no other type of `OTHER_KIND` has.
 */
const SLOW_TYPES = [
  Type.AXFR,
  Type.IXFR,
  Type.OPT,
  Type.DS,
  Type.RRSIG,
  Type.NSEC,
  Type.DNSKEY,
  Type.CDS,
  Type.CDNSKEY,
  Type.NXNAME,
];

/** Indexed by QTYPE. A QTYPE beyond the end has `OTHER_KIND`. */
const KINDS = kinds();
const READER_KINDS = readerKinds();

/** The kind of a QTYPE, below `KIND_COUNT`. */
export function kindOf(qtype: number): number {
  return qtype < KINDS.length ? (KINDS[qtype] as number) : OTHER_KIND;
}

/** As `kindOf`, but `NO_KIND` for the types that a reader leaves to the main thread. */
export function readerKindOf(qtype: number): number {
  return qtype < READER_KINDS.length ? (READER_KINDS[qtype] as number) : OTHER_KIND;
}

function kinds(): Uint8Array {
  const types = TABLE_TYPES.map(([, type]) => type);
  const table = new Uint8Array(Math.max(...types, ...SLOW_TYPES) + 1).fill(OTHER_KIND);
  TABLE_TYPES.forEach(([, type], kind) => {
    table[type] = kind;
  });
  return table;
}

function readerKinds(): Uint8Array {
  const table = KINDS.slice();
  for (const type of SLOW_TYPES) table[type] = NO_KIND;
  return table;
}
