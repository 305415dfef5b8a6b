import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CliProcess, startCli } from './support/cliProcess.ts';
import { freePort } from './support/freePort.ts';

const SERVE = ['serve', '--http', 'off', '--addr', '127.0.0.1:0', '--addr', '127.0.0.2:0'];

async function serving(store: string, body: (server: CliProcess) => void): Promise<void> {
  const server = startCli([...SERVE, '--store', store]);
  try {
    await server.logged('serving');
    body(server);
  } finally {
    await server.end('SIGKILL');
  }
}

function check(pid: number): { code: number | null; printed: string } {
  const program = fileURLToPath(new URL('../src/health.ts', import.meta.url));
  const args = ['--import', 'tsx', program, String(pid)];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { code: status, printed: stdout.trim() };
}

const places = (line: Readonly<Record<string, unknown>>): string[] => line.dns as string[];

test('The health check passes for a server that has read its store and queries each of the server’s addresses', () =>
  serving('memory:', (server) => {
    const [line = {}] = server.lines().filter(({ msg }) => msg === 'serving');
    const { code, printed } = check(server.pid);
    assert.equal(code, 0, printed);
    const expected = places(line).map((place) => `${place} REFUSED`);
    assert.deepEqual(printed.split(', ').sort(), expected.sort());
  }));

test('The health check fails for a server that has not read its store', () =>
  serving('etcd://127.0.0.1:1', (server) => {
    const { code, printed } = check(server.pid);
    assert.equal(code, 1);
    assert.match(printed, /^\S+ SERVFAIL, \S+ SERVFAIL$/);
  }));

test('The health check fails for a server that does not answer', () =>
  serving('memory:', (server) => {
    process.kill(server.pid, 'SIGSTOP');
    const { code, printed } = check(server.pid);
    assert.equal(code, 1);
    assert.match(printed, /^\S+ no reply, \S+ no reply$/);
  }));

test('The health check fails where no server listens', () => {
  assert.deepEqual(check(process.pid), { code: 1, printed: 'no server is listening' });
});

test('The health check passes for an ambassador, which answers no DNS', async () => {
  const route = `127.0.0.1:${await freePort()}=127.0.0.1:1`;
  const ambassador = startCli(['ambassador', route]);
  try {
    await ambassador.logged('carrying connections');
    assert.deepEqual(check(ambassador.pid), { code: 0, printed: 'an ambassador is running' });
  } finally {
    await ambassador.end('SIGKILL');
  }
});
