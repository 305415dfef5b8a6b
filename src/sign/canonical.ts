/**
 * The canonical form of an RRset (RFC 4034 §6), which a signature covers: names without compression and in lower case,
 * the original TTL, the records in the order of their data.
 */
import { foldName, wireName } from '../dns/name.ts';
import { foldedNames, writeRdata } from '../dns/rdata.ts';
import type { Rdata, Rr } from '../dns/rr.ts';
import { MessageWriter } from '../dns/writer.ts';

/** Only single data are written to it, so that no name is compressed. */
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
  if (rdata.kind === 'soa') return soaOctets(rdata);
  writer.restart(0);
  writeRdata(writer, { ...rr, type, rdata: folded(type, rdata) });
  return writer.finish();
}

/** Two names in one message would be compressed. */
function soaOctets(soa: Extract<Rdata, { kind: 'soa' }>): Uint8Array {
  const numbers = Buffer.alloc(20);
  const { serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds } = soa;
  [serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds].forEach((number, i) => {
    numbers.writeUInt32BE(number, 4 * i);
  });
  const data = Buffer.concat([wireName(soa.mname), wireName(soa.rname), numbers]);
  return Buffer.concat([Buffer.from([data.length >> 8, data.length & 0xff]), data]);
}

/** RFC 4034 §6.2, item 3, as RFC 6840 §5.1 corrects it. */
function folded(type: number, rdata: Rdata): Rdata {
  switch (rdata.kind) {
    case 'name':
    case 'srv':
      return { ...rdata, target: foldName(rdata.target) };
    case 'mx':
      return { ...rdata, exchange: foldName(rdata.exchange) };
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
