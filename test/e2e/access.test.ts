/** Who gets answers, and who answered: `--allow`, `--identity`, `--version-text`, and `resolver.arpa`. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import { Exposition } from '../support/prometheus.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { openUdpClient } from '../support/udpClient.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';
import { NO_WORKERS } from '../support/workerListeners.ts';

interface Serving {
  readonly process: CliProcess;
  readonly dns: SocketAddress;
  readonly http: string;
  readonly configFile: string;
}

async function serve(
  t: TestContext,
  args: readonly string[],
  config: Readonly<Record<string, unknown>> = {},
): Promise<Serving> {
  const dir = await newTempDir();
  t.after(() => removeDir(dir));
  const configFile = join(dir, 'soradns.json');
  await writeFile(configFile, JSON.stringify(config));
  const process = startCli([
    ...['serve', '--store', 'memory:', '--addr', '127.0.0.1:0', '--http', '127.0.0.1:0'],
    ...['--config', configFile, '--lame-duck', '0', ...args],
  ]);
  t.after(() => process.end('SIGKILL'));
  const { dns, http } = await process.logged('serving');
  const address = parseSocketAddress(String((dns as string[])[0]));
  assert.ok(address !== undefined);
  return { process, dns: address, http: `http://${http}`, configFile };
}

async function metric(
  { http }: Serving,
  name: string,
  labels?: Readonly<Record<string, string>>,
): Promise<number> {
  return new Exposition(await (await fetch(`${http}/metrics`)).text()).value(name, labels);
}

/** A query for the SOA of the domain. */
const PACKET = Buffer.from(
  '1234010000010000000000000673 6b79646e73056c6f63616c0000060001'.replace(' ', ''),
  'hex',
);
const PACKETS = 10_000;
/** Fewer than the kernel buffers for a socket. */
const BUFFERED_PACKETS = 200;

describe('--allow', () => {
  for (const [what, workers, skip] of [
    ['worker threads', '2', NO_WORKERS],
    ['the main thread', '0', false],
  ] as const) {
    it(`With ${what}, packets from outside --allow get no reply and are counted`, {
      skip,
    }, async (t) => {
      const serving = await serve(t, ['--workers', workers, '--allow', '127.0.0.1/32,::1']);
      const { port } = serving.dns;
      const inside = await openUdpClient(t);
      const outside = await openUdpClient(t, '127.0.0.9');
      let replies = 0;
      outside.socket.on('message', () => replies++);
      const dropped = () => metric(serving, 'soradns_dropped_total', { reason: 'not_allowed' });
      for (let sent = 1; sent <= PACKETS; sent++) {
        outside.socket.send(PACKET, port, '127.0.0.1');
        if (sent % BUFFERED_PACKETS !== 0) continue;
        await inside.ask(port, '127.0.0.1', PACKET);
        await until('all are counted', async () => (await dropped()) === sent);
      }
      assert.equal(replies, 0);
      assert.equal((await dig(serving.dns, 'skydns.local', 'SOA')).status, 'NOERROR');
    });
  }

  it('Over TCP a client outside --allow is refused, with the reason', async (t) => {
    const serving = await serve(t, ['--allow', '127.0.0.1/32']);
    const ask = (...args: string[]) => dig(serving.dns, '+tcp', ...args, 'skydns.local', 'SOA');
    await ask(); // The answer is in the table.
    assert.equal((await ask()).status, 'NOERROR');
    const refused = await ask('-b', '127.0.0.9');
    assert.equal(refused.status, 'REFUSED');
    assert.match(refused.text, /EDE: 18 \(Prohibited\)/);
  });

  it('A reload changes --allow', async (t) => {
    const serving = await serve(t, ['--workers', '1'], { allow: ['127.0.0.1'] });
    const stranger = await openUdpClient(t, '127.0.0.9');
    let replies = 0;
    stranger.socket.on('message', () => replies++);
    const ask = () => stranger.socket.send(PACKET, serving.dns.port, '127.0.0.1');
    ask();
    await sleep(100);
    assert.equal(replies, 0);
    await writeFile(serving.configFile, JSON.stringify({ allow: ['127.0.0.0/8'] }));
    process.kill(serving.process.pid, 'SIGHUP');
    await until('the client gets a reply', () => {
      ask();
      return replies > 0;
    });
  });
});

describe('The identity of a server', () => {
  it('Two servers differ in NSID and in id.server', async (t) => {
    const names = ['dns1.example.org', 'host'];
    const servers = await Promise.all(
      names.map((identity) => serve(t, ['--workers', '1', '--identity', identity])),
    );
    const host = execFileSync('hostname', { encoding: 'utf8' }).trim();
    for (const [i, expected] of ['dns1.example.org', host].entries()) {
      const { dns } = servers[i] as Serving;
      // Twice, since a worker has the second answer.
      for (let again = 0; again < 2; again++) {
        const { text } = await dig(dns, '+nsid', 'skydns.local', 'SOA');
        assert.ok(text.includes(`("${expected}")`), text);
      }
      const { answer } = await dig(dns, 'id.server', 'CH', 'TXT');
      assert.deepEqual(answer, [`id.server. 0 CH TXT "${expected}"`]);
    }
  });

  it('Without the options there is no NSID, and the texts are those of SkyDNS', async (t) => {
    const { dns } = await serve(t, ['--workers', '0']);
    assert.doesNotMatch((await dig(dns, '+nsid', 'skydns.local', 'SOA')).text, /NSID/);
    assert.deepEqual((await dig(dns, 'id.server', 'CH', 'TXT')).answer, [
      'id.server. 0 CH TXT "localhost"',
    ]);
    assert.equal((await dig(dns, 'authors.bind', 'CH', 'TXT')).status, 'REFUSED');
  });

  it('--version-text none refuses the version', async (t) => {
    const { dns } = await serve(t, ['--workers', '0', '--version-text', 'none']);
    assert.equal((await dig(dns, 'version.bind', 'CH', 'TXT')).status, 'REFUSED');
  });
});

it('An upstream that has designated resolvers is not asked for resolver.arpa', async (t) => {
  const upstream = await startUpstream({
    records: ['_dns.resolver.arpa 300 TXT upstream', 'example.com 300 A 192.0.2.1'],
  });
  t.after(() => upstream.close());
  const serving = await serve(t, ['--nameservers', `127.0.0.1:${upstream.port}`]);
  for (const type of ['SVCB', 'TXT', 'SVCB']) {
    const reply = await dig(serving.dns, '_dns.resolver.arpa', type);
    assert.equal(reply.status, 'NXDOMAIN');
    assert.match(reply.authority[0] ?? '', /^resolver\.arpa\. 10800 IN SOA /);
  }
  assert.equal((await dig(serving.dns, 'resolver.arpa', 'A')).status, 'NOERROR');
  assert.deepEqual(upstream.queries, []);
  assert.equal((await dig(serving.dns, 'example.com', 'A')).status, 'NOERROR');
});
