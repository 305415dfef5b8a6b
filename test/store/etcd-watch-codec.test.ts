import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import fc from 'fast-check';
import {
  decodeWatchMessage,
  encodeCreateRequest,
  PROGRESS_REQUEST,
  type WatchedKv,
  type WatchMessage,
} from '../../src/store/etcd/watchCodec.ts';

/** The codec that etcd3 makes of etcd's proto files with protobufjs. */
interface Reference {
  responseSerialize(message: object): Buffer;
  responseDeserialize(octets: Buffer): ReferenceMessage;
  requestDeserialize(octets: Buffer): object;
}

interface ReferenceKv {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly lease: string;
}

interface ReferenceMessage {
  readonly header: { readonly revision: string } | null;
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  readonly fragment: boolean;
  readonly events: readonly {
    readonly type: string | number;
    readonly kv: ReferenceKv | null;
    readonly prev_kv: ReferenceKv | null;
  }[];
}

const pool = new ConnectionPool({ hosts: 'http://127.0.0.1:1' });
const reference = await pool.withConnection(
  'Watch',
  ({ client }) => (client as unknown as { watch: Reference }).watch,
);
pool.close();

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
const small = fc.nat({ max: 300 }).map(String);
const number = fc.oneof(small, int64);
const octets = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const kv = fc.record({
  ...{ key: octets, value: octets, version: number, lease: number },
  ...{ create_revision: number, mod_revision: number },
});
const event = fc.record({
  type: fc.oneof(fc.constantFrom('Put', 'Delete'), fc.nat({ max: 200 })),
  kv: fc.option(kv),
  prev_kv: fc.option(kv),
});
const message = fc.record({
  header: fc.option(
    fc.record({ cluster_id: small, member_id: small, revision: number, raft_term: small }),
  ),
  ...{ watch_id: number, compact_revision: number },
  ...{ created: fc.boolean(), canceled: fc.boolean(), fragment: fc.boolean() },
  cancel_reason: fc.string({ unit: 'grapheme' }),
  events: fc.array(event, { maxLength: 4 }),
});

const TYPES: Readonly<Record<string, number>> = { Put: 0, Delete: 1 };

const kvOf = (raw: ReferenceKv | null): WatchedKv | undefined =>
  raw === null
    ? undefined
    : {
        ...{ key: raw.key, value: raw.value, lease: raw.lease },
        createRevision: Number(raw.create_revision),
        modRevision: Number(raw.mod_revision),
      };

const ourForm = (raw: ReferenceMessage): WatchMessage => ({
  ...{ created: raw.created, canceled: raw.canceled, fragment: raw.fragment },
  revision: Number(raw.header?.revision ?? 0),
  watchId: Number(raw.watch_id),
  compactRevision: Number(raw.compact_revision),
  cancelReason: raw.cancel_reason,
  events: raw.events.map(({ type, kv: now, prev_kv }) => ({
    type: typeof type === 'number' ? type : (TYPES[type] as number),
    kv: kvOf(now),
    previous: kvOf(prev_kv),
  })),
});

/** Fields with numbers that no message of etcd has, in every encoding. */
const unknownField = fc.oneof(
  fc.constant(Buffer.of(0xf8, 0x07, 0xff, 0x01)),
  fc.constant(Buffer.of(0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8)),
  octets.map((inner) => Buffer.concat([Buffer.of(0xfa, 0x07), varint(inner.length), inner])),
  fc.constant(Buffer.of(0xfd, 0x07, 1, 2, 3, 4)),
);

function varint(value: number): Buffer {
  return value < 0x80 ? Buffer.of(value) : Buffer.of((value & 0x7f) | 0x80, value >> 7);
}

describe('decodeWatchMessage', () => {
  it('decodeWatchMessage reads any message as protobufjs reads it, and skips unknown fields', () => {
    fc.assert(
      fc.property(message, fc.array(unknownField), (plain, unknown) => {
        const encoded = reference.responseSerialize(plain);
        const expected = ourForm(reference.responseDeserialize(encoded));
        assert.deepEqual(decodeWatchMessage(encoded), expected);
        assert.deepEqual(decodeWatchMessage(Buffer.concat([...unknown, encoded])), expected);
        assert.deepEqual(decodeWatchMessage(Buffer.concat([encoded, ...unknown])), expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('A message that ends in the middle of a field is malformed', () => {
    const full = reference.responseSerialize({ events: [{ kv: { key: Buffer.from('/a') } }] });
    for (let length = 1; length < full.length; length++)
      assert.equal(decodeWatchMessage(full.subarray(0, length)), undefined, String(length));
  });

  it('Damaged messages and random octets never make decodeWatchMessage throw', () => {
    const damaged = fc
      .tuple(message, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 6 }))
      .map(([plain, damages]) => {
        const encoded = Buffer.from(reference.responseSerialize(plain));
        for (const [at, octet] of damages) encoded[at % (encoded.length || 1)] = octet;
        return encoded;
      });
    fc.assert(
      fc.property(fc.oneof(damaged, octets), (bytes) => {
        const decoded = decodeWatchMessage(bytes);
        if (decoded === undefined) return;
        for (const { kv: now } of decoded.events)
          assert.ok(now === undefined || now.key.length + now.value.length <= bytes.length);
      }),
      { numRuns: 5000 },
    );
  });

  it('decodeWatchMessage refuses lengths beyond the message, long varints, groups and field 0', () => {
    const hostile = {
      'a length of 2^32': [0x5a, 0x80, 0x80, 0x80, 0x80, 0x10],
      'a negative length': [0x5a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
      'an inner length beyond the outer one': [0x5a, 0x02, 0x12, 0x05, 0x00, 0x00, 0x00, 0x00],
      'a varint of 11 octets': [0x10, ...Array(10).fill(0x80), 0x00],
      'a group': [0x1b, 0x1c],
      'field 0': [0x00, 0x00],
    };
    for (const [title, bytes] of Object.entries(hostile))
      assert.equal(decodeWatchMessage(Buffer.from(bytes)), undefined, title);
  });
});

describe('requests', () => {
  it('protobufjs reads a create request as it was meant', () => {
    const revision = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(octets, octets, revision, fc.boolean(), (key, rangeEnd, start, withPrevious) => {
        const request = { key, rangeEnd, startRevision: start, withPrevious };
        const decoded = reference.requestDeserialize(encodeCreateRequest(request));
        const { create_request: created } = decoded as { create_request: Record<string, unknown> };
        assert.deepEqual(
          [created.key, created.range_end, created.start_revision],
          [key, rangeEnd, String(start)],
        );
        assert.deepEqual([created.prev_kv, created.progress_notify], [withPrevious, true]);
      }),
    );
  });

  it('protobufjs reads a progress request as one', () => {
    const decoded = reference.requestDeserialize(PROGRESS_REQUEST);
    assert.equal((decoded as { request_union: string }).request_union, 'progress_request');
  });
});
