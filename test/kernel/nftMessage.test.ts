/** The recorded octets are those that Linux 6.18 and nftables 1.0.6 send for one transaction. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { NetlinkMessage } from '../../src/kernel/netlinkMessage.ts';
import {
  changedTable,
  decodeGeneration,
  decodePart,
  eachElement,
  encodeSet,
  encodeTable,
  type NftElement,
} from '../../src/kernel/nftMessage.ts';

const TABLE = '02000002060001007400000008000300000000020c00040000000000000000020800020000000000';
const CHAIN =
  '02000002060001007400000006000300630000000c000200000000000000000214000400080001000000000008000200ffffff9b0800' +
  '050000000001080007006e61740008000a00000000010800060000000001';
/** `tcp dport 80 accept comment "x"`. */
const RULE =
  '02000002060001007400000006000200630000000c0003000000000000000003e400040024000100090001006d657461000000001400' +
  '0200080002000000001008000100000000012c00010008000100636d7000200002000800010000000001080002000000' +
  '00000c0003000500010006000000340001000c0001007061796c6f6164002400020008000100000000010800020000000002080003' +
  '000000000208000400000000022c00010008000100636d7000200002000800010000000001080002000000' +
  '00000c0003000600010000500000300001000e000100696d6d6564696174650000001c0002000800010000000000100002000c00020008' +
  '000100000000010800070000027800';
/** Two elements of the map with the keys `address . protocol . port . slot`, and data `address . port`. */
const ELEMENT =
  '020000020600010074000000060002006d000000300003002c0001001800010014000100c6120001060000000050000003000000' +
  '100002000c0001000a0000011f900000';
const GENERATION = '0000000208000100000000020800020000006334090003006e6f646500000000';

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');

function recorded(type: number, payload: string): NetlinkMessage {
  return { type, flags: 2, sequence: 1, payload: Uint8Array.from(Buffer.from(payload, 'hex')) };
}

function elementsOf(message: NetlinkMessage): readonly NftElement[] {
  const elements: NftElement[] = [];
  eachElement(message, (element) => elements.push(element));
  return elements;
}

test('A generation has its number, and the thread that made it', () => {
  assert.deepEqual(decodeGeneration(recorded(0xa0f, GENERATION)), {
    id: 2,
    processId: 0x6334,
    processName: 'node',
  });
  assert.equal(decodeGeneration(recorded(0xa00, TABLE)), undefined);
});

test('The message about a change names its table, whatever has changed in it', () => {
  const changes = [
    [0xa00, TABLE],
    [0xa03, CHAIN],
    [0xa06, RULE],
    [0xa0c, ELEMENT],
  ] as const;
  for (const [type, payload] of changes)
    assert.deepEqual(changedTable(recorded(type, payload)), { family: 4, name: 't' });
  assert.equal(changedTable(recorded(0xa0f, GENERATION)), undefined);
  assert.equal(changedTable(recorded(0x100, TABLE)), undefined);
  assert.equal(changedTable(recorded(0xa00, `05${TABLE.slice(2)}`)), undefined);
});

test('Requests name the table, and the set', () => {
  const table = { family: 6, name: 't' } as const;
  assert.equal(hex(encodeTable(table)), '0a0000000600010074000000');
  assert.equal(hex(encodeSet(table, 'm')), '0a0000000600010074000000060002006d000000');
});

test('A part of a table has its name, and octets without handles and counts', () => {
  const table = { family: 4, name: 't' } as const;
  const chain = decodePart(recorded(0xa03, CHAIN), table);
  assert.deepEqual([chain?.kind, chain?.name], ['chain', 'c']);
  const otherHandle = CHAIN.replace('0000000000000002', '0000000000000009');
  const otherUse = otherHandle.replace(/00000001$/, '00000007');
  assert.notEqual(otherUse, CHAIN);
  assert.deepEqual(decodePart(recorded(0xa03, otherUse), table), chain);
  const otherPriority = CHAIN.replace('ffffff9b', 'ffffff9c');
  assert.notDeepEqual(decodePart(recorded(0xa03, otherPriority), table), chain);
});

test('A rule has the name of its chain, its expressions and its comment', () => {
  const table = { family: 4, name: 't' } as const;
  const rule = decodePart(recorded(0xa06, RULE), table);
  assert.deepEqual([rule?.kind, rule?.name], ['rule', 'c']);
  const otherPort = RULE.replace('00500000', '00510000');
  assert.notDeepEqual(decodePart(recorded(0xa06, otherPort), table), rule);
  const otherComment = RULE.replace(/027800$/, '027900');
  assert.notDeepEqual(decodePart(recorded(0xa06, otherComment), table), rule);
});

test('The parts of other tables and families are left out', () => {
  assert.equal(decodePart(recorded(0xa00, TABLE), { family: 4, name: 'u' }), undefined);
  assert.equal(decodePart(recorded(0xa00, TABLE), { family: 6, name: 't' }), undefined);
  assert.equal(decodePart(recorded(0xa0c, ELEMENT), { family: 4, name: 't' }), undefined);
});

test('An element has its key and data, each part of them padded to four octets', () => {
  const [element, ...others] = elementsOf(recorded(0xa0c, ELEMENT));
  assert.deepEqual(others, []);
  assert.equal(
    hex(element?.key ?? new Uint8Array()),
    'c6120001' + '06000000' + '00500000' + '03000000',
  );
  assert.equal(hex(element?.data ?? new Uint8Array()), '0a000001' + '1f900000');
  assert.deepEqual(elementsOf(recorded(0xa00, ELEMENT)), []);
});

test('Messages with any damage decode without an error', () => {
  const type = fc.constantFrom(0xa00, 0xa03, 0xa06, 0xa09, 0xa0c, 0xa0f);
  const payload = fc.constantFrom(TABLE, CHAIN, RULE, ELEMENT, GENERATION);
  const changes = fc.array(fc.tuple(fc.nat(300), fc.nat(255)));
  fc.assert(
    fc.property(type, payload, changes, fc.nat(300), (number, octets, damage, length) => {
      const message = recorded(number, octets);
      for (const [at, value] of damage) message.payload[at] = value;
      const cut = { ...message, payload: message.payload.subarray(0, length) };
      decodeGeneration(cut);
      changedTable(cut);
      decodePart(cut, { family: 4, name: 't' });
      elementsOf(cut);
    }),
  );
});
