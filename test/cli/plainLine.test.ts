/**
 * `plainLine.ts` reads the lines without a mistake, and the parser reads every other line. The parser must read the lines
 * of `plainLine.ts` in the same way.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Io } from '../../src/app/process/process.ts';
import type { Command, CommandEntry } from '../../src/cli/command.ts';
import { parseAndRun } from '../../src/cli/parser.ts';
import { plainCall } from '../../src/cli/plainLine.ts';
import type { Arguments } from '../../src/config/settings.ts';
import { COMMANDS } from '../support/commands.ts';

interface Read {
  readonly name: string;
  readonly args: Arguments;
}

const silent = { isTty: false, colour: false, write: () => {} };
const io: Io = {
  stdout: silent,
  stderr: silent,
  env: {},
  readFile: () => ({ problem: 'ENOENT' }),
  stateDirectory: '/nonexistent',
  stop: new AbortController().signal,
  handleSignals: () => {},
  onReload: () => {},
  outliveReaders: () => {},
};

/** What the parser gives to the command; undefined for help. Throws a `Failure` for a mistake. */
async function parsed(line: readonly string[]): Promise<Read | undefined> {
  let read: Read | undefined;
  const table = COMMANDS.map((command): CommandEntry => {
    const run = async (args: Arguments): Promise<number> => {
      read = { name: command.name, args };
      return 0;
    };
    return { name: command.name, load: async () => ({ ...command, run }) };
  });
  await parseAndRun(table, line, io);
  return read;
}

async function plain(line: readonly string[]): Promise<Read | undefined> {
  const table = COMMANDS.map((command): CommandEntry => {
    return { name: command.name, load: async () => command };
  });
  const call = await plainCall(table, line);
  return call && { name: call.command.name, args: call.args };
}

const WORDS = [
  ...[
    'x',
    '',
    '-',
    '--',
    '-5',
    '0x10',
    '1e3',
    'help',
    'h',
    '@127.0.0.1:53',
    '+tcp',
    'a=b',
    'a b',
    "'",
  ],
  ...['"quoted"', "'quoted'", '"half', 'end"', '$0', '_', '__proto__', 'constructor', 'true', 'ls'],
];

/** A line of the command: its options in any form, words that it takes and words that it does not. */
function lineOf(command: Command): fc.Arbitrary<readonly string[]> {
  const word = fc.oneof(
    fc.constantFrom(...WORDS),
    fc.constantFrom('y', ...command.positionals.flatMap(({ choices }) => choices ?? [])),
    fc.string({ maxLength: 5 }),
  );
  const names = command.options.map(({ name }) => name);
  const shorts = command.options.flatMap(({ short }) => short ?? []);
  const option = fc.oneof(
    fc.constantFrom('json', 'help', 'bogus', ...names).map((name) => [`--${name}`]),
    fc
      .tuple(fc.constantFrom('json', ...names), word)
      .map(([name, value]) => [`--${name}=${value}`]),
    fc.tuple(fc.constantFrom('json', ...names), word).map(([name, value]) => [`-${name}`, value]),
    fc.constantFrom('json', ...names).map((name) => [`--no-${name}`]),
    fc
      .array(fc.constantFrom('q', 'h', 'z', ...shorts), { minLength: 1, maxLength: 3 })
      .map((letters) => [`-${letters.join('')}`]),
  );
  const part = fc.oneof(
    word.map((each) => [each]),
    option,
  );
  return fc.array(part, { maxLength: 5 }).map((parts) => [command.name, ...parts.flat()]);
}

describe('lines that are read without the parser', () => {
  for (const command of COMMANDS) {
    it(`The parser reads a line of ${command.name} in the same way, if both read it`, async () => {
      await fc.assert(
        fc.asyncProperty(lineOf(command), async (line) => {
          const read = await plain(line);
          if (read !== undefined) assert.deepEqual(await parsed(line), read);
        }),
        { numRuns: 100 },
      );
    });
  }

  const lines: [line: string, flags: Arguments['flags'], words: readonly string[]][] = [
    ['version', {}, []],
    ['version -q', { quiet: true }, []],
    ['version -qq --json --no-json', { quiet: true, json: false }, []],
    ['ls rails.skydns.local --json', { json: true }, ['rails.skydns.local']],
    ['ls -- -x', {}, ['-x']],
    ['rm -rq x', { recursive: true, quiet: true }, ['x']],
    ['set x --host 1.2.3.4 --port=80', { host: '1.2.3.4', port: '80' }, ['x']],
    ['query x SRV @127.0.0.1 +tcp', {}, ['x', 'SRV', '@127.0.0.1', '+tcp']],
    [
      'serve -addr 1.2.3.4:53 --addr [::1]:53 --no-rec',
      { addr: ['1.2.3.4:53', '[::1]:53'], 'no-rec': true },
      [],
    ],
    ['leader get mysql.skydns.local', {}, ['get', 'mysql.skydns.local']],
  ];
  for (const [line, flags, words] of lines) {
    it(`The parser is not needed for: ${line}`, async () => {
      const [name] = line.split(' ');
      const read = { name, args: { flags, words } };
      assert.deepEqual(await plain(line.split(' ')), read);
      assert.deepEqual(await parsed(line.split(' ')), read);
    });
  }

  it('The quotation marks around a value are part of it', async () => {
    const line = ['set', 'x', '--text', '"a"', "--host='b c'", '--rr', '"', '--rr', "''"];
    const flags = { text: '"a"', host: "'b c'", rr: ['"', "''"] };
    const read = { name: 'set', args: { flags, words: ['x'] } };
    assert.deepEqual(await plain(line), read);
    assert.deepEqual(await parsed(line), read);
  });

  const others = [
    '',
    'bogus',
    'ls --help',
    'ls -h',
    'ls help',
    'help ls',
    '--json ls',
    'ls a b',
    'get',
  ];
  for (const line of [
    ...others,
    'get -q true',
    'ls -q false',
    'ls --bogus',
    'ls --store',
    'registrar bogus',
  ]) {
    it(`The parser gets the line: ${line || '(empty)'}`, async () => {
      assert.equal(await plain(line.split(' ').filter(Boolean)), undefined);
    });
  }
});
