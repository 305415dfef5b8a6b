/** The server's worker threads: answers from the table, a clean exit, and a single thread where workers cannot run. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { parseSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { query } from '../support/server.ts';
import { until } from '../support/until.ts';
import { NO_WORKERS } from '../support/workerListeners.ts';
import { question, text } from '../support/zone.ts';

interface Serving {
  readonly process: CliProcess;
  readonly dns: readonly SocketAddress[];
  readonly http: string;
}

async function serve(
  t: TestContext,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Serving> {
  const fixed = ['--store', 'memory:', '--no-rec', '--http', '127.0.0.1:0'];
  const process = startCli(['serve', ...fixed, ...args], env);
  t.after(() => process.end('SIGKILL'));
  const { dns, http } = await process.logged('serving');
  const addresses = (dns as string[]).map((address) => parseSocketAddress(address));
  return { process, dns: addresses.filter((address) => address !== undefined), http: String(http) };
}

async function put({ http }: Serving, name: string, host: string): Promise<void> {
  const body = new URLSearchParams({ value: JSON.stringify({ host }) });
  const url = `http://${http}/v2/keys/skydns/local/skydns/${name}`;
  assert.ok((await fetch(url, { method: 'PUT', body })).ok);
}

async function isAnswered({ dns }: Serving, name: string, host: string): Promise<void> {
  for (const address of dns) {
    const { answer } = await query(address, question(`${name}.skydns.local.`, 'A'));
    assert.deepEqual(text(answer), [`${name}.skydns.local. 3600 IN A ${host}`]);
  }
}

/** The number of packets that the workers have handed to the main thread. */
async function handedOver({ http }: Serving): Promise<number> {
  const metrics = await (await fetch(`http://${http}/metrics`)).text();
  return Number(/^soradns_dns_handed_over_total (\d+)$/m.exec(metrics)?.[1]);
}

describe('--workers', { skip: NO_WORKERS }, () => {
  it('The workers answer on every address and follow changes, and the server exits cleanly', async (t) => {
    const addresses = ['--addr', '127.0.0.1:0', '--addr', '127.0.0.2:0'];
    const server = await serve(t, ['--workers', '2', ...addresses]);
    await put(server, 'a', '192.0.2.1');
    await isAnswered(server, 'a', '192.0.2.1');
    const before = await handedOver(server);
    for (let i = 0; i < 20; i++) await isAnswered(server, 'a', '192.0.2.1');
    assert.equal(await handedOver(server), before);
    await put(server, 'a', '192.0.2.2');
    await until('the change is answered', async () => {
      return isAnswered(server, 'a', '192.0.2.2').then(
        () => true,
        () => false,
      );
    });
    const signalledMs = performance.now();
    assert.equal(await server.process.end('SIGTERM'), 0);
    assert.ok(performance.now() - signalledMs < 10_000);
  });

  const WITHOUT_KOFFI = `import Module from 'node:module';
    const find = Module._resolveFilename;
    Module._resolveFilename = (request, ...rest) => {
      if (request === 'koffi') throw new Error("Cannot find module 'koffi'");
      return find(request, ...rest);
    };`;
  const OTHER_PROCESSOR = `Object.defineProperty(process, 'arch', { value: 's390x' });`;

  for (const [what, script, reason] of [
    ['koffi', WITHOUT_KOFFI, /^koffi cannot be loaded: Cannot find module 'koffi'$/],
    [
      'a supported processor',
      OTHER_PROCESSOR,
      /^koffi's system calls do not support this processor .*s390x/,
    ],
  ] as const) {
    it(`A server without ${what} answers from one thread and logs the reason`, async (t) => {
      const preload = `--import "data:text/javascript,${encodeURIComponent(script)}"`;
      const args = ['--workers', '2', '--addr', '127.0.0.1:0'];
      const server = await serve(t, args, { NODE_OPTIONS: preload });
      const line = await server.process.logged(
        'answering UDP on one thread, with one system call per packet',
      );
      assert.match(String(line.reason), reason);
      await put(server, 'a', '192.0.2.1');
      await isAnswered(server, 'a', '192.0.2.1');
      assert.equal(await server.process.end('SIGTERM'), 0);
    });
  }
});
