/** `soradns dockerproxy` as a process: which users may connect, which metadata it passes on, and its limits for each client. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readText } from '../../src/cli/output.ts';
import { loadLibc } from '../../src/kernel/libc.ts';
import { asContainerId } from '../../src/registrar/engine/containerId.ts';
import { connectEngine } from '../../src/registrar/engine/dockerode.ts';
import { callCli } from '../support/cli.ts';
import { startCli } from '../support/cliProcess.ts';
import { startFakeDocker } from '../support/fakeDocker.ts';
import { NOBODY, nodeForAll, noOtherUsers } from '../support/otherUser.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const libc = loadLibc();
const kernelTells = libc.kind === 'libc' ? {} : { skip: libc.reason };

/** A process that opens many event streams and idle connections. It ends when its standard input closes. */
async function startClients(socketPath: string, uid: number | undefined): Promise<ChildProcess> {
  const script = `
    const { request } = require('node:http');
    const { connect } = require('node:net');
    const socketPath = ${JSON.stringify(socketPath)};
    const ask = () => request({ socketPath, path: '/events', agent: false }, (answer) => {
      answer.resume().on('error', () => {}).on('close', () => setTimeout(ask, 20));
    }).on('error', () => setTimeout(ask, 20)).end();
    for (let i = 0; i < 64; i++) ask();
    const sit = () => connect(socketPath).on('error', () => {}).on('close', () => setTimeout(sit, 20));
    for (let i = 0; i < 64; i++) sit();
    process.stdin.resume().on('end', () => process.exit());
    setTimeout(() => console.log('there'), 500);`;
  const node = uid === undefined ? process.execPath : await nodeForAll();
  const clients = spawn(node, ['--eval', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...(uid !== undefined && { uid, gid: uid }),
  });
  await once(clients, 'spawn');
  return clients;
}

for (const [who, uid] of [
  ['of the same user', undefined],
  ['of another user', noOtherUsers === undefined ? NOBODY : undefined],
] as const) {
  test(
    `dockerproxy serves a registrar while a process ${who} uses up every connection that it can get`,
    kernelTells,
    () =>
      withTempDir(async (folder) => {
        chmodSync(folder, 0o755);
        const listen = join(folder, 'docker.sock');
        const fake = await startFakeDocker();
        const proxy = startCli(['dockerproxy', '--listen', listen, '--docker-host', fake.host]);
        let clients: ChildProcess | undefined;
        const engine = connectEngine({ kind: 'unix', path: listen });
        try {
          await proxy.logged('proxy started');
          clients = await startClients(listen, uid);
          if (clients.stdout !== null) await once(clients.stdout, 'data');
          const abort = new AbortController();
          const stream = engine.events(undefined, abort.signal);
          await stream.opened;
          const id = fake.run();
          for (let i = 0; i < 20; i++) {
            assert.equal((await engine.list()).length, 1);
            assert.equal((await engine.inspect(asContainerId(id)))?.Id, id);
            await sleep(25);
          }
          assert.ok(fake.openStreams <= 4, `${fake.openStreams} streams`);
          fake.rename(id, 'other');
          let isTold = false;
          for await (const { action } of stream) {
            isTold = action === 'rename';
            if (isTold) break;
          }
          assert.ok(isTold, 'its stream was taken away');
          abort.abort();
        } finally {
          engine.close();
          clients?.stdin?.end();
          if (clients?.exitCode === null) await once(clients, 'exit');
          await proxy.end();
          await fake.close();
        }
      }),
  );
}

test('dockerproxy passes on the metadata that its options name', () =>
  withTempDir(async (folder) => {
    const listen = join(folder, 'docker.sock');
    const fake = await startFakeDocker();
    const names = ['--env-prefix', 'SORA_', '--label-prefix', 'sora.', '--ip-label', 'ip'];
    const group = String(process.getgid?.() ?? 0);
    const place = ['--listen', listen, '--docker-host', fake.host, '--socket-group', group];
    const proxy = startCli(['dockerproxy', ...place, ...names]);
    const engine = connectEngine({ kind: 'unix', path: listen });
    try {
      await proxy.logged('proxy started');
      assert.equal(statSync(listen).mode & 0o777, 0o660);
      const env = { SORA_NAME: 'a', DNS_NAME: 'b', SERVICE_NAME: 'c', TOKEN: 'd' };
      const labels = { 'sora.port': '80', 'dns.port': '81', ip: '192.0.2.1', other: 'x' };
      const id = fake.run({ env, labels });
      const { Config } = (await engine.inspect(asContainerId(id))) ?? {};
      assert.deepEqual(Config?.Env, ['SORA_NAME=a', 'SERVICE_NAME=c']);
      assert.deepEqual(Config?.Labels, { 'sora.port': '80', ip: '192.0.2.1' });
      await until('it ends', async () => (await proxy.end('SIGTERM')) === 0);
    } finally {
      engine.close();
      await proxy.end();
      await fake.close();
    }
  }));

test('dockerproxy reports an unknown --socket-group and accepts root by name', async () => {
  const unknown = await callCli(['dockerproxy', '--socket-group', 'no-such-group']);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /--socket-group: this host has no group "no-such-group"/);
  const noFolder = ['--listen', '/nonexistent/docker.sock', '--docker-host', 'unix:///nonexistent'];
  const known = await callCli(['dockerproxy', '--socket-group', 'root', ...noFolder], {
    readFile: readText,
  });
  assert.match(known.stderr, /--listen: the folder \/nonexistent does not exist/);
});

test('dockerproxy reports a missing folder with the command that creates it', async () => {
  const line = ['dockerproxy', '--listen', '/nowhere/sora/docker.sock'];
  const { code, stderr } = await callCli([...line, '--docker-host', 'unix:///none.sock']);
  assert.notEqual(code, 0);
  assert.match(
    stderr,
    /the folder \/nowhere\/sora does not exist .*mkdir -p -m 0750 \/nowhere\/sora/,
  );
});
