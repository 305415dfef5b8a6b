import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  attribute,
  decodeMessages,
  eachAttribute,
  encodeMessage,
  errnoIn,
  joined,
  nested,
  networkLong,
  networkShort,
  numberIn,
  octet,
  readAttributes,
  terminated,
  textIn,
} from '../../src/kernel/netlinkMessage.ts';

const octets = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');

test('A message has a header of 16 octets in the order of the machine, then its payload', () => {
  const payload = octets('02000000');
  const encoded = encodeMessage({ type: 0x0a10, flags: 0x301, sequence: 7, payload });
  assert.equal(hex(encoded), '14000000100a0103070000000000000002000000');
  assert.deepEqual(decodeMessages(encoded), [{ type: 0x0a10, flags: 0x301, sequence: 7, payload }]);
});

test('One read may have several messages, and a cut one ends the list', () => {
  const one = encodeMessage({ type: 20, flags: 2, sequence: 1, payload: octets('aabbccdd') });
  const two = encodeMessage({ type: 21, flags: 2, sequence: 1, payload: octets('') });
  const types = (read: Uint8Array) => decodeMessages(read).map(({ type }) => type);
  assert.deepEqual(types(joined([one, two])), [20, 21]);
  assert.deepEqual(types(joined([one, two]).subarray(0, -1)), [20]);
  assert.deepEqual(types(octets('0f000000100a01030700000000000000')), []);
});

test('Messages begin at multiples of four octets', () => {
  const odd = encodeMessage({ type: 20, flags: 0, sequence: 1, payload: octets('aabbcc') });
  const next = encodeMessage({ type: 21, flags: 0, sequence: 1, payload: octets('') });
  const read = decodeMessages(joined([odd, octets('00'), next]));
  assert.deepEqual(
    read.map(({ type, payload }) => [type, payload.length]),
    [
      [20, 3],
      [21, 0],
    ],
  );
});

test('An acknowledgement has the errno as a negative number', () => {
  const reply = { type: 2, flags: 0, sequence: 1 };
  assert.equal(errnoIn({ ...reply, payload: octets('fffffffff00000') }), 1);
  assert.equal(errnoIn({ ...reply, payload: octets('00000000') }), 0);
  assert.equal(errnoIn({ ...reply, payload: octets('') }), 0);
});

test('Attributes are padded to four octets, and a nested one has a flag in its type', () => {
  assert.equal(hex(attribute(1, terminated('soradns'))), '0c000100736f7261646e7300');
  assert.equal(hex(attribute(2, octet(6))), '0500020006000000');
  assert.equal(hex(nested(3, [attribute(1, networkShort(443))])), '0c0003800600010001bb0000');
});

test('Numbers are in network order', () => {
  assert.equal(hex(networkLong(0xfedcba98)), 'fedcba98');
  assert.equal(numberIn(octets('fedcba98')), 0xfedcba98);
  assert.equal(numberIn(networkShort(65_535)), 65_535);
  assert.equal(numberIn(octet(17)), 17);
  assert.equal(numberIn(octets('000001')), undefined);
  assert.equal(numberIn(undefined), undefined);
});

test('A text ends at its first NUL', () => {
  assert.equal(textIn(octets('6e6f64650000')), 'node');
  assert.equal(textIn(octets('6e6f6465')), 'node');
  assert.equal(textIn(undefined), undefined);
});

test('Attributes are read up to one that is cut; of equal types the last one counts', () => {
  const read = joined([
    attribute(1, octet(1)),
    nested(2, []),
    attribute(1, octet(2)),
    octets('ff'),
  ]);
  assert.deepEqual(
    [...readAttributes(read)],
    [
      [1, octets('02')],
      [2, octets('')],
    ],
  );
  const types: number[] = [];
  eachAttribute(read, (type) => types.push(type));
  assert.deepEqual(types, [1, 2, 1]);
  assert.deepEqual([...readAttributes(octets('03000100'))], []);
  assert.deepEqual([...readAttributes(octets('09000100aabbccdd'))], []);
});

test('Any attributes that are written are read again', () => {
  const attributes = fc.uniqueArray(
    fc.tuple(fc.integer({ min: 1, max: 0x3fff }), fc.uint8Array({ maxLength: 300 })),
    { selector: ([type]) => type, maxLength: 20 },
  );
  fc.assert(
    fc.property(attributes, (written) => {
      const encoded = joined(written.map(([type, value]) => attribute(type, value)));
      assert.deepEqual([...readAttributes(encoded)], written);
    }),
  );
});

test('Any octets decode to messages and attributes without an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (read) => {
      for (const { payload } of decodeMessages(read)) readAttributes(payload);
      readAttributes(read);
    }),
  );
});
