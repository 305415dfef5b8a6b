/** Runs the completion scripts in the shells themselves; in zsh and fish only where they are installed. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { callCli } from '../support/cli.ts';
import { COMMANDS } from '../support/commands.ts';

async function script(shell: string): Promise<string> {
  const { code, stdout, stderr } = await callCli(['completion', shell]);
  assert.equal(code, 0, stderr);
  return stdout;
}

function isInstalled(shell: string): boolean {
  return spawnSync(shell, ['-c', 'true']).status === 0;
}

/** The completions that bash offers for the last word. */
function offers(source: string, words: readonly string[]): string[] {
  const array = words.map((word) => `'${word}'`).join(' ');
  const ask = `COMP_WORDS=(${array}); COMP_CWORD=${words.length - 1}; _soradns; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const text = execFileSync('bash', ['--norc', '-c', `${source}\n${ask}`], { encoding: 'utf8' });
  return text.split('\n').filter(Boolean);
}

describe('bash', async () => {
  const source = await script('bash');

  it('bash completes commands', () => {
    assert.deepEqual(
      offers(source, ['soradns', '']),
      COMMANDS.map(({ name }) => name),
    );
    assert.deepEqual(offers(source, ['soradns', 'se']), ['serve', 'set']);
  });

  it('bash completes options of the current command without SkyDNS’s options that have no effect', () => {
    assert.deepEqual(offers(source, ['soradns', 'serve', '--log']), [
      '--log-level',
      '--log-queries',
    ]);
    assert.deepEqual(offers(source, ['soradns', 'set', 'a', '--ho']), ['--host']);
    assert.deepEqual(offers(source, ['soradns', 'serve', '--rcache']), []);
  });

  it('bash completes the values of an option and of an argument', () => {
    assert.deepEqual(offers(source, ['soradns', 'serve', '--any', '']), ['hinfo', 'refuse']);
    assert.deepEqual(offers(source, ['soradns', 'completion', 'b']), ['bash']);
  });

  it('bash completes the program by its name', () => {
    const text = execFileSync('bash', ['--norc', '-c', `${source}\ncomplete -p soradns`], {
      encoding: 'utf8',
    });
    assert.match(text, /-F _soradns soradns/);
  });
});

describe('fish', { skip: !isInstalled('fish') && 'fish is not installed' }, async () => {
  const source = await script('fish');
  const offered = (line: string) => {
    const ask = `${source}\ncomplete -C '${line}'`;
    const text = execFileSync('fish', ['--no-config', '-c', ask], { encoding: 'utf8' });
    const words = text.split('\n').map((candidate) => candidate.split('\t')[0] ?? '');
    return words.filter(Boolean);
  };

  it('fish completes commands, options and values', () => {
    assert.deepEqual(offered('soradns se'), ['serve', 'set']);
    assert.deepEqual(offered('soradns serve --log'), ['--log-level', '--log-queries']);
    assert.deepEqual(offered('soradns serve --any '), ['hinfo', 'refuse']);
    assert.deepEqual(offered('soradns completion '), ['bash', 'fish', 'zsh']);
  });
});

describe('completion scripts', () => {
  it('The zsh and fish scripts have every command and every option of the help', async () => {
    for (const [shell, form] of [
      ['zsh', (name: string) => `--${name}`],
      ['fish', (name: string) => `-l ${name} `],
    ] as const) {
      const source = await script(shell);
      for (const command of COMMANDS) {
        assert.ok(source.includes(command.summary.replaceAll("'", "'\\''")), command.name);
        for (const { name, hidden } of command.options)
          if (!hidden) assert.ok(source.includes(form(name)), `${shell} --${name}`);
      }
    }
  });

  for (const shell of ['zsh', 'fish']) {
    it(`The ${shell} completion script loads in ${shell}`, {
      skip: !isInstalled(shell) && `${shell} is not installed`,
    }, async () => {
      const source = await script(shell);
      const prelude = shell === 'zsh' ? 'autoload -U compinit && compinit -D\n' : '';
      const args = shell === 'zsh' ? ['-f', '-c'] : ['--no-config', '-c'];
      const { status, stderr } = spawnSync(shell, [...args, prelude + source], {
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      assert.equal(stderr, '');
    });
  }
});
