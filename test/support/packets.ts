/** Packets built octet by octet, even packets that no encoder would write. */
import { nameOf } from './messages.ts';

/** Octets from hex text; ignores white space and `; comments`. */
export function unhex(text: string): Buffer {
  return Buffer.from(text.replace(/;[^\n]*/g, '').replace(/\s+/g, ''), 'hex');
}

export function u16(...values: readonly number[]): Buffer {
  return Buffer.concat(values.map((value) => Buffer.of(value >> 8, value)));
}

/** A name in wire format without compression, from presentation format. */
export function wireName(text: string): Buffer {
  const labels = nameOf(text).map((label) => Buffer.from(label, 'latin1'));
  return Buffer.concat([...labels.flatMap((label) => [Buffer.of(label.length), label]), ZERO]);
}

const ZERO = Buffer.of(0);

export interface RawPacket {
  readonly id?: number;
  /** The header's second field. */
  readonly flags?: number;
  /** The header's QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT. */
  readonly counts?: readonly [number, number, number, number];
  /** The octets after the header. */
  readonly body?: readonly Uint8Array[];
}

/** A packet; by default a query with one question. */
export function rawPacket(packet: RawPacket = {}): Buffer {
  const { id = 0x1234, flags = 0, counts = [1, 0, 0, 0], body = [rawQuestion()] } = packet;
  return Buffer.concat([u16(id, flags, ...counts), ...body]);
}

export function rawQuestion(qname = 'a.skydns.local', qtype = 1, qclass = 1): Buffer {
  return Buffer.concat([wireName(qname), u16(qtype, qclass)]);
}

export interface RawOpt {
  readonly owner?: Uint8Array;
  readonly udpSize?: number;
  readonly version?: number;
  readonly flags?: number;
  readonly rdata?: Uint8Array;
  /** A wrong RDLENGTH. */
  readonly rdlength?: number;
}

export function rawOpt(opt: RawOpt = {}): Buffer {
  const { owner = ZERO, udpSize = 1232, version = 0, flags = 0, rdata = Buffer.of() } = opt;
  const rdlength = opt.rdlength ?? rdata.length;
  return Buffer.concat([owner, u16(41, udpSize, version, flags, rdlength), rdata]);
}

/** A record with this owner name and rdata. */
export function rawRr(owner: Uint8Array, type: number, rdata: Uint8Array, ttl = 60): Buffer {
  return Buffer.concat([owner, u16(type, 1, ttl >>> 16, ttl & 0xffff, rdata.length), rdata]);
}

/** An EDNS option. */
export function rawOption(code: number, data: Uint8Array): Buffer {
  return Buffer.concat([u16(code, data.length), data]);
}

/** The shortest time of several calls, in ms: on a busy machine only the fastest call shows the cost of the code. */
export function bestMs(runs: number, call: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    call();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}
