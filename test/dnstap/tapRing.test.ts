/** The ring between a thread that writes messages for dnstap and the main thread. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  newTapMemory,
  RING_OCTETS,
  TapAlarm,
  TapRingReader,
  TapRingWriter,
} from '../../src/dnstap/tapRing.ts';

/** Writes a frame of so many octets, all of the same value; false if there is no room. */
function put(writer: TapRingWriter, length: number, value: number): boolean {
  const at = writer.reserve(4 + length);
  if (at < 0) {
    writer.drop(1);
    return false;
  }
  new DataView(writer.octets.buffer, writer.octets.byteOffset).setUint32(at, length);
  writer.octets.fill(value, at + 4, at + 4 + length);
  writer.commit(at + 4 + length);
  writer.publish();
  return true;
}

/** The frames that the reader takes, each as its length and its value. */
function takeAll(reader: TapRingReader, most: number): [number, number][] {
  const found: [number, number][] = [];
  for (let taken = reader.take(most); taken !== undefined; taken = reader.take(most)) {
    const { octets, frames } = taken;
    let count = 0;
    for (let at = 0; at < octets.length; count++) {
      const length = octets.readUInt32BE(at);
      const payload = octets.subarray(at + 4, at + 4 + length);
      assert.ok(payload.every((octet) => octet === payload[0]));
      found.push([length, payload[0] as number]);
      at += 4 + length;
    }
    assert.equal(count, frames);
    assert.ok(frames <= most);
  }
  return found;
}

test('Frames of any lengths leave the ring whole and in order, and those without room are counted', () => {
  const length = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 70_000 }));
  const rounds = fc.array(fc.array(length, { maxLength: 40 }), { maxLength: 12 });
  fc.assert(
    fc.property(rounds, fc.integer({ min: 1, max: 50 }), (lengths, most) => {
      const memory = newTapMemory(2);
      const writer = new TapRingWriter(memory, 1);
      const reader = new TapRingReader(memory, 1);
      let value = 0;
      let dropped = 0;
      for (const round of lengths) {
        const expected: [number, number][] = [];
        for (const each of round) {
          value = (value % 255) + 1;
          if (put(writer, each, value)) expected.push([each, value]);
          else dropped++;
        }
        assert.deepEqual(takeAll(reader, most), expected);
        assert.ok(reader.isEmpty());
      }
      assert.equal(reader.takeDropped(), dropped);
      assert.equal(reader.takeDropped(), 0);
    }),
    { numRuns: 30 },
  );
});

test('A full ring takes no frame until the reader has made room', () => {
  const memory = newTapMemory(1);
  const writer = new TapRingWriter(memory, 0);
  const reader = new TapRingReader(memory, 0);
  let frames = 0;
  while (put(writer, 1_000, 1)) frames++;
  assert.equal(frames, Math.floor(RING_OCTETS / 1_004));
  assert.equal(put(writer, 1_000, 2), false);
  assert.equal(reader.take(10)?.frames, 10);
  assert.equal(put(writer, 1_000, 3), true);
  assert.equal(reader.takeDropped(), 2);
});

test('A frame that was reserved and not committed is not read', () => {
  const memory = newTapMemory(1);
  const writer = new TapRingWriter(memory, 0);
  const reader = new TapRingReader(memory, 0);
  put(writer, 5, 7);
  writer.reserve(500);
  put(writer, 6, 8);
  assert.deepEqual(takeAll(reader, 100), [
    [5, 7],
    [6, 8],
  ]);
});

test('A new writer on a ring goes on behind the frames of the one before', () => {
  const memory = newTapMemory(1);
  put(new TapRingWriter(memory, 0), 5, 1);
  put(new TapRingWriter(memory, 0), 6, 2);
  assert.deepEqual(takeAll(new TapRingReader(memory, 0), 9), [
    [5, 1],
    [6, 2],
  ]);
});

test('The first writer with frames after the reader has gone to sleep wakes it, and no other does', () => {
  const memory = newTapMemory(2);
  const writers = [new TapRingWriter(memory, 0), new TapRingWriter(memory, 1)] as const;
  assert.equal(writers[0].publish(), false, 'the reader is awake at first');
  new TapAlarm(memory).markAsleep();
  assert.deepEqual(
    [writers[1].publish(), writers[0].publish(), writers[1].publish()],
    [true, false, false],
  );
});
