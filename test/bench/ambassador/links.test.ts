import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { decode, encode } from 'dns-packet';
import { roundsWithin } from '../../../bench/ambassador/measured.ts';
import { buildLinks, type Exchanges } from '../../../bench/ambassador/scene.ts';
import { isInstalled } from '../../../bench/process.ts';
import { freePort } from '../../support/freePort.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';

const options = {
  skip: ['cc', 'gcc', 'clang'].some(isInstalled) ? false : 'optional: no C compiler is installed',
};
const ADDRESS = '127.0.0.1';

/** A server of links.c, and a function that runs its clients and returns their line. */
async function openLinks(context: TestContext) {
  const folder = await newTempDir();
  context.after(() => removeDir(folder));
  const program = buildLinks(folder);
  const [port, sink] = [await freePort(), await freePort()];
  const server = spawn(program, ['serve', 'a', `${port}`, `${sink}`]);
  context.after(() => server.kill());
  await once(server.stdout, 'data');
  const run = async <T>(...args: readonly string[]): Promise<T> => {
    const { stdout } = await promisify(execFile)(program, args);
    return JSON.parse(stdout) as T;
  };
  return { program, run, server, port, sink };
}

test(
  'links exchanges messages, connects and sends for the time or the count',
  options,
  async (context) => {
    const { run, port, sink } = await openLinks(context);
    const echo = await run<Exchanges>('echo', ADDRESS, `${port}`, '0.2');
    assert.ok(echo.count > 0 && echo.p50 > 0 && echo.p50 <= echo.p99 && echo.p99 <= echo.max + 1);
    const connects = await run<Exchanges>('connect', ADDRESS, `${port}`, '30', '50');
    assert.deepEqual([connects.count, connects.failed], [50, 0]);
    const sent = await run<{ octets: number; seconds: number }>('send', ADDRESS, `${sink}`, '0.2');
    assert.ok(sent.octets > 0 && sent.seconds >= 0.2);
  },
);

test(
  'links counts connects that nobody accepts, and reports the first error',
  options,
  async (context) => {
    const { run } = await openLinks(context);
    const { count, failed, error } = await run<Exchanges>(
      ...['connect', ADDRESS, `${await freePort()}`, '30', '20'],
    );
    assert.deepEqual(
      { count, failed, error },
      { count: 0, failed: 20, error: 'Connection refused' },
    );
  },
);

test(
  'links watch reports each change of the server that it reaches and of the address in answers',
  options,
  async (context) => {
    const { program, server, port } = await openLinks(context);
    let data = '10.0.0.1';
    const dns = createSocket('udp4', (packet, peer) => {
      const { id = 0, questions = [] } = decode(packet);
      const answers = questions.map(({ name }) => ({ type: 'A' as const, name, ttl: 1, data }));
      dns.send(encode({ type: 'response', id, questions, answers }), peer.port, peer.address);
    });
    dns.bind(0, ADDRESS);
    await once(dns, 'listening');
    context.after(() => dns.close());
    const watched = [ADDRESS, `${port}`, 'web.example', `${ADDRESS}:${dns.address().port}`];
    const client = spawn(program, ['watch', ...watched]);
    context.after(() => client.kill());
    const seen: string[] = [];
    const sees = async (what: string): Promise<void> => {
      while (!seen.includes(what)) {
        const [lines] = (await once(client.stdout, 'data')) as [Buffer];
        for (const line of lines.toString().trim().split('\n')) {
          const { dns: number, seen: text } = JSON.parse(line);
          seen.push(`${number ?? 'connect'} ${text}`);
        }
      }
    };
    await sees('connect a');
    await sees('0 10.0.0.1');
    data = '10.0.0.2';
    await sees('0 10.0.0.2');
    server.kill('SIGKILL');
    await sees('connect -');
    assert.deepEqual(seen, ['connect a', '0 10.0.0.1', '0 10.0.0.2', 'connect -']);
  },
);

test('roundsWithin ends after the rounds, and after its time once there are enough results', async () => {
  const count = async (round: number) => round;
  assert.deepEqual(await roundsWithin({ rounds: 3, least: 1, seconds: 60 }, count), [0, 1, 2]);
  assert.deepEqual(await roundsWithin({ rounds: 9, least: 2, seconds: 0 }, count), [0, 1]);
});
