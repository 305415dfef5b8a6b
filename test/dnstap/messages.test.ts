/** The messages of dnstap in protobuf, and the control frames of Frame Streams. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  acceptsDnstap,
  DNSTAP_CONTENT,
  ReaderFrames,
  readyFrame,
  startFrame,
  stopFrame,
} from '../../src/dnstap/frameStream.ts';
import { MessageEncoder, MessageType } from '../../src/dnstap/messageEncoder.ts';
import { decodeFrame } from '../support/tapCapture.ts';

test('An encoded message has what went in, and no more octets than were announced', () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  const inputs = fc.record({
    isIpv6: fc.boolean(),
    address: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    local: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 })),
    port,
    localPort: fc.oneof(fc.constant(0), port),
    ms: fc.double({ min: 1.7e12, max: 4.5e12, noNaN: true }),
    message: fc.uint8Array({ minLength: 1, maxLength: 40_000 }),
    identity: fc.option(fc.string({ maxLength: 40, unit: 'grapheme-ascii' }), { nil: undefined }),
    isResponse: fc.boolean(),
  });
  const octets = new Uint8Array(80_000);
  fc.assert(
    fc.property(inputs, ({ isIpv6, address, local, message, identity, isResponse, ...rest }) => {
      const encoder = new MessageEncoder(octets, identity, 'soradns 1');
      const { exchange } = encoder;
      exchange.family = isIpv6 ? 6 : 4;
      exchange.protocol = 2;
      exchange.queryAddress.set(address);
      exchange.hasResponseAddress = local !== null;
      if (local !== null) exchange.responseAddress.set(local);
      exchange.queryPort = rest.port;
      exchange.responsePort = rest.localPort;
      exchange.queryMs = rest.ms;
      exchange.responseMs = rest.ms + 1000;
      const type = isResponse ? MessageType.CLIENT_RESPONSE : MessageType.CLIENT_QUERY;
      const end = encoder.encode(7, type, isResponse, message, 0, message.length);
      assert.ok(end - 7 <= encoder.mostOctets(1, message.length));
      assert.equal(Buffer.from(octets).readUInt32BE(7), end - 11);
      const decoded = decodeFrame(Buffer.from(octets.subarray(11, end)));
      const printed = (from: Uint8Array): string =>
        isIpv6 ? Buffer.from(from).toString('hex') : from.slice(0, 4).join('.');
      const seconds = Math.floor(rest.ms / 1000);
      assert.deepEqual(decoded, {
        identity,
        version: 'soradns 1',
        type: isResponse ? 'CLIENT_RESPONSE' : 'CLIENT_QUERY',
        family: isIpv6 ? 2 : 1,
        protocol: 2,
        queryAddress: printed(address),
        responseAddress: local === null ? undefined : printed(local),
        queryPort: rest.port,
        responsePort: rest.localPort === 0 ? undefined : rest.localPort,
        querySeconds: seconds,
        responseSeconds: isResponse ? seconds + 1 : undefined,
        octets: Buffer.from(message),
      });
    }),
    { numRuns: 300 },
  );
});

test('The type of the last message can still be changed', () => {
  const octets = new Uint8Array(500);
  const encoder = new MessageEncoder(octets, undefined, 'v');
  const end = encoder.encode(0, MessageType.CLIENT_QUERY, false, Uint8Array.of(1), 0, 1);
  encoder.retype(MessageType.AUTH_QUERY);
  assert.equal(decodeFrame(Buffer.from(octets.subarray(4, end))).type, 'AUTH_QUERY');
});

/** fstrm's control.h: escape, length, type, and the content type with its field and length. */
const contentFrame = (type: string): string =>
  `0000000000000022${type}0000000100000016${Buffer.from(DNSTAP_CONTENT).toString('hex')}`;

test('The control frames are those of Frame Streams', () => {
  assert.equal(readyFrame().toString('hex'), contentFrame('00000004'));
  assert.equal(startFrame().toString('hex'), contentFrame('00000002'));
  assert.equal(stopFrame().toString('hex'), '000000000000000400000003');
});

test('A reader’s control frames are read in any pieces', () => {
  const accept = Buffer.from(contentFrame('00000001'), 'hex');
  const finish = Buffer.from('000000000000000400000005', 'hex');
  const all = Buffer.concat([accept, finish]);
  const cuts = fc.array(fc.integer({ min: 1, max: all.length - 1 }), { maxLength: 6 });
  fc.assert(
    fc.property(cuts, (at) => {
      const input = new ReaderFrames();
      const found: unknown[] = [];
      const edges = [0, ...[...at].sort((a, b) => a - b), all.length];
      for (const [i, edge] of edges.slice(1).entries()) {
        input.push(all.subarray(edges[i], edge));
        for (let next = input.next(); next !== undefined; next = input.next()) found.push(next);
      }
      assert.deepEqual(found, [
        { kind: 'accept', contentTypes: [DNSTAP_CONTENT] },
        { kind: 'finish' },
      ]);
    }),
  );
});

test('Octets that are no control frame of a reader are malformed', () => {
  const malformed = [
    '0000000100000004',
    '0000000000000003',
    '00000000ffffffff',
    '000000000000000400000002',
    '000000000000000c000000010000000100000009',
    '0000000000000006000000010000',
  ];
  for (const hex of malformed) {
    const input = new ReaderFrames();
    input.push(Buffer.from(hex, 'hex'));
    assert.deepEqual(input.next(), { kind: 'malformed' }, hex);
  }
});

test('A reader that names content types takes dnstap only if it is one of them', () => {
  assert.ok(acceptsDnstap([]));
  assert.ok(acceptsDnstap(['other', DNSTAP_CONTENT]));
  assert.equal(acceptsDnstap(['other']), false);
});
