/**
 * Our messages, read by independent decoders: dns2 and dns-packet. The tests avoid what these get wrong themselves: octets
 * above 0x7f and dots in labels, and IPv6 addresses with embedded IPv4.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import dnsPacket from 'dns-packet';
import dns2 from 'dns2';
import fc from 'fast-check';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery, encodeResponse } from '../../src/dns/encode.ts';
import { type Name, printName } from '../../src/dns/name.ts';
import { typeName } from '../../src/dns/presentation/mnemonic.ts';
import type { Rdata, Rr } from '../../src/dns/rr.ts';
import { plainRecord } from '../support/records.ts';
import { queryFor, responseWith } from '../support/replies.ts';

const word = fc.stringMatching(/^[a-z0-9_-]{1,12}$/);
const name: fc.Arbitrary<Name> = fc.oneof(
  fc.array(word, { minLength: 1, maxLength: 4 }),
  fc.array(fc.constantFrom('a', 'b', 'skydns', 'local'), { minLength: 1, maxLength: 5 }),
);
const u16 = fc.integer({ min: 0, max: 0xffff });
const u31 = fc.integer({ min: 0, max: 0x7fffffff });
const text = fc.string({ unit: fc.constantFrom(...'abc XYZ"\\;'), minLength: 1, maxLength: 255 });

/** dns2 does not know RFC 5952's form for embedded IPv4. */
const ipv6 = fc
  .uint8Array({ minLength: 8, maxLength: 8 })
  .map((octets) =>
    new URL(
      `http://[2001:db8:${[0, 2, 4].map((i) => Buffer.from(octets).readUInt16BE(i).toString(16)).join(':')}::1]`,
    ).hostname.slice(1, -1),
  );

const typed: fc.Arbitrary<readonly [number, Rdata]> = fc.oneof(
  fc.ipV4().map((address): [number, Rdata] => [1, { kind: 'address', address }]),
  ipv6.map((address): [number, Rdata] => [28, { kind: 'address', address }]),
  fc.tuple(
    fc.constantFrom(2, 5, 12),
    plainRecord<Rdata & { kind: 'name' }>({ kind: fc.constant('name'), target: name }),
  ),
  fc.tuple(
    fc.constant(33),
    plainRecord<Rdata & { kind: 'srv' }>({
      kind: fc.constant('srv'),
      priority: u16,
      weight: u16,
      port: u16,
      target: name,
    }),
  ),
  fc.tuple(
    fc.constant(15),
    plainRecord<Rdata & { kind: 'mx' }>({
      kind: fc.constant('mx'),
      preference: u16,
      exchange: name,
    }),
  ),
  fc.tuple(
    fc.constant(16),
    plainRecord<Rdata & { kind: 'txt' }>({
      kind: fc.constant('txt'),
      strings: fc.array(text, { minLength: 1, maxLength: 3 }),
    }),
  ),
  fc.tuple(
    fc.constant(6),
    plainRecord<Rdata & { kind: 'soa' }>({
      kind: fc.constant('soa'),
      mname: name,
      rname: name,
      serial: u31,
      refreshSeconds: u31,
      retrySeconds: u31,
      expireSeconds: u31,
      minimumSeconds: u31,
    }),
  ),
);

const rr: fc.Arbitrary<Rr> = fc
  .tuple(name, typed, u31)
  .map(([owner, [type, rdata], ttlSeconds]) => ({ owner, type, class: 1, ttlSeconds, rdata }));

const rrs = fc.array(rr, { maxLength: 12 });

const dotless = (owner: Name) => printName(owner).slice(0, -1);

/** The record in one line, the same for both decoders. */
function line({ owner, type, ttlSeconds, rdata }: Rr): string {
  return [dotless(owner), typeName(type), ttlSeconds, ...fields(rdata)].join(' ');
}

function fields(rdata: Rdata): readonly (string | number)[] {
  switch (rdata.kind) {
    case 'address':
      return [rdata.address];
    case 'name':
      return [dotless(rdata.target)];
    case 'srv':
      return [rdata.priority, rdata.weight, rdata.port, dotless(rdata.target)];
    case 'mx':
      return [rdata.preference, dotless(rdata.exchange)];
    case 'txt':
      return [rdata.strings.join('')];
    case 'soa':
      return [
        dotless(rdata.mname),
        dotless(rdata.rname),
        rdata.serial,
        rdata.refreshSeconds,
        rdata.retrySeconds,
        rdata.expireSeconds,
        rdata.minimumSeconds,
      ];
    default:
      return assert.fail(`${rdata.kind} is not among the records here`);
  }
}

