import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { normalise } from '../../src/cli/commandLine.ts';
import type { Option, OptionWords } from '../../src/config/options/option.ts';
import { COMMANDS } from '../support/commands.ts';

const OPTIONS: readonly OptionWords[] = [
  { name: 'addr', form: 'list', describe: '', placeholder: 'IP:PORT' },
  { name: 'http', form: 'text', describe: '', negatable: true },
  { name: 'port', form: 'text', describe: '' },
  { name: 'log-queries', form: 'text', describe: '', bareValue: '100' },
  { name: 'no-rec', form: 'switch', describe: '' },
  { name: 'round-robin', form: 'switch', describe: '' },
];

describe('command lines', () => {
  const table: [string, string][] = [
    ['serve --addr 1.2.3.4:53', 'serve --addr=1.2.3.4:53'],
    ['-addr 1.2.3.4:53 -addr=5.6.7.8:53', '--addr=1.2.3.4:53 --addr=5.6.7.8:53'],
    ['--no-rec', '--no-rec=true'],
    ['-no-rec', '--no-rec=true'],
    ['--rec', '--no-rec=false'],
    ['--rec=false', '--no-rec=true'],
    ['--no-rec=false', '--no-rec=false'],
    ['--round-robin', '--round-robin=true'],
    ['--round-robin=0', '--round-robin=false'],
    ['--no-round-robin', '--round-robin=false'],
    ['--no-round-robin=false', '--round-robin=true'],
    ['-round-robin=off', '--round-robin=false'],
    ['--no-http', '--http=false'],
    ['--no-port --no-addr', '--no-port --no-addr'],
    ['--port -1', '--port=-1'],
    ['--port -addr', '--port=-addr'],
    ['--log-queries', '--log-queries=100'],
    ['--log-queries 7 word', '--log-queries=7 word'],
    ['--log-queries word', '--log-queries=100 word'],
    ['--log-queries=7', '--log-queries=7'],
    ['--unknown x -q -r -rq', '--unknown x -q -r -rq'],
    ['-unknown=x', '--unknown=x'],
    ['@server +tcp 5e12345678', '@server +tcp 5e12345678'],
    ['-- --addr', '-- --addr'],
    ['', ''],
  ];
  for (const [line, expected] of table) {
    it(`The command line ${line || '(empty)'} is normalised to ${expected || '(empty)'}`, () => {
      const result = normalise(line.split(' ').filter(Boolean), OPTIONS);
      assert.deepEqual(result, { kind: 'arguments', argv: expected.split(' ').filter(Boolean) });
    });
  }

  const mistakes: [string, RegExp][] = [
    ['--round-robin=maybe', /^--round-robin: "maybe" is not true or false; for example --round/],
    ['--addr', /^--addr: needs a value; for example --addr IP:PORT/],
    ['--addr --no-rec', /^--addr: needs a value/],
  ];
  for (const [line, expected] of mistakes) {
    it(`The command line ${line} is reported as a mistake`, () => {
      const result = normalise(line.split(' '), OPTIONS);
      assert.ok(result.kind === 'mistake');
      assert.match(result.problem, expected);
    });
  }
});

describe('options', () => {
  it('Commands with the same option agree on its form', () => {
    const forms = new Map<string, string>();
    for (const command of COMMANDS) {
      for (const { name, form } of command.options) {
        assert.equal(forms.get(name) ?? form, form, `--${name} of ${command.name}`);
        forms.set(name, form);
      }
    }
  });

  it('An option that --no-x sets accepts the value false', () => {
    const rows: OptionWords[] = COMMANDS.flatMap(({ options }) => options);
    const negatable = rows.filter((row) => row.negatable);
    const names = new Set(negatable.map(({ name }) => name));
    assert.deepEqual([...names].sort(), ['http', 'log-queries']);
    for (const row of negatable)
      assert.ok('schema' in row && (row as Option<unknown>).schema('false'), row.name);
  });

  it('No command has an option twice', () => {
    for (const { name, options } of COMMANDS) {
      const names = options.map((option) => option.name);
      assert.equal(new Set(names).size, names.length, name);
    }
  });
});
