/** The daemon of the tests leaves nothing behind, however the test that started it ends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDockerd } from '../../support/dockerd.ts';
import { dockerSkipReason } from '../../support/dockerTest.ts';
import { until } from '../../support/until.ts';

const skip = dockerSkipReason();
const options = skip === undefined ? {} : { skip };

/** Empty once the process has ended, even if its parent has not read its exit code yet. */
function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** The processes whose command line names the folder: dockerd, containerd and their shims. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => commandLine(pid).includes(folder));
}

test(
  'The cleaner removes a killed test’s dockerd with everything that it started',
  options,
  async () => {
    const dockerd = fileURLToPath(new URL('../../support/dockerd.ts', import.meta.url));
    const script = `
    const { startDockerd } = await import(${JSON.stringify(dockerd)});
    const dockerd = await startDockerd();
    const id = await dockerd.run({ publish: ['18080:80'] });
    const pid = await dockerd.docker('inspect', '--format', '{{.State.Pid}}', id);
    console.log(JSON.stringify({ socket: dockerd.socket, pid, address: dockerd.address }));
    setInterval(() => {}, 1000);`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', script];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    const { socket, pid } = JSON.parse(line) as { socket: string; pid: string };
    const folder = dirname(socket);
    assert.notEqual(commandLine(pid), '');
    assert.ok(processesOf(folder).length >= 3);
    child.kill('SIGKILL');
    await until('the folder is gone', () => !existsSync(folder), 30_000);
    assert.equal(commandLine(pid), '');
    // The command line of the cleaner names the folder too, and the cleaner ends after it has removed the folder.
    await until('no process is left', () => processesOf(folder).length === 0, 10_000);
  },
);

test('Two test daemons are separate hosts', options, async () => {
  const [a, b] = [await startDockerd(), await startDockerd()];
  try {
    const ids = [a, b].map((dockerd) => dockerd.docker('info', '--format', '{{.ID}}'));
    assert.equal(new Set(await Promise.all(ids)).size, 2);
    const command = ['httpd', '-f', '-p', '80'];
    for (const dockerd of [a, b]) await dockerd.run({ publish: ['18080:80'], command });
    for (const { address } of [a, b]) {
      const answer = (): Promise<number> =>
        fetch(`http://${address}:18080/`).then(
          ({ status }) => status,
          () => 0,
        );
      await until('the server answers', async () => (await answer()) === 404);
    }
  } finally {
    await Promise.all([a.stop(), b.stop()]);
  }
});

test('The image node runs Node', options, async () => {
  const dockerd = await startDockerd({ images: ['node'] });
  try {
    const version = await dockerd.docker('run', '--rm', 'node', 'node', '--version');
    assert.equal(version, process.version);
  } finally {
    await dockerd.stop();
  }
});
