/**
 * The records of a name as one octet string, in which a copy of a zone keeps them: type, TTL, length of the rdata, and
 * the rdata without compression (RFC 1035 §3.2.1), one record behind the other. The class is IN. A string takes a
 * quarter of the memory of the values that it stands for, and two of them compare quickly.
 */
import { Cursor } from '../dns/cursor.ts';
import type { Label, Name } from '../dns/name.ts';
import { readRdata, writeRdata } from '../dns/rdata.ts';
import { Class, type Rr } from '../dns/rr.ts';
import { MAX_MESSAGE_OCTETS } from '../dns/wire.ts';
import { MAX_OFFSET, MessageWriter } from '../dns/writer.ts';

/** A record with the `nameKey` of its owner name. */
export interface ListedRecord {
  readonly owner: string;
  readonly octets: string;
}

/** Type, TTL and length. */
const FIELDS_OCTETS = 8;

const writer = new MessageWriter();

/** One record. Throws RangeError if it cannot be encoded. */
export function recordOf(rr: Rr): string {
  // No pointer reaches a name this far behind, so none is compressed.
  writer.restart(MAX_OFFSET);
  writer.u16(rr.type);
  writer.u32(rr.ttlSeconds);
  writeRdata(writer, rr);
  if (writer.at > MAX_MESSAGE_OCTETS) throw new RangeError('a record is too long for a zone');
  return writer.octetString(MAX_OFFSET);
}

/** The records of one name, in an order that only depends on the records. */
export function recordsOf(rrs: readonly Rr[]): string {
  return rrs.length === 1 ? recordOf(rrs[0] as Rr) : rrs.map(recordOf).sort().join('');
}

/** Each of the records that `recordsOf` has joined. */
export function splitRecords(records: string): string[] {
  const split: string[] = [];
  for (let at = 0; at < records.length; ) {
    const end = endOfRecord(records, at);
    split.push(records.slice(at, end));
    at = end;
  }
  return split;
}

export function countRecords(records: string): number {
  let count = 0;
  for (let at = 0; at < records.length; at = endOfRecord(records, at)) count++;
  return count;
}

/** Where the record that begins at `at` ends. */
export function endOfRecord(records: string, at: number): number {
  const lengthAt = at + FIELDS_OCTETS - 2;
  const length = (records.charCodeAt(lengthAt) << 8) | records.charCodeAt(lengthAt + 1);
  return at + FIELDS_OCTETS + length;
}

/** The name of a `nameKey`. */
export function nameOfOwner(owner: string): Name {
  const labels: Label[] = [];
  for (let at = 0; at < owner.length; ) {
    const end = at + 1 + owner.charCodeAt(at);
    labels.push(owner.slice(at + 1, end));
    at = end;
  }
  return labels;
}

/** The record as a value. */
export function rrOfRecord({ owner, octets }: ListedRecord): Rr {
  const cursor = new Cursor(Buffer.from(octets, 'latin1'));
  const type = cursor.u16();
  const ttlSeconds = cursor.u32();
  return {
    ...{ owner: nameOfOwner(owner), type, class: Class.IN, ttlSeconds },
    rdata: readRdata(cursor, type, Class.IN),
  };
}

/** Each of the records of a list in which those of one name may be joined. */
export function* eachRecord(records: Iterable<ListedRecord>): Iterable<ListedRecord> {
  for (const { owner, octets } of records)
    for (const record of splitRecords(octets)) yield { owner, octets: record };
}
