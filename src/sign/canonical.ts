/**
 * The canonical form of an RRset (RFC 4034 §6), which a signature covers: names without compression and in lower case,
 * the original TTL, the records in the order of their data.
 */
import { foldName, wireName } from '../dns/name.ts';
import { foldedNames, writeRdata } from '../dns/rdata.ts';
import type { Rdata, Rr } from '../dns/rr.ts';
import { MAX_OFFSET, MessageWriter } from '../dns/writer.ts';

/** It gets the data of one record at a time, so no name is compressed that is the only one in them. */
const writer = new MessageWriter();

/** The records of one RRset, at least one, in canonical form and order. */
export function canonicalRrset(rrs: readonly Rr[], originalTtlSeconds: number): Buffer {
  const [first] = rrs;
  if (first === undefined) throw new RangeError('an RRset has a record');
  const head = Buffer.alloc(8);
  head.writeUInt16BE(first.type, 0);
  head.writeUInt16BE(first.class, 2);
  head.writeUInt32BE(originalTtlSeconds, 4);
  const owner = wireName(first.owner);
  const data = rrs.map(canonicalRdata).sort(inDataOrder);
  return Buffer.concat(data.flatMap((octets) => [owner, head, octets]));
}

/** RDLENGTH and the data. */
function canonicalRdata({ type, rdata, ...rr }: Rr): Uint8Array {
  // An SOA has two names, and no pointer reaches a name this far behind. Other data may be too long to begin there.
  const start = rdata.kind === 'soa' ? MAX_OFFSET : 0;
  writer.restart(start);
  writeRdata(writer, { ...rr, type, rdata: folded(type, rdata) });
  return writer.finish(start);
}

/** RFC 4034 §6.2, item 3, as RFC 6840 §5.1 corrects it. */
function folded(type: number, rdata: Rdata): Rdata {
  switch (rdata.kind) {
    case 'name':
    case 'srv':
      return { ...rdata, target: foldName(rdata.target) };
    case 'mx':
      return { ...rdata, exchange: foldName(rdata.exchange) };
    case 'soa':
      return { ...rdata, mname: foldName(rdata.mname), rname: foldName(rdata.rname) };
    case 'unknown':
      return { ...rdata, octets: foldedNames(type, rdata.octets) };
    default:
      return rdata;
  }
}

/** RFC 4034 §6.3: the data as octet strings, without RDLENGTH. */
function inDataOrder(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a.subarray(2), b.subarray(2));
}
