/** Arbitrary names and records for property tests: any octet in any label, every kind of rdata. */
import fc from 'fast-check';
import { printAddress } from '../../src/dns/address.ts';
import { type Name, nameOctets } from '../../src/dns/name.ts';
import { writeRdata } from '../../src/dns/rdata.ts';
import { Class, type Rdata, type Rr } from '../../src/dns/rr.ts';
import { MessageWriter } from '../../src/dns/writer.ts';

/**
 * Objects with a prototype: fast-check's own objects may lack a prototype, and then no decoded object is deeply equal
 * to them.
 */
export function plainRecord<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

/**
 * Any octet, and more often the critical ones: NUL, dot, backslash, 0x80, 0xc0, 0xff, and two letters that make equal
 * names.
 */
const octet = fc.oneof(
  fc.integer({ min: 0, max: 255 }),
  fc.constantFrom(0x00, 0x2e, 0x5c, 0x80, 0xc0, 0xff, 0x41, 0x61),
);

function octetStrings(minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc.array(octet, { minLength, maxLength }).map((octets) => String.fromCharCode(...octets));
}

const label = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'A', 'b', 'skydns', 'local', 'example', 'com') },
  { weight: 2, arbitrary: octetStrings(1, 5) },
  { weight: 1, arbitrary: octetStrings(1, 63) },
);

/** Valid names, mostly short ones with common suffixes. */
export const anyName: fc.Arbitrary<Name> = fc
  .oneof(
    { weight: 9, arbitrary: fc.array(label, { maxLength: 6 }) },
    { weight: 1, arbitrary: fc.array(label, { minLength: 100, maxLength: 127 }) },
  )
  .filter((name) => nameOctets(name) <= 255);

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const ttl = fc.integer({ min: 0, max: 0x7fffffff });

function address(octets: number): fc.Arbitrary<Rdata> {
  return fc
    .uint8Array({ minLength: octets, maxLength: octets })
    .map((value) => ({ kind: 'address', address: printAddress(value) }));
}

const name = plainRecord({ kind: fc.constant('name' as const), target: anyName });

const soa = plainRecord({
  kind: fc.constant('soa' as const),
  mname: anyName,
  rname: anyName,
  serial: u32,
  refreshSeconds: u32,
  retrySeconds: u32,
  expireSeconds: u32,
  minimumSeconds: u32,
});

const srv = plainRecord({
  kind: fc.constant('srv' as const),
  priority: u16,
  weight: u16,
  port: u16,
  target: anyName,
});

const mx = plainRecord({ kind: fc.constant('mx' as const), preference: u16, exchange: anyName });

const txt = plainRecord({
  kind: fc.constant('txt' as const),
  strings: fc.array(fc.oneof(octetStrings(0, 20), octetStrings(255, 255)), {
    minLength: 1,
    maxLength: 4,
  }),
});

const hinfo = plainRecord({
  kind: fc.constant('hinfo' as const),
  cpu: octetStrings(0, 255),
  os: octetStrings(0, 20),
});

const unknown = plainRecord({
  kind: fc.constant('unknown' as const),
  octets: fc.uint8Array({ maxLength: 300 }),
});

/** A type and matching rdata. */
const typed: fc.Arbitrary<readonly [number, Rdata]> = fc.oneof(
  fc.tuple(fc.constant(1), address(4)),
  fc.tuple(fc.constant(28), address(16)),
  fc.tuple(fc.constantFrom(2, 5, 12, 39), name),
  fc.tuple(fc.constant(6), soa),
  fc.tuple(fc.constant(33), srv),
  fc.tuple(fc.constant(15), mx),
  fc.tuple(fc.constant(16), txt),
  fc.tuple(fc.constant(13), hinfo),
  fc.tuple(fc.constantFrom(10, 43, 46, 47, 65, 257, 1000, 65535), unknown),
);

export const anyRr: fc.Arbitrary<Rr> = fc
  .tuple(anyName, typed, ttl)
  .map(([owner, [type, rdata], ttlSeconds]) => ({ owner, type, class: 1, ttlSeconds, rdata }));

/** No pointer reaches this far, so names from here on are not compressed. */
const BEYOND_POINTERS = 0x4000;

/** The octets of rdata without compression. */
export function uncompressedOctets({ type, rdata }: Pick<Rr, 'type' | 'rdata'>): Buffer {
  const writer = new MessageWriter();
  writer.restart(BEYOND_POINTERS);
  writeRdata(writer, { owner: [], type, class: Class.IN, ttlSeconds: 0, rdata });
  return Buffer.from(writer.finish().subarray(BEYOND_POINTERS + 2));
}
