/** Records in text, read by us and by BIND's named-rrchecker, which prints the octets (RFC 3597). */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import test from 'node:test';
import { typeCode, typeName } from '../../../src/dns/presentation/mnemonic.ts';
import { parseTypedRdata, printRdata } from '../../../src/dns/presentation/presentation.ts';
import { Class } from '../../../src/dns/rr.ts';
import { uncompressedOctets } from '../../support/records.ts';
import { RECORD_TEXTS } from '../../support/recordTexts.ts';

const isInstalled = spawnSync('named-rrchecker', ['-T']).status === 0;
const options = { skip: isInstalled ? false : 'named-rrchecker is not installed' };

/** The type and the octets, as RFC 3597 writes them; `undefined` for a text that BIND refuses. */
function bindsOctets(text: string): Promise<string | undefined> {
  const child = spawn('named-rrchecker', ['-u'], { stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdin.end(`IN ${text}\n`);
  let output = '';
  child.stdout.setEncoding('latin1').on('data', (chunk) => {
    output += chunk;
  });
  return new Promise((resolve) => {
    child.on('close', () => {
      const [, type, data] = /^CLASS1\t(TYPE\d+)\t(\\# .*)\n/.exec(output) ?? [];
      resolve(type === undefined ? undefined : `${type} ${data}`);
    });
  });
}

function ourOctets(text: string): string | undefined {
  const parsed = parseTypedRdata(text);
  if (parsed.kind === 'invalid') return undefined;
  const octets = uncompressedOctets(parsed);
  const hex = octets.toString('hex').toUpperCase();
  return `TYPE${parsed.type} \\# ${octets.length}${hex === '' ? '' : ` ${hex}`}`;
}

async function inTurns<T, R>(items: readonly T[], each: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += 8) {
    results.push(...(await Promise.all(items.slice(at, at + 8).map(each))));
  }
  return results;
}

test('The texts have every type that BIND knows', options, () => {
  const types = spawnSync('named-rrchecker', ['-T'], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n');
  const known = new Set(RECORD_TEXTS.map((text) => /^\S+/.exec(text)?.[0]));
  assert.deepEqual(
    types.filter((type) => !known.has(type)),
    [],
  );
  for (const type of types) assert.equal(typeName(typeCode(type) ?? 0), type);
});

test('A record in text has the same octets for us and for BIND', options, async () => {
  const theirs = await inTurns(RECORD_TEXTS, bindsOctets);
  const ours = RECORD_TEXTS.map(ourOctets);
  assert.deepEqual(
    RECORD_TEXTS.map((text, i) => `${text}: ${ours[i]}`),
    RECORD_TEXTS.map((text, i) => `${text}: ${theirs[i]}`),
  );
});

test('BIND reads the octets of a record from the text that we print', options, async () => {
  const printed = RECORD_TEXTS.map((text) => {
    const parsed = parseTypedRdata(text);
    assert.ok(parsed.kind === 'rdata', text);
    return `${typeName(parsed.type)} ${printRdata({ ...parsed, class: Class.IN })}`;
  });
  // BIND has read the others before.
  const changed = printed.filter((text, i) => text !== RECORD_TEXTS[i]);
  const theirs = await inTurns(changed, bindsOctets);
  assert.deepEqual(
    changed.map((text, i) => `${text}: ${theirs[i]}`),
    changed.map((text) => `${text}: ${ourOctets(RECORD_TEXTS[printed.indexOf(text)] as string)}`),
  );
  assert.ok(changed.length > 30);
  // Only the types without a form of their own are printed as octets.
  assert.deepEqual(
    printed.flatMap((text) => (text.includes('\\#') ? [text.split(' ', 1)[0]] : [])),
    ['NULL', 'NULL', 'UINFO', 'UID', 'GID', 'UNSPEC', 'TYPE65400', 'TYPE65400'],
  );
});
