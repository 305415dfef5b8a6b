/**
 * A server with virtual addresses in a network of its own: the ranges that it refuses at its start, and
 * `ambassador clear`, which removes what it has left in the kernel.
 */
import assert from 'node:assert/strict';
import test, { before } from 'node:test';
import { CrossBridgeRule } from '../../../src/ambassador/nft/crossBridge.ts';
import { callCli, MAIN, spawnCli } from '../../support/cli.ts';
import { type CliProcess, ON_FREE_PORTS, startCli } from '../../support/cliProcess.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../../support/ownNetwork.ts';
import { until } from '../../support/until.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const SERVE = ['serve', ...ON_FREE_PORTS, '--store', 'memory:', '--vip'];

before(() => {
  if (noOwnNetwork !== undefined) return;
  enterOwnNetwork();
  // Docker's chain, in the order in which Docker makes it.
  command('iptables', '-N', 'DOCKER-USER');
  command('iptables', '-A', 'DOCKER-USER', '-j', 'RETURN');
  command('iptables', '-I', 'FORWARD', '-j', 'DOCKER-USER');
});

/** Runs the command as root, by another program if one is given. */
const clear = (args: readonly string[] = [], by: readonly string[] = []) => {
  const [program = '', ...words] = [...by, process.execPath, MAIN];
  return spawnCli(['ambassador', 'clear', ...args], {}, [program, ...words]);
};

const tables = () => command('nft', 'list', 'tables').trim().split('\n').sort();
const ours = () => tables().filter((table) => table.endsWith(' soradns'));
const rules = () =>
  command('iptables', '-S', 'DOCKER-USER')
    .split('\n')
    .filter((line) => line.includes('soradns'));

async function startServer(...args: readonly string[]): Promise<CliProcess> {
  const server = startCli([...SERVE, ...args]);
  await server.logged('serving');
  await until('the table and the rule are there', () => ours().length > 0 && rules().length === 1);
  return server;
}

test(
  'clear removes the tables and the rule that a killed server left, and has nothing to do then',
  options,
  async () => {
    const server = await startServer('--vip-range6', 'fd53:6f72:6100::/64');
    await server.end('SIGKILL');
    assert.deepEqual(ours(), ['table ip soradns', 'table ip6 soradns']);
    const others = tables().filter((table) => !table.endsWith(' soradns'));
    // The rule a second time, and one of another program.
    command('iptables', ...(rules()[0] ?? '').split(' '));
    command('iptables', '-A', 'DOCKER-USER', '-s', '10.0.0.1', '-j', 'ACCEPT');
    const done = await clear();
    const line = 'removed the table ip soradns, the table ip6 soradns, 2 rules in DOCKER-USER\n';
    assert.deepEqual(done, { code: 0, stdout: line, stderr: '' });
    assert.deepEqual([ours(), rules()], [[], []]);
    assert.deepEqual(tables(), others);
    assert.match(command('iptables', '-S', 'DOCKER-USER'), /-s 10\.0\.0\.1\/32 -j ACCEPT/);
    assert.deepEqual(await clear(), { code: 0, stdout: 'nothing to remove\n', stderr: '' });
    const json = await clear(['--json']);
    assert.deepEqual(JSON.parse(json.stdout), { tables: [], rules: 0 });
  },
);

test(
  'clear names the running server that keeps the routes, and removes nothing',
  options,
  async () => {
    const server = await startServer();
    try {
      const refused = await clear();
      assert.equal(refused.code, 5);
      const name = new RegExp(`node \\(pid ${server.pid}\\) keeps the routes of this host`);
      assert.match(refused.stderr, name);
      assert.deepEqual([ours().length, rules().length], [1, 1]);
      // In a container of its own the command sees no processes of others.
      const hidden = await clear([], ['unshare', '--pid', '--fork', '--mount-proc']);
      assert.equal(hidden.code, 5, hidden.stdout);
      assert.match(hidden.stderr, /another process has written the routes of this host again/);
    } finally {
      await server.end();
    }
    assert.equal((await clear(['-q'])).stdout, '');
    assert.deepEqual(ours(), []);
  },
);

test('clear exits with 6 without NET_ADMIN, and one line says so', options, async () => {
  await new CrossBridgeRule(4).ensure();
  const { code, stdout, stderr } = await clear(
    [],
    ['setpriv', '--inh-caps=-net_admin', '--bounding-set=-net_admin'],
  );
  assert.deepEqual([code, stdout], [6, '']);
  assert.match(stderr, /^soradns: clear: needs the capability NET_ADMIN \(use sudo, .*\)\n$/);
  assert.equal(rules().length, 1);
  assert.equal((await clear()).code, 0);
});

test(
  'clear and check take no further words, and only check takes options of serve',
  options,
  async () => {
    for (const [args, line] of [
      [['clear', 'all'], /all: unexpected argument/],
      [['check', 'all'], /all: unexpected argument/],
      [['clear', '--vip'], /--vip: is an option of check and of serve/],
      [['80=10.0.0.1:80', '--vip-range', '10.0.0.0/16'], /--vip-range: is an option of check/],
    ] as const) {
      const { code, stderr } = await callCli(['ambassador', ...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, line);
    }
  },
);

test(
  'A server refuses a range that a bridge or a route overlaps, and starts with the range that it offers',
  options,
  async () => {
    command('ip', 'link', 'add', 'br-web', 'type', 'bridge');
    command('ip', 'address', 'add', '198.18.7.1/24', 'dev', 'br-web');
    command('ip', 'link', 'set', 'br-web', 'up');
    command('ip', 'route', 'add', '10.64.0.0/12', 'via', '198.18.7.2');
    command('ip', 'address', 'add', 'fd53:6f72:6100::1/64', 'dev', 'br-web', 'nodad');
    try {
      for (const [args, line] of [
        [
          [],
          /^soradns: --vip-range: 198\.18\.0\.0\/16 overlaps br-web \(198\.18\.7\.1\/24\), whose .*\(start the servers of all hosts with --vip-range 198\.19\.0\.0\/16\)\n$/,
        ],
        [
          ['--vip-range', '10.65.0.0/24'],
          /--vip-range: 10\.65\.0\.0\/24 overlaps the route 10\.64\.0\.0\/12 of br-web, .*--vip-range 198\.18\.0\.0\/24\)/,
        ],
        [
          ['--vip-range', '198.19.0.0/16', '--vip-range6', 'fd53:6f72::/32'],
          /--vip-range6: fd53:6f72::\/32 overlaps br-web \(fd53:6f72:6100::1\/64\), /,
        ],
      ] as const) {
        const { code, stderr } = await spawnCli([...SERVE, ...args]);
        assert.equal(code, 2, stderr);
        assert.match(stderr, line);
      }
      assert.deepEqual(ours(), []);
      const server = await startServer('--vip-range', '198.19.0.0/16');
      assert.equal(await server.end(), 0);
      // Links alone need no range.
      const linking = startCli(['serve', ...ON_FREE_PORTS, '--store', 'memory:', '--ambassador']);
      await linking.logged('serving');
      assert.equal(await linking.end(), 0);
    } finally {
      command('ip', 'link', 'delete', 'br-web');
      await clear();
    }
  },
);

test('A server refuses virtual addresses with the proxy', async () => {
  const { code, stderr } = await spawnCli([...SERVE, '--ambassador-plane', 'proxy']);
  assert.equal(code, 2);
  assert.match(
    stderr,
    /--ambassador-plane: the proxy cannot take connections to virtual addresses/,
  );
});
