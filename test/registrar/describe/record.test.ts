import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { DesiredRecord } from '../../../src/registrar/describe/description.ts';
import { ownerOf, recordValue } from '../../../src/registrar/describe/storedValue.ts';
import { asShortId } from '../../../src/registrar/engine/containerId.ts';
import { parseService } from '../../../src/service/service.ts';

const OWNER = {
  id: 'ABCD:EFGH',
  shortId: asShortId('c0ffee123456'),
  startedAt: '2026-01-02T03:04:05.6Z',
};
const STAMP = '"owner":{"r":"ABCD:EFGH","c":"c0ffee123456","s":"2026-01-02T03:04:05.6Z"';

function record(fields: Partial<DesiredRecord['fields']>, more: Partial<DesiredRecord> = {}) {
  const all = { host: '10.0.1.5', ttl: 30, ...fields };
  return { key: '/skydns/local/skydns/a', instance: 'named', fields: all, ...more } as const;
}

function octets(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

describe('record values', () => {
  for (const [made, json] of [
    [record({}), `{"host":"10.0.1.5","ttl":30,${STAMP}}}`],
    [
      record({ weight: 100, priority: 10, port: 8080 }),
      `{"host":"10.0.1.5","port":8080,"priority":10,"weight":100,"ttl":30,${STAMP}}}`,
    ],
    [
      record({ group: 'g', targetstrip: 1, mail: false, text: 'a"\\', priority: 0, weight: 0 }),
      `{"host":"10.0.1.5","priority":0,"weight":0,"text":"a\\"\\\\","mail":false,"ttl":30,"targetstrip":1,"group":"g",${STAMP}}}`,
    ],
    [
      record({
        proxyProtocol: true,
        leader: 'oldest',
        vipPort: '80/udp',
        vipName: 'b.c',
        vip: 'auto',
        tags: ['x'],
        expose: 8080,
      }),
      `{"host":"10.0.1.5","ttl":30,"expose":8080,"tags":["x"],"vip":"auto","vipName":"b.c","vipPort":"80/udp","leader":"oldest","proxyProtocol":true,${STAMP}}}`,
    ],
    [
      record({}, { meta: { tags: ['x'], attributes: { a: 'b' } } }),
      `{"host":"10.0.1.5","ttl":30,${STAMP},"meta":{"tags":["x"],"attributes":{"a":"b"}}}}`,
    ],
  ] as const) {
    it(`A record is stored as ${json}`, () => {
      const value = recordValue(made, OWNER);
      assert.equal(new TextDecoder().decode(value), json);
      assert.equal(parseService(value).kind, 'service');
      assert.deepEqual(ownerOf(value), OWNER);
    });
  }

  it('The value of a record changes with each of its fields', () => {
    const value = recordValue(record({ port: 1 }), OWNER);
    const others = [
      recordValue(record({ port: 2 }), OWNER),
      recordValue(record({}), OWNER),
      recordValue(record({ port: 1 }), { ...OWNER, startedAt: 'later' }),
      recordValue(record({ port: 1 }), { ...OWNER, id: 'other' }),
    ];
    for (const other of others) assert.notDeepEqual(other, value);
  });

  it('The value of a record does not depend on the order of its fields', () => {
    const there = recordValue(record({ port: 1, weight: 2, text: 'x' }), OWNER);
    const back = recordValue(record({ text: 'x', weight: 2, port: 1 }), OWNER);
    assert.deepEqual(there, back);
  });
});

describe('owners of values', () => {
  for (const text of [
    '',
    '{',
    'null',
    '"owner"',
    '[]',
    '{}',
    '{"host":"10.0.0.1"}',
    '{"owner":null}',
    '{"owner":"r"}',
    '{"owner":[]}',
    '{"owner":{"r":"a","c":"b"}}',
    '{"owner":{"r":"a","c":"b","s":1}}',
    '{"owner":{"r":"","c":"b","s":"c"}}',
    `{"owner":{"r":"${'a'.repeat(257)}","c":"b","s":"c"}}`,
    `{"owner":{"r":"a","c":"b","s":"c"},"x":"${'x'.repeat(65_536)}"}`,
    '\ufeff{"owner":{"r":"a","c":"b","s":"c"}',
  ]) {
    it(`The value ${JSON.stringify(text.slice(0, 40))} has no owner`, () =>
      assert.equal(ownerOf(octets(text)), undefined));
  }

  it('The owner is read from a value with further members', () => {
    const value = octets('{"owner":{"s":"c","c":"b","r":"a","more":[1]},"host":"x"}');
    assert.deepEqual(ownerOf(value), { id: 'a', shortId: 'b', startedAt: 'c' });
  });

  it('A value that is not UTF-8 has no owner and throws nothing', () => {
    assert.equal(ownerOf(Uint8Array.of(0x7b, 0xff, 0x7d)), undefined);
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), fc.json().map(octets)), (value) => {
        ownerOf(value);
      }),
    );
    assert.equal(ownerOf(octets('['.repeat(60_000))), undefined);
  });
});
