/** Workers on a host with two addresses on its network, and a firewall that refuses their replies. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cannotForge, forgePacket } from '../../support/forgedPacket.ts';
import { endCleaner, environment, startCleaner } from '../../support/hostCleaner.ts';
import { byCable, type HostNetwork } from '../../support/hostNetwork.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';
import { openUdpClient } from '../../support/udpClient.ts';
import type { FromServer } from '../../support/udpServerProcess.ts';
import { until } from '../../support/until.ts';
import { compiledEntry, NO_WORKERS } from '../../support/workerListeners.ts';

const SECOND_ADDRESS = '198.51.100.7';

const skip = NO_WORKERS || noNamespaces();

suite('worker threads on a network', { skip }, () => {
  const host = `soraw${randomBytes(3).toString('hex')}`;
  let dir = '';
  let network: HostNetwork;
  let cleaner: ChildProcess;
  let server: ChildProcess;
  let ports: readonly number[];
  before(async () => {
    dir = await newTempDir();
    cleaner = startCleaner(host, dir);
    network = byCable(host);
    inHost('ip', 'address', 'add', `${SECOND_ADDRESS}/32`, 'dev', 'eth0');
    ip('route', 'add', `${SECOND_ADDRESS}/32`, 'via', network.address);
    const script = fileURLToPath(await compiledEntry(dir, './udpServerProcess.ts'));
    const command = ['netns', 'exec', host, process.execPath, script, '0.0.0.0', '::'];
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    server = spawn('ip', command, { env: environment(), stdio: [...stdio] });
    const listening = await nextMessage(server, 'listening');
    ports = listening.ports;
  });
  after(async () => {
    server?.disconnect();
    if (server?.exitCode === null) await once(server, 'exit');
    await endCleaner(cleaner);
    await removeDir(dir);
  });

  function inHost(...command: readonly string[]): void {
    ip('netns', 'exec', host, ...command);
  }

  async function dropped(reason: string): Promise<number> {
    const message = nextMessage(server, 'dropped');
    server.send('dropped');
    return (await message).byReason[reason] ?? 0;
  }

  test('A reply leaves from the address to which its query was sent if the server has several IPv4 addresses', async (t) => {
    const { ask } = await openUdpClient(t, network.gateway);
    for (const address of [network.address, SECOND_ADDRESS, network.address]) {
      assert.equal((await ask(ports[0] ?? 0, address, 'word')).from, address);
      assert.equal((await ask(ports[0] ?? 0, address, 'slow')).from, address);
    }
  });

  test('A reply over IPv6 leaves from the address to which its query was sent, even if it is link-local', async (t) => {
    const { ask } = await openUdpClient(t, '::');
    const linkLocal = `${linkLocalOf(host)}%${host}`;
    for (const address of [network.address6, linkLocal]) {
      assert.equal((await ask(ports[1] ?? 0, address, 'word')).from, address);
      assert.equal((await ask(ports[1] ?? 0, address, 'slow')).from, address);
    }
  });

  for (const target of ['DROP', 'REJECT']) {
    test(`Replies that a firewall refuses (${target}) are counted, and other replies are sent`, async (t) => {
      const before = await dropped('forbidden');
      const rule = ['OUTPUT', '-p', 'udp', '-d', network.gateway, '--dport', '5353', '-j', target];
      inHost('iptables', '-A', ...rule);
      t.after(() => spawnSync('ip', ['netns', 'exec', host, 'iptables', '-D', ...rule]));
      const [refused, other] = [
        await openUdpClient(t, network.gateway, 5353),
        await openUdpClient(t, network.gateway),
      ];
      for (const word of ['word', 'slow']) {
        refused.socket.send(word, ports[0], network.address);
        await other.ask(ports[0] ?? 0, network.address, word);
      }
      await until('both are counted', async () => (await dropped('forbidden')) === before + 2);
      inHost('iptables', '-D', ...rule);
      await refused.ask(ports[0] ?? 0, network.address, 'word');
    });
  }

  test('A reply to a client without a route is counted, and other replies are sent', {
    skip: cannotForge(),
  }, async (t) => {
    inHost('ip', 'route', 'del', 'default');
    t.after(() => inHost('ip', 'route', 'add', 'default', 'via', network.gateway));
    const beforeAll = await dropped('unreachable');
    const unreachable = { address: '203.0.113.5', port: 4000 };
    const here = { address: network.address, port: ports[0] ?? 0 };
    for (const word of ['word', 'slow']) forgePacket(unreachable, here, word);
    await until('both are counted', async () => (await dropped('unreachable')) === beforeAll + 2);
    const { ask } = await openUdpClient(t, network.gateway);
    await ask(ports[0] ?? 0, network.address, 'word');
  });
});

async function nextMessage<K extends FromServer['kind']>(
  server: ChildProcess,
  kind: K,
): Promise<Extract<FromServer, { kind: K }>> {
  const [message] = await once(server, 'message', { signal: AbortSignal.timeout(15_000) });
  assert.equal(message.kind, kind);
  return message;
}

function noNamespaces(): string | false {
  if (process.getuid?.() !== 0) return 'optional: needs root';
  const name = `soraw${randomBytes(3).toString('hex')}`;
  const made = spawnSync('ip', ['netns', 'add', name], { env: environment() });
  if (made.status !== 0) return 'optional: needs network namespaces';
  spawnSync('ip', ['netns', 'del', name], { env: environment() });
  const iptables = spawnSync('iptables', ['--version'], { env: environment() });
  return iptables.status === 0 ? false : 'optional: needs iptables';
}

function ip(...args: readonly string[]): string {
  const options = { env: environment(), encoding: 'utf8' } as const;
  return execFileSync('ip', args, options);
}

/** The address of the host's end of its cable. */
function linkLocalOf(host: string): string {
  const lines = ip('-netns', host, '-6', '-o', 'address', 'show', 'dev', 'eth0', 'scope', 'link');
  const [, address] = /inet6 (fe80:[0-9a-f:]+)/.exec(lines) ?? [];
  assert.ok(address !== undefined, lines);
  return address;
}
