/** The two readers of a query: that of the answer table, and that of the main thread. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { optionBit, QuestionReader } from '../../src/dataplane/reply/question.ts';
import { accept } from '../../src/dns/accept.ts';
import { OptionCode } from '../../src/dns/edns.ts';
import type { Edns } from '../../src/dns/message.ts';
import {
  rawOpt,
  rawOption,
  rawPacket,
  rawQuestion,
  rawRr,
  u16,
  wireName,
} from '../support/packets.ts';

const { NSID, COOKIE, KEEPALIVE, PADDING } = OptionCode;

/** What the reader of the table says about OPT, in the words of `accept`. */
function read(packet: Buffer): Edns | undefined | false {
  const reader = new QuestionReader(1);
  // Octets around the packet, as in a batch.
  const octets = Buffer.concat([Buffer.alloc(5, 0xff), packet, Buffer.alloc(5, 0xff)]);
  if (!reader.read(octets, 5, packet.length)) return false;
  if (reader.udpSize < 0) return undefined;
  const has = (code: number): boolean => (reader.options & optionBit(code)) !== 0;
  const { cookieAt, cookieOctets } = reader;
  return {
    ...{ udpSize: reader.udpSize, version: 0, dnssecOk: reader.dnssecOk },
    ...(reader.compactOk && { compactOk: true }),
    ...(has(NSID) && { nsid: true }),
    ...(has(COOKIE) && {
      cookie: Uint8Array.from(octets.subarray(cookieAt, cookieAt + cookieOctets)),
    }),
  };
}

const anyOption = fc
  .tuple(
    fc.oneof(fc.constantFrom(NSID, COOKIE, PADDING, 8, 266, 65_083), fc.nat(0xffff)),
    fc.uint8Array({ maxLength: 12 }),
  )
  .map(([code, data]) => rawOption(code, data));

test('The reader of the answer table finds the flags and options of OPT that accept finds', () => {
  const anyFlags = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(fc.array(anyOption, { maxLength: 6 }), anyFlags, (options, flags) => {
      const opt = rawOpt({ flags, rdata: Buffer.concat(options) });
      const packet = rawPacket({ counts: [1, 0, 0, 1], body: [rawQuestion(), opt] });
      const accepted = accept(packet, 5353);
      assert.ok(accepted.kind === 'query');
      const { path: _, ...edns } = accepted.query.edns as Edns;
      assert.deepEqual(read(packet), edns);
    }),
  );
});

test('The reader of the answer table forgets the options of the last packet', () => {
  const reader = new QuestionReader(1);
  const rdata = Buffer.concat([rawOption(NSID, Buffer.of()), rawOption(KEEPALIVE, Buffer.of())]);
  const opt = rawOpt({ flags: 0xffff, rdata });
  const full = rawPacket({ counts: [1, 0, 0, 1], body: [rawQuestion(), opt] });
  assert.ok(reader.read(full, 0, full.length));
  assert.equal(reader.options, optionBit(NSID) | optionBit(KEEPALIVE));
  const plain = rawPacket();
  assert.ok(reader.read(plain, 0, plain.length));
  assert.deepEqual([reader.options, reader.compactOk, reader.dnssecOk], [0, false, false]);
});

test('The reader of the answer table leaves signed packets to the main thread', () => {
  const rdata = Buffer.concat([wireName('hmac-sha256'), Buffer.alloc(8), u16(0, 1, 0, 0)]);
  const tsig = rawRr(wireName('key'), 250, rdata);
  const alone = rawPacket({ counts: [1, 0, 0, 1], body: [rawQuestion(), tsig] });
  const behindOpt = rawPacket({ counts: [1, 0, 0, 2], body: [rawQuestion(), rawOpt(), tsig] });
  for (const packet of [alone, behindOpt]) {
    assert.equal(read(packet), false);
    const accepted = accept(packet, 5353);
    assert.ok(accepted.kind === 'query' && accepted.query.tsig !== undefined);
  }
});
