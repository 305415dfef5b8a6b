import assert from 'node:assert/strict';
import test from 'node:test';
import * as mnemonic from '../../src/dns/mnemonic.ts';

const tables = [
  [
    'type',
    mnemonic.typeName,
    mnemonic.typeCode,
    'TYPE',
    [
      ['A', 1],
      ['SRV', 33],
      ['HTTPS', 65],
      ['NSAP-PTR', 23],
      ['ANY', 255],
      ['CAA', 257],
    ],
  ],
  [
    'class',
    mnemonic.className,
    mnemonic.classCode,
    'CLASS',
    [
      ['IN', 1],
      ['CH', 3],
      ['ANY', 255],
    ],
  ],
  [
    'rcode',
    mnemonic.rcodeName,
    mnemonic.rcodeCode,
    'RCODE',
    [
      ['NOERROR', 0],
      ['REFUSED', 5],
      ['BADVERS', 16],
    ],
  ],
] as const;

for (const [what, nameOf, codeOf, prefix, known] of tables) {
  test(`${what}: known names both ways, in any case`, () => {
    for (const [name, code] of known) {
      assert.equal(nameOf(code), name);
      assert.equal(codeOf(name), code);
      assert.equal(codeOf(name.toLowerCase()), code);
      assert.equal(codeOf(`${prefix}${code}`), code);
    }
  });

  test(`${what}: every code comes back from its name`, () => {
    for (let code = 0; code < 0x10000; code++) assert.equal(codeOf(nameOf(code)), code);
  });

  test(`${what}: a code without a name goes by its number`, () => {
    assert.equal(nameOf(1000), `${prefix}1000`);
    assert.equal(codeOf(`${prefix.toLowerCase()}1000`), 1000);
  });

  test(`${what}: other words are none`, () => {
    const words = [
      '',
      'constructor',
      '__proto__',
      '1',
      prefix,
      `${prefix}65536`,
      `${prefix}-1`,
      `${prefix}1e3`,
      `${prefix} 1`,
      `${prefix}1x`,
    ];
    for (const word of words) assert.equal(codeOf(word), undefined, word);
  });
}
