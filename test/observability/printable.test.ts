import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { jsonLine } from '../../src/cli/output.ts';
import { printable } from '../../src/observability/printable.ts';

/** Texts with characters that move the cursor, reorder a line or begin a terminal sequence. */
const HOSTILE: [string, string][] = [
  ['\u001b[31mred', '\\027[31mred'],
  ['\u009b2J', '\\194\\1552J'],
  ['a\r\nb', 'a\\013\\010b'],
  ['a\u2028b\u2029c', 'a\\226\\128\\168b\\226\\128\\169c'],
  ['\u0000\u007f\u0085', '\\000\\127\\194\\133'],
  ['\u202egpj.exe', '\\226\\128\\174gpj.exe'],
  ['\ud800x', '\\239\\191\\189x'],
  ['bücher 日本 🙂 C:\\x', 'bücher 日本 🙂 C:\\x'],
];

for (const [text, expected] of HOSTILE) {
  it(`printable escapes ${JSON.stringify(text)}`, () => assert.equal(printable(text), expected));
}

/** The characters that a terminal may interpret. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the expression finds characters that must not occur
const ACTIVE = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

it('printable leaves no character that a terminal interprets in any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(printable(text), ACTIVE);
      assert.doesNotMatch(jsonLine({ [text]: text }), ACTIVE);
    }),
  );
});

it('printable keeps the value of JSON text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.equal(JSON.parse(jsonLine(text)), text);
    }),
  );
});