type Fields = Record<string, unknown>;

function dnsPacketLine(record: Fields): string {
  const data = record.data as Fields | string | Buffer[];
  const list = Array.isArray(data)
    ? [Buffer.concat(data).toString('latin1')]
    : typeof data === 'string'
      ? [data]
      : valuesOf(data, record.type);
  return [record.name, record.type, record.ttl, ...list].join(' ');
}

function valuesOf(data: Fields, type: unknown): unknown[] {
  if (type === 'SRV') return [data.priority, data.weight, data.port, data.target];
  if (type === 'MX') return [data.preference, data.exchange];
  return [data.mname, data.rname, data.serial, data.refresh, data.retry, data.expire, data.minimum];
}

function dns2Line(record: Fields): string {
  return [record.name, typeName(record.type as number), record.ttl, ...dns2Fields(record)].join(
    ' ',
  );
}

function dns2Fields(r: Fields): unknown[] {
  switch (typeName(r.type as number)) {
    case 'A':
    case 'AAAA':
      return [r.address];
    case 'NS':
      return [r.ns];
    case 'CNAME':
    case 'PTR':
      return [r.domain];
    case 'SRV':
      return [r.priority, r.weight, r.port, r.target];
    case 'MX':
      return [r.priority, r.exchange];
    case 'TXT':
      return [[r.data].flat().join('')];
    default:
      return [r.primary, r.admin, r.serial, r.refresh, r.retry, r.expiration, r.minimum];
  }
}

const query = queryFor('Q.skydns.local', 255, { dnssecOk: true });

test('dns-packet reads the encoder’s replies', () => {
  fc.assert(
    fc.property(rrs, rrs, (answer, additional) => {
      const octets = encodeResponse(query, responseWith({ answer, additional }), 65535);
      const read = dnsPacket.decode(Buffer.from(octets));
      assert.equal(read.questions?.[0]?.name, 'Q.skydns.local');
      const lines = (records: unknown) =>
        (records as Fields[]).filter((r) => r.type !== 'OPT').map(dnsPacketLine);
      assert.deepEqual(lines(read.answers), answer.map(line));
      assert.deepEqual(lines(read.additionals), additional.map(line));
    }),
    { numRuns: 500 },
  );
});

test('dns2 reads the encoder’s replies', () => {
  fc.assert(
    fc.property(rrs, rrs, (answer, additional) => {
      const octets = encodeResponse(query, responseWith({ answer, additional }), 65535);
      const read = dns2.Packet.parse(Buffer.from(octets));
      assert.deepEqual(read.errors, []);
      assert.equal(read.questions[0]?.name, 'Q.skydns.local');
      const lines = (records: unknown) =>
        (records as Fields[]).filter((r) => r.type !== 41).map(dns2Line);
      assert.deepEqual(lines(read.answers), answer.map(line));
      assert.deepEqual(lines(read.additionals), additional.map(line));
    }),
    { numRuns: 500 },
  );
});

test('The decoder reads dns-packet’s messages', () => {
  fc.assert(
    fc.property(rrs, (answer) => {
      const ours = encodeResponse(query, responseWith({ answer }), 65535);
      const theirs = dnsPacket.encode(dnsPacket.decode(Buffer.from(ours)));
      const read = decodeMessage(theirs);
      assert.deepEqual(read?.answer, answer);
      assert.equal(read?.edns?.dnssecOk, true);
    }),
    { numRuns: 300 },
  );
});

test('dns-packet and dns2 read the encoder’s queries', () => {
  const question = query.question;
  const edns = { udpSize: 1232, dnssecOk: true };
  const octets = encodeQuery({
    id: 7,
    question,
    recursionDesired: true,
    checkingDisabled: false,
    edns,
  });
  const read = dnsPacket.decode(Buffer.from(octets));
  assert.deepEqual([read.id, read.type, read.flag_rd], [7, 'query', true]);
  assert.deepEqual(read.questions, [{ name: 'Q.skydns.local', type: 'ANY', class: 'IN' }]);
  const parsed = dns2.Packet.parse(Buffer.from(octets));
  assert.equal(parsed.questions[0]?.name, 'Q.skydns.local');
  assert.equal(parsed.header.rd, 1);
});
