import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Lease } from '../../src/service/change.ts';
import { batchesOf, keyBytes, keyText, prefixEnd } from '../../src/store/etcd/translate.ts';
import { StoreError } from '../../src/store/store.ts';

const kv = (key: string, modRevision: number, lease = '0') => ({
  key: Buffer.from(key),
  value: Buffer.from('v'),
  create_revision: '1',
  mod_revision: String(modRevision),
  version: '1',
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

describe('batchesOf', () => {
  const put = (key: string, revision: number) => ({
    type: 'Put',
    kv: kv(key, revision),
    prev_kv: null,
  });

  it('batchesOf gives one batch for each revision', () => {
    const events = [put('/a', 5), put('/b', 5), put('/a', 7), { ...put('/b', 7), type: 'Delete' }];
    const batches = [...batchesOf(events, leaseOf)];
    assert.deepEqual(
      batches.map(({ revision, changes }) => [revision, changes.map((change) => change.kind)]),
      [
        [5, ['put', 'put']],
        [7, ['put', 'delete']],
      ],
    );
  });

  it('batchesOf ignores unknown events', () => {
    const events = [
      { type: 7, kv: kv('/a', 5), prev_kv: null },
      { type: 'Put', kv: null, prev_kv: null },
    ];
    assert.deepEqual([...batchesOf(events, leaseOf)], []);
  });

  it('A lease id beyond 2^53 keeps every digit', () => {
    const id = String(2n ** 62n + 1n);
    const [batch] = batchesOf([{ type: 'Put', kv: kv('/a', 5, id), prev_kv: null }], leaseOf);
    const change = batch?.changes[0];
    assert.equal(change?.kind === 'put' && change.entry.lease?.id, id);
  });
});
