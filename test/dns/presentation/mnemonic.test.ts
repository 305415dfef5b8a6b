import assert from 'node:assert/strict';
import test from 'node:test';
import {
  className,
  rcodeName,
  typeCode,
  typeName,
} from '../../../src/dns/presentation/mnemonic.ts';

const registries = [
  ['types', typeName, { 1: 'A', 23: 'NSAP-PTR', 33: 'SRV', 257: 'CAA', 1000: 'TYPE1000' }],
  ['classes', className, { 1: 'IN', 3: 'CH', 255: 'ANY', 1000: 'CLASS1000' }],
  ['response codes', rcodeName, { 0: 'NOERROR', 5: 'REFUSED', 16: 'BADVERS', 1000: 'RCODE1000' }],
] as const;

for (const [what, nameOf, names] of registries) {
  test(`The names of ${what} are their mnemonics, or their numbers if they have none`, () => {
    for (const [code, name] of Object.entries(names)) assert.equal(nameOf(Number(code)), name);
  });
}

test('typeCode knows types in any letter case', () => {
  for (const [name, code] of [
    ['A', 1],
    ['SRV', 33],
    ['HTTPS', 65],
    ['NSAP-PTR', 23],
    ['ANY', 255],
    ['CAA', 257],
  ] as const) {
    assert.equal(typeCode(name), code);
    assert.equal(typeCode(name.toLowerCase()), code);
    assert.equal(typeCode(`TYPE${code}`), code);
  }
});

test('typeCode reads the name of every type', () => {
  for (let code = 0; code < 0x10000; code++) assert.equal(typeCode(typeName(code)), code);
});

test('A type without a mnemonic is named by its number', () => {
  assert.equal(typeCode('type1000'), 1000);
});

test('typeCode returns undefined for words that are not types', () => {
  const words = ['', 'constructor', '__proto__', '1', 'TYPE'];
  const numbers = ['TYPE65536', 'TYPE-1', 'TYPE1e3', 'TYPE 1', 'TYPE1x', 'TYPE000001'];
  for (const word of [...words, ...numbers]) assert.equal(typeCode(word), undefined, word);
});
