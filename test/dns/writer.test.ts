import assert from 'node:assert/strict';
import test from 'node:test';
import { MAX_MESSAGE_OCTETS } from '../../src/dns/wire.ts';
import { MessageWriter } from '../../src/dns/writer.ts';

function hex(writer: MessageWriter): string {
  return Buffer.from(writer.finish()).toString('hex');
}

test('The writer does not point at a rolled-back name and still points at earlier ones', () => {
  const writer = new MessageWriter();
  writer.restart(0);
  writer.u16(0xffff);
  writer.name(['a']);
  writer.name(['b', 'a']);
  writer.rollBack(5);
  writer.name(['c', 'b', 'a']);
  writer.name(['b', 'a']);
  assert.equal(hex(writer), 'ffff 0161 00 0163 0162 c002 c007'.replaceAll(' ', ''));
});

test('A message does not point at names of the previous one', () => {
  const writer = new MessageWriter();
  for (let i = 0; i < 2; i++) {
    writer.restart(0);
    writer.u16(0xffff);
    writer.name(['a']);
    assert.equal(hex(writer), 'ffff016100');
  }
});

test('The writer counts and drops octets beyond the largest message', () => {
  const writer = new MessageWriter();
  writer.restart(0);
  writer.raw(new Uint8Array(MAX_MESSAGE_OCTETS - 1));
  writer.u32(0x01020304);
  writer.raw(new Uint8Array(10));
  writer.characterString('abc');
  assert.equal(writer.at, MAX_MESSAGE_OCTETS + 17);
  writer.rollBack(MAX_MESSAGE_OCTETS);
  assert.equal(writer.finish().at(-1), 1);
});
