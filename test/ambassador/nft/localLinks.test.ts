/** Links at 127.0.0.1 of a network that stands for a container's, and processes without the right to write them. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import test, { after, before } from 'node:test';
import { pathToFileURL } from 'node:url';
import {
  type LocalLinks,
  localTable,
  writeLocalLinks,
} from '../../../src/ambassador/nft/localLinks.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../../support/ownNetwork.ts';
import { until } from '../../support/until.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const ID = randomBytes(6).toString('hex');
const [GATEWAY, OWN] = ['10.88.0.1', '10.88.0.2'];
const sources: string[] = [];

let container: ChildProcess | undefined;
let links: LocalLinks;

/** Runs a program in the container's network; returns its output. */
const inside = (...line: readonly string[]): string =>
  command('nsenter', `--net=/proc/${container?.pid}/ns/net`, ...line);

before(async () => {
  if (noOwnNetwork !== undefined) return;
  enterOwnNetwork();
  container = spawn('unshare', ['--net', 'sleep', '300'], { stdio: 'ignore' });
  const { pid = 0 } = container;
  const networkOf = (of: number | string) => command('readlink', `/proc/${of}/ns/net`);
  await until('it has a network of its own', () => networkOf(pid) !== networkOf(process.pid));
  command('ip', 'link', 'add', 'br0', 'type', 'veth', 'peer', 'eth0', 'netns', `${pid}`);
  command('ip', 'address', 'add', `${GATEWAY}/24`, 'dev', 'br0');
  command('ip', 'link', 'set', 'br0', 'up');
  inside('ip', 'link', 'set', 'lo', 'up');
  inside('ip', 'address', 'add', `${OWN}/24`, 'dev', 'eth0');
  inside('ip', 'link', 'set', 'eth0', 'up');
  const host = createServer((socket) => {
    sources.push(socket.remoteAddress ?? '');
    socket.end('host\n');
  });
  await new Promise<void>((resolve) => host.listen(6379, GATEWAY, resolve));
  host.unref();
  links = { id: ID, pid, gateway: GATEWAY, ports: [{ number: 6379, protocol: 'tcp' }] };
});
after(() => void container?.kill('SIGKILL'));

/** Prints what a connection to its arguments brings, or the code of its failure. */
const CLIENT = `const [address, port] = process.argv.slice(1);
  const socket = require('node:net').connect(Number(port), address).setTimeout(1500);
  socket.on('timeout', () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  socket.on('error', ({ code }) => console.log(code)).pipe(process.stdout);`;

/** Listens at its arguments, and answers each connection. */
const SERVER = `const [address, port] = process.argv.slice(1);
  require('node:net').createServer((socket) => socket.end('secret\\n')).listen(Number(port), address);`;

/** What a program in the container's network reads there; the code of a failure otherwise. */
async function read(address: string, port: number): Promise<string> {
  const network = `--net=/proc/${container?.pid}/ns/net`;
  const line = [network, process.execPath, '-e', CLIENT, address, `${port}`];
  // The server of the host is in this process, which must not wait.
  const client = spawn('nsenter', line, { stdio: ['ignore', 'pipe', 'ignore'] });
  return (await text(client.stdout)).trim();
}

test(
  'A port of 127.0.0.1 leads to the gateway, from the address by which the host knows the container',
  options,
  async () => {
    assert.match(await read('127.0.0.1', 6379), /ECONNREFUSED/);
    const ruleset = command('nft', 'list', 'ruleset');
    assert.equal(writeLocalLinks(links), undefined);
    assert.equal(await read('127.0.0.1', 6379), 'host');
    assert.deepEqual(sources, [OWN]);
    for (const [address, port] of [
      ['127.0.0.1', 6380],
      // Docker's own resolver is at such an address.
      ['127.0.0.11', 6379],
    ] as const)
      assert.match(await read(address, port), /ECONNREFUSED/);
    assert.equal(
      command('nft', 'list', 'ruleset'),
      ruleset,
      'the network of the host is as before',
    );
  },
);

test(
  'A table that is written again replaces the former one, and other containers have theirs',
  options,
  async () => {
    const ports = [
      { number: 6380, protocol: 'tcp' },
      { number: 53, protocol: 'udp' },
    ] as const;
    assert.equal(writeLocalLinks({ ...links, ports }), undefined);
    assert.match(await read('127.0.0.1', 6379), /ECONNREFUSED/);
    const other = '0123456789ab';
    assert.equal(writeLocalLinks({ ...links, id: other }), undefined);
    assert.equal(await read('127.0.0.1', 6379), 'host');
    const tables = inside('nft', 'list', 'tables').trim().split('\n').sort();
    assert.deepEqual(tables, [ID, other].map((id) => `table ip soradns_${id}`).sort());
  },
);

test('A neighbour does not reach what listens at 127.0.0.1 of the container', options, async () => {
  const at = '127.0.0.9';
  const listening = spawn(
    'nsenter',
    [`--net=/proc/${container?.pid}/ns/net`, ...[process.execPath, '-e', SERVER, at, '7000']],
    { stdio: 'ignore' },
  );
  // The host of the test is the neighbour: it sends to the address as if that were not its own.
  command('ip', 'route', 'delete', 'local', '127.0.0.0/8', 'dev', 'lo', 'table', 'local');
  command('ip', 'route', 'add', `${at}/32`, 'via', OWN, 'dev', 'br0', 'src', GATEWAY);
  command('sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1');
  const send = () => command(process.execPath, '-e', CLIENT, at, '7000').trim();
  try {
    await until('it listens', async () => (await read(at, 7000)) === 'secret');
    assert.equal(send(), 'ETIMEDOUT');
    for (const table of inside('nft', 'list', 'tables').trim().split('\n'))
      inside('nft', `flush chain ${table.replace('table ', '')} arrived`);
    assert.equal(send(), 'secret', 'only our rule keeps the neighbour out');
  } finally {
    listening.kill('SIGKILL');
    writeLocalLinks(links);
  }
});

test('Without the rights, or without the process, the reason says what is missing', options, () => {
  assert.match(
    writeLocalLinks({ ...links, pid: 4_194_304 }) ?? '',
    /^it does not see the containers' processes: it needs --pid host$/,
  );
  assert.match(writeLocalLinks({ ...links, pid: process.pid }) ?? '', /has no network of its own/);
  const file = new URL('../../../src/ambassador/nft/localLinks.ts', import.meta.url);
  const program = `import { writeLocalLinks } from '${pathToFileURL(file.pathname)}';
    console.log(writeLocalLinks(${JSON.stringify(links)}));`;
  const node = [process.execPath, '--import', import.meta.resolve('tsx'), '--input-type=module'];
  const without = ['--inh-caps=-sys_admin', '--bounding-set=-sys_admin'];
  const reason = command('setpriv', ...without, ...node, '-e', program);
  assert.equal(reason, 'it needs the capabilities SYS_ADMIN and SYS_PTRACE\n');
});

test('No text but addresses, numbers and an id reaches nft', () => {
  const wanted = { id: ID, pid: 1, gateway: '10.0.0.1', ports: [] };
  assert.throws(() => localTable({ ...wanted, id: '0123; flush' }), RangeError);
  assert.throws(() => localTable({ ...wanted, gateway: '10.0.0.1; flush ruleset' }));
});
