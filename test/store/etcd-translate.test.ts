import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Lease } from '../../src/service/change.ts';
import {
  batchesOf,
  changesOf,
  keyBytes,
  keyText,
  prefixEnd,
} from '../../src/store/etcd/translate.ts';
import { DELETE, PUT } from '../../src/store/etcd/watchCodec.ts';
import { StoreError } from '../../src/store/store.ts';

const kv = (key: string, modRevision: number, lease = '0') => ({
  key: Buffer.from(key),
  value: Buffer.from('v'),
  createRevision: 1,
  modRevision,
  lease,
});
const leaseOf = (id: string): Lease => ({ id, ttlSeconds: 1, expiresAtMs: 1 });

describe('keys', () => {
  it('Any octets survive the translation to text and back', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (octets) => {
        assert.deepEqual([...keyBytes(keyText(Buffer.from(octets)))], [...octets]);
      }),
    );
  });

  it('Any text survives the translation to octets and back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        assert.equal(keyText(keyBytes(text)), text);
      }),
    );
  });

  it('Text that represents no octets is refused', () => {
    for (const key of ['/\ud800', '/\udc00', '/\udfff', '/é\udcff']) {
      assert.throws(
        () => keyBytes(key),
        (error) => error instanceof StoreError && error.code === 'invalid',
      );
    }
  });

  it('The range of a prefix ends before its siblings', () => {
    assert.equal(prefixEnd('/skydns/').toString(), '/skydns0');
  });
});

describe('changes', () => {
  const event = (type: number, key: string, revision: number, lease?: string) => ({
    ...{ type, kv: kv(key, revision, lease), previous: undefined },
  });

  it('batchesOf gives one batch for each revision', () => {
    const events = [
      ...[event(PUT, '/a', 5), event(PUT, '/b', 5)],
      ...[event(PUT, '/a', 7), event(DELETE, '/b', 7)],
    ];
    const batches = [...batchesOf(changesOf(events, leaseOf))];
    assert.deepEqual(
      batches.map(({ revision, changes }) => [revision, changes.map((change) => change.kind)]),
      [
        [5, ['put', 'put']],
        [7, ['put', 'delete']],
      ],
    );
  });

  it('changesOf ignores unknown events', () => {
    const events = [event(7, '/a', 5), { type: PUT, kv: undefined, previous: undefined }];
    assert.deepEqual([...changesOf(events, leaseOf)], []);
  });

  it('A change has the lease of its key', () => {
    const [change] = changesOf([event(PUT, '/a', 5, '7')], leaseOf);
    assert.equal(change?.kind === 'put' && change.entry.lease?.id, '7');
  });
});
