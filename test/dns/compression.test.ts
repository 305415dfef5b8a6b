import assert from 'node:assert/strict';
import test from 'node:test';
import { CompressionTable } from '../../src/dns/writer.ts';

/** Octets of consecutive labels of two characters, and the offset of each. */
function manyNames(): { octets: Uint8Array; labels: readonly (readonly [string, number])[] } {
  const octets = new Uint8Array(0x4000);
  const labels: [string, number][] = [];
  for (let at = 12; at + 3 <= octets.length; at += 3) {
    const label = String.fromCharCode(labels.length >> 8, labels.length & 0xff);
    octets.set([2, labels.length >> 8, labels.length & 0xff], at);
    labels.push([label, at]);
  }
  return { octets, labels };
}

test('The compression table finds a name by its labels and their case', () => {
  const table = new CompressionTable(Uint8Array.of(0, 1, 0x61, 1, 0x62, 1, 0x61));
  assert.equal(table.add('a', 0, 1), true);
  assert.equal(table.add('b', 1, 3), true);
  assert.equal(table.add('a', 3, 5), true);
  assert.deepEqual([table.find('a', 0), table.find('b', 1), table.find('a', 3)], [1, 3, 5]);
  const strangers = [table.find('A', 0), table.find('b', 0), table.find('a', 1), table.find('', 0)];
  assert.deepEqual(strangers, [0, 0, 0, 0]);
});

test('The compression table refuses offsets that do not fit in 14 bits', () => {
  const table = new CompressionTable(new Uint8Array(0x5000));
  assert.equal(table.add('a', 0, 0x4000), false);
  assert.equal(table.find('a', 0), 0);
  assert.equal(table.add('a', 0, 0x3fff), true);
});

test('A full compression table refuses some names and finds all others', () => {
  const { octets, labels } = manyNames();
  const table = new CompressionTable(octets);
  const added = labels.filter(([label, at]) => table.add(label, 0, at));
  assert.ok(added.length > labels.length / 2);
  for (const [label, at] of added) assert.equal(table.find(label, 0), at);
});

test('The compression table forgets names from an offset on, keeps the others, and reuses the space', () => {
  const { octets, labels } = manyNames();
  const table = new CompressionTable(octets);
  const added = labels.filter(([label, at]) => table.add(label, 0, at));
  const [, middle] = labels[labels.length >> 1] ?? assert.fail();
  table.forgetFrom(middle);
  for (const [label, at] of added) assert.equal(table.find(label, 0), at < middle ? at : 0);
  table.forgetFrom(0);
  assert.deepEqual(
    labels.filter(([label, at]) => table.add(label, 0, at)),
    added,
  );
});
