/** The rule set of nf_tables of this machine's kernel, and libnftables, in a network namespace of the test. */
import assert from 'node:assert/strict';
import test, { before } from 'node:test';
import { type Nft, openNft } from '../../src/kernel/libnftables.ts';
import { NETLINK_NETFILTER } from '../../src/kernel/netlinkSocket.ts';
import { NftRuleset, openNftRuleset } from '../../src/kernel/nftRuleset.ts';
import { faultySocket } from '../support/faultyNetlink.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const TABLE = { family: 4, name: 't' } as const;
const COMMANDS = `
  add table ip t
  add map ip t m { type ipv4_addr . inet_service : ipv4_addr . inet_service; }
  add chain ip t c { type nat hook prerouting priority -101; }
  add rule ip t c tcp dport 80 accept
  add rule ip t c tcp dport 81 accept
  add element ip t m { 198.18.0.1 . 80 : 10.0.0.1 . 8080, 198.18.0.2 . 53 : 10.0.0.2 . 53 }
`;

let ruleset: NftRuleset;
let nft: Nft;

before(() => {
  if (noOwnNetwork !== undefined) return;
  enterOwnNetwork();
  const opened = openNftRuleset();
  if (opened.kind === 'missing') assert.fail(opened.reason);
  ruleset = opened.ruleset;
  const found = openNft();
  if (found.kind === 'missing') assert.fail(found.reason);
  nft = found.nft;
});

function generation(): number {
  const read = ruleset.generation();
  if (read.kind === 'failed') assert.fail(read.code);
  return read.id;
}

function partNames(): readonly string[] {
  const parts = ruleset.parts(TABLE);
  if (parts.kind === 'failed') assert.fail(parts.code);
  return parts.entries.map(({ kind, name }) => `${kind} ${name}`);
}

test(
  'One transaction makes one generation, and a refused or checked one makes none',
  options,
  () => {
    assert.equal(nft.by, 'libnftables');
    const before = generation();
    assert.deepEqual(nft.check(COMMANDS), { kind: 'done' });
    assert.deepEqual(nft.run(`${COMMANDS}\n add rule ip t absent accept`), {
      kind: 'refused',
      reason: 'Could not process rule: No such file or directory',
    });
    assert.equal(generation(), before);
    assert.deepEqual(nft.run(COMMANDS), { kind: 'done' });
    assert.equal(generation(), before + 1);
  },
);

test('A mistake in the commands is refused, and the next commands run', options, () => {
  const refused = nft.run('add nonsense ip t');
  assert.ok(refused.kind === 'refused');
  assert.match(refused.reason, /^syntax error, unexpected/);
  assert.deepEqual(nft.run('add chain ip t d'), { kind: 'done' });
  assert.deepEqual(nft.run('delete chain ip t d'), { kind: 'done' });
});

test('A table has parts in the order of the kernel, and an absent table has none', options, () => {
  assert.deepEqual(partNames(), ['table t', 'chain c', 'set m', 'rule c', 'rule c']);
  assert.deepEqual(ruleset.parts({ family: 6, name: 't' }), { kind: 'complete', entries: [] });
});

test('Equal tables have equal parts, and a changed rule changes them', options, () => {
  const first = ruleset.parts(TABLE);
  assert.deepEqual(nft.run(`delete table ip t\n${COMMANDS}`), { kind: 'done' });
  assert.deepEqual(ruleset.parts(TABLE), first);
  command('nft', 'add rule ip t c tcp dport 82 accept');
  assert.notDeepEqual(ruleset.parts(TABLE), first);
  assert.deepEqual(nft.run(`delete table ip t\n${COMMANDS}`), { kind: 'done' });
});

test('The elements of a map are listed with their data', options, () => {
  const elements = ruleset.elements(TABLE, 'm');
  assert.ok(elements.kind === 'complete');
  const texts = elements.entries.map(({ key, data }) => `${key.join('.')} ${data?.join('.')}`);
  assert.deepEqual(texts.sort(), [
    '198.18.0.1.0.80.0.0 10.0.0.1.31.144.0.0',
    '198.18.0.2.0.53.0.0 10.0.0.2.0.53.0.0',
  ]);
  assert.deepEqual(ruleset.elements(TABLE, 'absent'), { kind: 'failed', code: 'ENOENT' });
});

test('Elements are read again if they change meanwhile', options, () => {
  command('nft', 'add set ip t marks { type mark; elements = { 1 }; }');
  // The reads are the generation, its acknowledgement, and the elements, which the kernel has gathered by then.
  const requests = faultySocket(NETLINK_NETFILTER, [], (reads) => {
    if (reads === 2) command('nft', 'flush set ip t marks; add element ip t marks { 2 }');
  });
  const reader = new NftRuleset(requests, requests);
  const elements = reader.elements(TABLE, 'marks');
  assert.ok(elements.kind === 'complete');
  assert.deepEqual(
    elements.entries.map(({ key }) => key[0]),
    [2],
  );
  command('nft', 'delete set ip t marks');
});

test(
  'A change by another program is reported with its table and the program, once',
  options,
  () => {
    ruleset.changes();
    assert.deepEqual(ruleset.changes(), { tables: [], programs: [], isWhole: true });
    command('nft', 'add table ip6 other');
    command('nft', 'add element ip t m { 198.18.0.3 . 80 : 10.0.0.3 . 80 }');
    assert.deepEqual(ruleset.changes(), {
      tables: [{ family: 6, name: 'other' }, TABLE],
      programs: ['nft'],
      isWhole: true,
    });
    assert.deepEqual(ruleset.changes().tables, []);
  },
);

test('A flush of all rules is reported for each table', options, () => {
  const before = generation();
  command('nft', 'flush ruleset');
  const names = ruleset.changes().tables.map(({ family, name }) => `${family} ${name}`);
  assert.deepEqual(names.sort(), ['4 t', '6 other']);
  assert.equal(generation(), before + 1);
  assert.deepEqual(partNames(), []);
});

test('Where the library is missing, the program runs the same commands', options, () => {
  const byProgram = openNft('absent.so.1');
  if (byProgram.kind === 'missing') assert.fail(byProgram.reason);
  const { nft: program } = byProgram;
  assert.equal(program.by, 'nft');
  assert.deepEqual(program.check(COMMANDS), { kind: 'done' });
  assert.deepEqual(partNames(), []);
  assert.deepEqual(program.run(COMMANDS), { kind: 'done' });
  assert.equal(partNames().length, 5);
  const refused = program.run('delete table ip absent');
  assert.deepEqual(refused, {
    kind: 'refused',
    reason: 'Could not process rule: No such file or directory',
  });
});

test('Where neither the library nor the program is installed, the reason names both', () => {
  const { PATH } = process.env;
  process.env.PATH = '/nowhere';
  try {
    assert.deepEqual(openNft('absent.so.1'), {
      kind: 'missing',
      reason: 'absent.so.1 cannot be loaded, and the program nft is not installed',
    });
  } finally {
    process.env.PATH = PATH;
  }
});
