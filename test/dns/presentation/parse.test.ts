/** Rdata in text: what is read, what is refused and why, and that printing and parsing undo each other. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { typeName } from '../../../src/dns/presentation/mnemonic.ts';
import { parseTypedRdata, printRdata } from '../../../src/dns/presentation/presentation.ts';
import { rdataOf } from '../../../src/dns/rdata.ts';
import { Class, type Rdata } from '../../../src/dns/rr.ts';
import { anyRr, uncompressedOctets } from '../../support/records.ts';
import { RECORD_TEXTS } from '../../support/recordTexts.ts';

interface Typed {
  readonly type: number;
  readonly rdata: Rdata;
}

function parsed(text: string): Typed {
  const result = parseTypedRdata(text);
  assert.ok(result.kind === 'rdata', `${text}: ${result.kind === 'invalid' && result.reason}`);
  return result;
}

function printed({ type, rdata }: Typed): string {
  return `${typeName(type)} ${printRdata({ type, class: Class.IN, rdata })}`;
}

function hexOf(typed: Typed): string {
  return uncompressedOctets(typed).toString('hex');
}

test('A record in text is read from the text that we print', () => {
  for (const text of RECORD_TEXTS) {
    const first = parsed(text);
    const second = parsed(printed(first));
    assert.deepEqual([second.type, hexOf(second)], [first.type, hexOf(first)], text);
    assert.equal(printed(second), printed(first));
  }
});

test('Any record that we print is read with the same octets', () => {
  fc.assert(
    fc.property(anyRr, (rr) => {
      const text = printed(rr);
      // Octets that break the rules of a type with a form of its own are no valid data of it.
      if (parseTypedRdata(text).kind === 'invalid') return assert.match(text, /^[A-Z]+ \\# /);
      const again = parsed(text);
      assert.deepEqual([again.type, hexOf(again)], [rr.type, hexOf(rr)]);
    }),
  );
});

const samples = RECORD_TEXTS.map(parsed);

/** The octets of a real record with a few octets changed, removed or added. */
const damaged: fc.Arbitrary<Typed> = fc
  .tuple(
    fc.constantFrom(...samples),
    fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.nat(255)), { maxLength: 4 }),
  )
  .map(([sample, changes]) => {
    const octets = [...uncompressedOctets(sample)];
    for (const [at, removed, octet] of changes) {
      octets.splice(at % (octets.length + 1), removed, ...(removed === 2 ? [] : [octet]));
    }
    const { type } = sample;
    const value = Uint8Array.from(octets);
    return { type, rdata: rdataOf(type, value) ?? { kind: 'unknown' as const, octets: value } };
  });

test('Damaged octets of any type are printed, and a text that has the form of the type is read back', () => {
  fc.assert(
    fc.property(damaged, (typed) => {
      const text = printed(typed);
      assert.match(text, /^[ -~]*$/);
      if (text.includes(' \\# ')) return;
      assert.equal(hexOf(parsed(text)), hexOf(typed), text);
    }),
    { numRuns: 30_000 },
  );
});

const anyText = fc.oneof(
  fc.string(),
  fc
    .tuple(
      fc.constantFrom(...RECORD_TEXTS),
      fc.nat(),
      fc.nat(3),
      fc.constantFrom('', '"', '\\', '(', '=', ',', ' ', '\u00e9', '999', '-'),
    )
    .map(([text, at, removed, added]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + added + text.slice(place + removed);
    }),
);

test('Any text is either refused with a printable reason or a record that we print and read back', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const result = parseTypedRdata(text);
      if (result.kind === 'invalid') return assert.match(result.reason, /^[ -~]+$/);
      assert.equal(hexOf(parsed(printed(result))), hexOf(result), text);
    }),
    { numRuns: 60_000 },
  );
});

const refused = [
  ['', 'a record type is missing'],
  ['FOO x', 'FOO is not a record type'],
  ['\u001b[31m x', '\\027[31m is not a record type'],
  ['CAA 256 issue "x"', 'CAA: flags is not 0 to 255'],
  ['CAA 0 issue', 'CAA: value is missing'],
  ['CAA 0 is-sue "x"', 'CAA: tag is not letters and digits'],
  ['CAA 0 issue "x" y', 'CAA: there are words behind the last field'],
  ['TLSA 3 1 1 0d6', 'TLSA: data is not an even number of hexadecimal digits'],
  ['DS 1 13 2 abcd', 'DS: digest has 2 octets, not 32'],
  ['SSHFP 1 1 00', 'SSHFP: fingerprint has 1 octets, not 20'],
  ['MX 10 a..b.', 'MX: name is not a domain name'],
  ['MX 10 @', 'MX: name is not a domain name'],
  ['MX 10 "a."', 'MX: name is not a domain name'],
  ['TXT "unclosed', 'a quote is not closed'],
  ['TXT (a', 'a parenthesis is not closed'],
  ['TXT a)', 'a parenthesis is closed that was not opened'],
  ['TXT a\\', 'a backslash stands at the end'],
  ['TXT \\256', 'TXT: text has a wrong escape'],
  ['TXT v=DKIM1; k=rsa', 'a semicolon needs quotes around its text'],
  [`TXT ${'a'.repeat(256)}`, 'TXT: text is longer than 255 octets'],
  ['A 1.2.3', 'A: address is not an IPv4 address'],
  ['TYPE65400 abcd', 'TYPE65400: write the data as \\# LENGTH HEX (RFC 3597)'],
  ['TYPE65400 \\# 3 abcd', 'TYPE65400: data has 2 octets, not 3'],
  ['TYPE257 \\# 2 0000', 'CAA: the octets are not its data'],
  ['RRSIG A 13 2 60 20300230000000 0 1 a. YWJj', 'RRSIG: expiration is not a date'],
  ['URI 1 1 ""', 'URI: target is empty'],
] as const;

for (const [text, reason] of refused) {
  test(`The text ${JSON.stringify(text.slice(0, 60))} is refused: ${reason}`, () => {
    assert.deepEqual(parseTypedRdata(text), { kind: 'invalid', reason });
  });
}

test('Characters beyond ASCII are their octets in UTF-8', () => {
  assert.equal(printed(parsed('TXT "Grüße" é')), 'TXT "Gr\\195\\188\\195\\159e" "\\195\\169"');
});

test('Of all blanks only those of a zone file separate words, and the reason names what is wrong', () => {
  for (const blank of ['\u00a0', '\u2003', '\u000b', '\ufeff']) {
    const address = parseTypedRdata(`A${blank}192.0.2.1`);
    assert.ok(address.kind === 'invalid');
    assert.doesNotMatch(address.reason, /quote/);
    const text = parsed(`TXT a${blank}b`);
    const octets = Buffer.from(`a${blank}b`);
    assert.equal(hexOf(text), Buffer.concat([Buffer.of(octets.length), octets]).toString('hex'));
  }
  for (const blank of [' ', '\t', '\r\n', '(\n)'])
    assert.equal(hexOf(parsed(`A${blank}192.0.2.1`)), 'c0000201');
});
