/**
 * Programs that were configured for Consul, against our names: HAProxy fills its servers from an SRV name, and moves
 * connections as instances come and go.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { freePort } from '../support/freePort.ts';
import { shellBlocks } from '../support/pages.ts';
import { startTestServer, type TestServer, WITH_TOKEN } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { NO_WORKERS } from '../support/workerListeners.ts';

const NO_HAPROXY =
  spawnSync('haproxy', ['-v']).status === 0 ? false : 'optional: haproxy is not installed';

/**
 * A TCP server that sends its name to each client, and closes the connection. HAProxy gives no two servers one address
 * unless it is told to.
 */
async function startInstance(t: TestContext, name: string, address: string): Promise<number> {
  const server = net.createServer((socket) => socket.end(name).on('error', () => {}));
  server.listen(0, address);
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as net.AddressInfo).port;
}

/** What the server at the port sends: nothing if it closes the connection, and `refused` if there is no server. */
function nameFrom(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve('refused');
    });
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
  });
}

async function startHaproxy(t: TestContext, dnsPort: number): Promise<number> {
  const dir = await newTempDir();
  const port = await freePort();
  const file = join(dir, 'haproxy.cfg');
  const [block = ''] = shellBlocks('docs/consul.md', 'HAProxy', 'haproxy');
  const listeners = block
    .replace('172.17.0.1:53', `127.0.0.1:${dnsPort}`)
    .replace('127.0.0.1:8000', `127.0.0.1:${port}`);
  assert.ok(listeners.includes(`:${dnsPort}\n`) && listeners.includes(`:${port}\n`));
  writeFileSync(
    file,
    `global
  maxconn 200
defaults
  timeout connect 1s
  timeout client 5s
  timeout server 5s
${listeners}`,
  );
  const haproxy = spawn('haproxy', ['-db', '-f', file], {
    stdio: 'ignore',
  });
  t.after(async () => {
    haproxy.kill('SIGKILL');
    if (haproxy.exitCode === null && haproxy.signalCode === null) await once(haproxy, 'exit');
    await removeDir(dir);
  });
  return port;
}

async function write(
  server: TestServer,
  method: 'PUT' | 'DELETE',
  name: string,
  address?: string,
  port?: number,
): Promise<void> {
  const url = `http://${server.http?.address}:${server.http?.port}/v2/keys/skydns/local/skydns/east/web/${name}`;
  const value = JSON.stringify({ host: address, port });
  const body = method === 'PUT' ? new URLSearchParams({ value }) : undefined;
  assert.ok((await fetch(url, { method, headers: WITH_TOKEN, ...(body && { body }) })).ok);
}

describe('HAProxy with server-template', { skip: NO_HAPROXY || NO_WORKERS }, () => {
  it('HAProxy follows the instances of an SRV name from none to three to one, and to another port', async (t) => {
    const server = await startTestServer({
      workers: '1',
      'consul-domain': 'consul',
      'consul-base': 'east.skydns.local',
      'consul-dc': ['east=east.skydns.local'],
    });
    t.after(() => server.close());
    const port = await startHaproxy(t, server.dns.port);
    /** Waits until HAProxy leads to exactly these instances; '' if it leads to none. */
    const leadsTo = (...names: readonly string[]): Promise<void> =>
      until(
        `HAProxy leads to ${names}`,
        async () => {
          const seen = new Set<string>();
          for (let i = 0; i < 12; i++) seen.add(await nameFrom(port));
          return [...seen].sort().join() === [...names].sort().join();
        },
        30_000,
      );
    await leadsTo('');
    for (const [i, name] of ['a', 'b', 'c'].entries()) {
      const address = `127.0.0.${i + 2}`;
      await write(server, 'PUT', name, address, await startInstance(t, name, address));
    }
    await leadsTo('a', 'b', 'c');
    await write(server, 'DELETE', 'a');
    await write(server, 'DELETE', 'c');
    await leadsTo('b');
    await write(server, 'PUT', 'b', '127.0.0.3', await startInstance(t, 'moved', '127.0.0.3'));
    await leadsTo('moved');
    await write(server, 'DELETE', 'b');
    await leadsTo('');
  });
});
