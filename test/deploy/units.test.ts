/** systemd accepts the units in deploy/, and the units agree with the program. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXIT_CODES } from '../../src/app/process/failure.ts';
import { callCli } from '../support/cli.ts';
import { withTempDir } from '../support/tempDir.ts';

const text = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../deploy/${name}`, import.meta.url)), 'utf8');
const service = text('soradns.service');
const socket = text('soradns.socket');

/** The values of a setting, in the order of its lines. */
function settings(unit: string, key: string): string[] {
  return unit
    .split('\n')
    .flatMap((line) => (line.startsWith(`${key}=`) ? [line.slice(key.length + 1)] : []));
}

const version = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' }).stdout ?? '';
const release = Number(/^systemd (\d+)/.exec(version)?.[1] ?? 0);
const skip = release >= 250 ? false : 'optional: systemd-analyze 250 or newer is not installed';
/** The limit of the exposure score, out of ten: a network service with a state directory cannot score lower. */
const MAX_EXPOSURE = 2.5;

describe('systemd units', () => {
  it('systemd-analyze finds no fault in the units and rates their exposure as low', { skip }, () =>
    withTempDir(async (dir) => {
      const at = (name: string) => join(dir, name);
      // The program is not installed where the unit expects it.
      writeFileSync(at('soradns.service'), service.replaceAll('/usr/bin/soradns', '/bin/true'));
      writeFileSync(at('soradns.socket'), socket);
      const verify = ['verify', '--man=no', '--recursive-errors=no'];
      const units = [at('soradns.service'), at('soradns.socket')];
      const verified = spawnSync('systemd-analyze', [...verify, ...units], { encoding: 'utf8' });
      assert.deepEqual([verified.status, verified.stderr], [0, '']);
      const args = ['security', '--offline=true', '--no-pager', at('soradns.service')];
      const report = execFileSync('systemd-analyze', args, { encoding: 'utf8' });
      const exposure = Number(/exposure level for \S+ ([\d.]+)/.exec(report)?.[1]);
      assert.ok(exposure > 0 && exposure <= MAX_EXPOSURE, `exposure ${exposure}`);
    }),
  );

  it('The units run existing commands, listen on the same addresses over UDP and TCP, and do not restart after a usage error', async () => {
    const lines = [...settings(service, 'ExecStart'), ...settings(service, 'ExecStartPre')];
    assert.equal(lines.length, 2);
    for (const line of lines) {
      const [program, command = '', ...options] = line.split(' ');
      assert.equal(program, '/usr/bin/soradns');
      const { code, stdout } = await callCli([command, '--help']);
      assert.equal(code, 0);
      for (const option of options) assert.ok(stdout.includes(option), line);
    }
    assert.deepEqual(settings(socket, 'ListenDatagram'), settings(socket, 'ListenStream'));
    assert.ok(settings(socket, 'ListenStream').length > 0);
    assert.deepEqual(settings(service, 'RestartPreventExitStatus'), [String(EXIT_CODES.usage)]);
  });

  it('The units set only variables that soradns reads', async () => {
    const env = Object.fromEntries(
      settings(service, 'Environment').map((line) => line.split('=') as [string, string]),
    );
    const { code, stdout, stderr } = await callCli(['check', '--show', '--json'], { env });
    assert.equal(code, 0, stderr);
    const { options, notes } = JSON.parse(stdout);
    const said = options.filter(({ origin }: { origin: string }) => origin === 'environment');
    assert.equal(said.length, Object.keys(env).length);
    assert.deepEqual(notes, []);
  });
});
