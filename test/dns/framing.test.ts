import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Frame, frame, Reassembly } from '../../src/dns/framing.ts';
import { framed, messageWithId } from '../support/framedClient.ts';

/** All messages of a stream that arrives in these chunks, and the last frame. */
function reassemble(chunks: readonly Uint8Array[]): { messages: string[]; last: Frame } {
  const input = new Reassembly();
  const messages: string[] = [];
  let last: Frame = { kind: 'incomplete', pendingOctets: 0 };
  for (const chunk of chunks) {
    input.push(chunk);
    for (last = input.next(); last.kind === 'message'; last = input.next()) {
      messages.push(Buffer.from(last.message).toString('hex'));
    }
    if (last.kind === 'malformed') break;
  }
  return { messages, last };
}

function cut(stream: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const length of lengths) {
    chunks.push(stream.subarray(offset, offset + length));
    offset += length;
  }
  return [...chunks, stream.subarray(offset)];
}

const messagesOf = (minLength: number, maxLength: number) =>
  fc.array(fc.uint8Array({ minLength, maxLength }), { maxLength: 8 });

test('The framing gives the same messages for any split of the stream', () => {
  const lengths = fc.array(fc.nat({ max: 300 }), { maxLength: 100 });
  fc.assert(
    fc.property(messagesOf(12, 700), lengths, fc.nat({ max: 20 }), (messages, cuts, missing) => {
      const whole = framed(...messages);
      const stream = whole.subarray(0, Math.max(0, whole.length - missing));
      const { messages: got, last } = reassemble(cut(stream, cuts));
      const complete = reassemble([stream]);
      assert.deepEqual(got, complete.messages);
      assert.deepEqual(last, complete.last);
      if (missing > 0) return;
      assert.deepEqual(
        got,
        messages.map((message) => Buffer.from(message).toString('hex')),
      );
      assert.deepEqual(last, { kind: 'incomplete', pendingOctets: 0 });
    }),
    { numRuns: 500 },
  );
});

test('The framing accepts the longest message octet by octet', () => {
  const message = Buffer.alloc(65_535, 0xa5);
  const octets = Array.from(framed(message, message), (octet) => Uint8Array.of(octet));
  const { messages } = reassemble(octets);
  assert.deepEqual(messages, [message.toString('hex'), message.toString('hex')]);
});

test('The framing refuses an impossible length, wherever the stream is split', () => {
  for (let length = 0; length < 12; length += 1) {
    const stream = Buffer.concat([framed(messageWithId(1)), framed(Buffer.alloc(length))]);
    for (const chunks of [[stream], cut(stream, [14]), cut(stream, [15]), cut(stream, [3, 12])]) {
      const { messages, last } = reassemble(chunks);
      assert.equal(messages.length, 1);
      assert.deepEqual(last, { kind: 'malformed', length });
    }
  }
});

test('The framing counts pending octets with those of the length', () => {
  const stream = framed(messageWithId(7));
  for (let arrived = 0; arrived < stream.length; arrived += 1) {
    const { last } = reassemble([stream.subarray(0, arrived)]);
    assert.deepEqual(last, { kind: 'incomplete', pendingOctets: arrived });
  }
});

test('The framing allocates nothing for a length before its octets arrive', () => {
  const announced = Uint8Array.of(0xff, 0xff, 0);
  const before = process.memoryUsage().arrayBuffers;
  const inputs = Array.from({ length: 1000 }, () => {
    const input = new Reassembly();
    input.push(announced);
    input.next();
    return input;
  });
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.equal(inputs.length, 1000);
  assert.ok(grown < 2 * 1024 * 1024, `1,000 announced messages took ${grown} octets`);
});

test('The framing refuses a chunk while the previous one has octets left', () => {
  const input = new Reassembly();
  input.push(framed(messageWithId(1)));
  assert.throws(() => input.push(framed(messageWithId(2))));
});

test('frame puts the length in front of a message', () => {
  const message = messageWithId(0x1234, 300);
  assert.deepEqual(Buffer.from(frame(message)), framed(message));
  assert.deepEqual(Buffer.from(frame(Buffer.alloc(65_535))), framed(Buffer.alloc(65_535)));
});

test('Messages that a chunk holds whole can be read in place, between calls of `next`', () => {
  const lengths = fc.array(fc.nat({ max: 300 }), { maxLength: 100 });
  const choices = fc.infiniteStream(fc.boolean());
  fc.assert(
    fc.property(messagesOf(12, 100), lengths, choices, (messages, cuts, inPlace) => {
      const input = new Reassembly();
      const got: string[] = [];
      const takeInPlace = (): boolean => {
        const length = input.wholeInChunk();
        if (length === 0) return false;
        const { chunk, messageAt } = input;
        got.push(Buffer.from(chunk.subarray(messageAt, messageAt + length)).toString('hex'));
        input.skip();
        return true;
      };
      const takeNext = (): boolean => {
        const next = input.next();
        if (next.kind === 'message') got.push(Buffer.from(next.message).toString('hex'));
        return next.kind === 'message';
      };
      for (const chunk of cut(framed(...messages), cuts)) {
        input.push(chunk);
        while ((inPlace.next().value && takeInPlace()) || takeNext());
      }
      assert.deepEqual(
        got,
        messages.map((message) => Buffer.from(message).toString('hex')),
      );
    }),
  );
});

test('A message that is too short is not whole', () => {
  const input = new Reassembly();
  input.push(framed(Buffer.alloc(11)));
  assert.equal(input.wholeInChunk(), 0);
  assert.equal(input.next().kind, 'malformed');
});
