/** The EDNS options that only connections have: keepalive (RFC 7828) and padding (RFC 7830). */
import assert from 'node:assert/strict';
import test from 'node:test';
import dnsPacket, { type Packet } from 'dns-packet';
import fc from 'fast-check';
import { readStreamOptions, withStreamOptions } from '../../src/dns/edns.ts';

const OPT = {
  ...{ type: 'OPT', name: '.', udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0 },
  ...{ flags: 0, flag_do: false, options: [] },
} as const;

function packet(additionals: readonly object[], answers = 0): Buffer {
  return dnsPacket.encode({
    type: 'response',
    id: 7,
    questions: [{ type: 'A', name: 'www.example.com' }],
    answers: Array.from({ length: answers }, (_, i) => ({
      ...{ type: 'A', name: 'www.example.com', ttl: 60 },
      data: `192.0.2.${i}`,
    })),
    additionals,
  } as Packet);
}

function optionsOf(message: Uint8Array): unknown[] {
  const opt = dnsPacket
    .decode(Buffer.from(message))
    .additionals?.find(({ type }) => type === 'OPT');
  return opt?.type === 'OPT' ? opt.options.map(({ code }) => Number(code)) : [];
}

test('A padded message has a multiple of the block, and reads as padded', () => {
  for (let answers = 0; answers < 60; answers++) {
    const padded = withStreamOptions(packet([OPT], answers), { paddedTo: 468 });
    assert.equal(padded.length % 468, 0);
    assert.deepEqual(optionsOf(padded), [12]);
    assert.equal(dnsPacket.decode(Buffer.from(padded)).answers?.length, answers);
    assert.deepEqual(readStreamOptions(padded), {
      isPadded: true,
      hasKeepalive: false,
      keepaliveMs: undefined,
    });
  }
});

test('The keepalive option of a server has its time, and that of a client has none', () => {
  const served = withStreamOptions(packet([OPT]), { keepalive: 10_000 });
  assert.deepEqual(readStreamOptions(served), {
    isPadded: false,
    hasKeepalive: true,
    keepaliveMs: 10_000,
  });
  const asked = withStreamOptions(packet([OPT]), { keepalive: 'ask', paddedTo: 128 });
  assert.deepEqual(optionsOf(asked), [11, 12]);
  assert.deepEqual(readStreamOptions(asked), {
    isPadded: true,
    hasKeepalive: true,
    keepaliveMs: undefined,
  });
});

test('A message without OPT, or with a record behind it, stays as it is', () => {
  const tsig = { type: 'A', name: 'behind.example', ttl: 0, data: '192.0.2.1' };
  for (const message of [packet([]), packet([OPT, tsig]), new Uint8Array(5)])
    assert.equal(withStreamOptions(message, { keepalive: 1, paddedTo: 128 }), message);
});

test('A message that padding would make longer than 65,535 octets gets none', () => {
  const long = packet([{ ...OPT, options: [{ code: 65_001, data: Buffer.alloc(65_480) }] }]);
  assert.equal(withStreamOptions(long, { paddedTo: 468 }), long);
});

test('Reading stream options from any octets ends without an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (octets) => {
      readStreamOptions(octets);
      withStreamOptions(octets, { keepalive: 10, paddedTo: 128 });
    }),
  );
  const whole = withStreamOptions(packet([OPT], 3), { keepalive: 10_000, paddedTo: 128 });
  fc.assert(
    fc.property(
      fc.nat(whole.length),
      fc.nat(whole.length - 1),
      fc.nat(255),
      (length, at, octet) => {
        const changed = Uint8Array.from(whole.subarray(0, length));
        if (at < length) changed[at] = octet;
        readStreamOptions(changed);
      },
    ),
  );
});
