/**
 * Docker's socket is mounted as a file, as in many containers, while a real dockerd with live-restore restarts. The
 * names of running containers stay, and each program exits with the code that makes a restart policy mount the socket
 * again.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT_CODES } from '../../src/app/process/failure.ts';
import { SOCKET_MOUNTED, SOCKET_REPLACED } from '../../src/app/registrar/registrarLog.ts';
import { MAIN } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const docker = useDockerd({ liveRestore: true });
const folder = await newTempDir();
after(() => removeDir(folder));

const TIMEOUT_MS = 40_000;
const POLL_MS = 100;
const MOUNT = 'mount --bind "$0" "$1" && shift && exec "$@"';

/**
 * The command line that starts soradns on the host with the socket mounted at `at`; each start mounts the socket again.
 */
function mounted(dockerd: Dockerd, at: string): readonly [string, ...string[]] {
  closeSync(openSync(at, 'a'));
  const unshared = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', MOUNT];
  return dockerd.onHost(...unshared, dockerd.socket, at, process.execPath, MAIN);
}

const running = new Set<CliProcess>();

function start(dockerd: Dockerd, args: readonly string[], at?: string): CliProcess {
  const program = at === undefined ? dockerd.onHost(process.execPath, MAIN) : mounted(dockerd, at);
  const child = startCli(args, at === undefined ? {} : { DOCKER_HOST: `unix://${at}` }, program);
  running.add(child);
  return child;
}

/** Runs the body with a server in the host's network; the name must stay in DNS throughout. */
function withServer(
  name: string,
  body: (dockerd: Dockerd, at: string) => Promise<void>,
): (dockerd: Dockerd) => Promise<void> {
  return async (dockerd) => {
    const dns = { address: dockerd.address, port: 5353 };
    const addr = ['--addr', `${dns.address}:${dns.port}`, '--no-rec'];
    const polling = new AbortController();
    try {
      await start(dockerd, ['serve', '--store', 'memory:', ...addr]).logged('serving');
      await dockerd.run({ env: { DNS_NAME: name }, publish: ['8080:80'] });
      const isThere = async () => (await dig(dns, name, 'A')).answer.length === 1;
      const missing = countMissing(isThere, polling.signal);
      await body(dockerd, join(folder, `${name}.sock`));
      polling.abort();
      assert.equal(await missing, 0, 'the name was missing');
    } finally {
      polling.abort();
      await Promise.all([...running].map((child) => child.end('SIGKILL')));
      running.clear();
    }
  };
}

/** Waits until the name is there, then polls; returns how often it was missing. */
async function countMissing(isThere: () => Promise<boolean>, signal: AbortSignal): Promise<number> {
  await until('the name is in DNS', isThere, TIMEOUT_MS);
  let missing = 0;
  while (!signal.aborted) {
    if (!(await isThere().catch(() => true))) missing++;
    await sleep(POLL_MS);
  }
  return missing;
}

/** Waits until the process exits with the code for a replaced socket. */
async function assertReplaced(child: CliProcess): Promise<void> {
  assert.equal((await child.logged(SOCKET_REPLACED)).level, 'error');
  await until('the process has exited', () => !child.isRunning, TIMEOUT_MS);
  running.delete(child);
  assert.equal(await child.end(), EXIT_CODES.socket_replaced);
}

const REGISTER = ['register', '--http', 'off', '--lease-ttl', '20', '--on-exit', 'revoke'];

for (const how of ['terminate', 'kill'] as const)
  test(
    `register exits with 75 when dockerd is back after ${how === 'kill' ? 'SIGKILL' : 'SIGTERM'}, and its next start adopts the names`,
    docker.options,
    docker.on(
      withServer(`${how}.skydns.local`, async (dockerd, at) => {
        const args = [...REGISTER, '--ip', dockerd.address];
        const first = start(dockerd, args, at);
        await first.logged(SOCKET_MOUNTED);
        await first.logged('registered');
        await dockerd[how]();
        await first.logged('docker is unreachable');
        // A restart before dockerd is back would not help, so register keeps running and renews the lease.
        await sleep(25_000);
        assert.ok(first.isRunning, first.stdout());
        await dockerd.start();
        await assertReplaced(first);
        const second = start(dockerd, args, at);
        await second.logged('following docker');
        assert.equal((await second.logged('the lease is held')).isAdopted, true);
      }),
    ),
  );

test(
  'register reconnects to a restarted dockerd when the folder of the socket is mounted',
  docker.options,
  docker.on(
    withServer('folder.skydns.local', async (dockerd) => {
      const args = [...REGISTER, '--ip', dockerd.address, '--docker-host', dockerd.host];
      const registrar = start(dockerd, args);
      await registrar.logged('registered');
      await dockerd.terminate();
      await registrar.logged('docker is unreachable');
      await dockerd.start();
      const isBack = () =>
        registrar.lines().filter(({ msg }) => msg === 'following docker').length > 1;
      await until('register is connected again', isBack, TIMEOUT_MS);
      assert.ok(registrar.isRunning);
    }),
  ),
);

test(
  'dockerproxy exits with 75 when dockerd is back, and the registrar behind it keeps the names',
  docker.options,
  docker.on(
    withServer('proxy.skydns.local', async (dockerd, at) => {
      const listen = join(folder, 'proxied.sock');
      const first = start(dockerd, ['dockerproxy', '--listen', listen], at);
      await first.logged('proxy started');
      const args = [...REGISTER, '--ip', dockerd.address, '--docker-host', `unix://${listen}`];
      const registrar = start(dockerd, args);
      await registrar.logged('registered');
      await dockerd.kill();
      await dockerd.start();
      await assertReplaced(first);
      await start(dockerd, ['dockerproxy', '--listen', listen], at).logged('proxy started');
      const isBack = () =>
        registrar.lines().filter(({ msg }) => msg === 'following docker').length > 1;
      await until('register is connected again', isBack, TIMEOUT_MS);
    }),
  ),
);

test(
  'serve --register exits with 75 when dockerd is back and answers for the names again after its restart',
  docker.options,
  docker.on(async (dockerd) => {
    const [at, name] = [join(folder, 'serve.sock'), 'serve.skydns.local'];
    const dns = { address: dockerd.address, port: 5354 };
    const serve = () =>
      start(
        dockerd,
        [
          ...['serve', '--register', '--register-ip', dockerd.address, '--no-rec'],
          ...['--store', `file:${join(folder, 'data')}`, '--http', '127.0.0.1:4011'],
          ...['--addr', `${dns.address}:${dns.port}`],
        ],
        at,
      );
    const isThere = async () => {
      const { answer } = await dig(dns, name, 'A').catch(() => ({ answer: [] }));
      return answer.length === 1;
    };
    try {
      const first = serve();
      await dockerd.run({ env: { DNS_NAME: name }, publish: ['8081:80'] });
      await until('the name is in DNS', isThere, TIMEOUT_MS);
      await dockerd.kill();
      await dockerd.start();
      await assertReplaced(first);
      const second = serve();
      await second.logged('following docker');
      assert.ok(await isThere());
      assert.equal((await second.logged('the lease is held')).isAdopted, true);
    } finally {
      await Promise.all([...running].map((child) => child.end('SIGKILL')));
      running.clear();
    }
  }),
);
