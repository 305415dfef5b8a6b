/**
 * The address at which `doctor` and `integrate` expect the server without --addr. The servers are real, on fake
 * networks and in a network namespace.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import type { HostNetwork } from '../../../src/app/process/network.ts';
import { readConfig } from '../../../src/config/config.ts';
import type { SocketAddress } from '../../../src/dns/address.ts';
import { locateServer } from '../../../src/tools/doctor/host.ts';
import { childEnv, MAIN } from '../../support/cli.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { withTempDir } from '../../support/tempDir.ts';

let server: TestServer;
/** Answers everything with REFUSED. */
let other: Socket;
before(async () => {
  server = await startTestServer({});
  other = createSocket('udp4');
  other.on('message', (query, { address, port }) => {
    query[2] = 0x80;
    query[3] = 5;
    other.send(query, port, address);
  });
  other.bind(0, '127.0.0.1');
  await once(other, 'listening');
});
after(async () => {
  other?.close();
  await server?.close();
});

function where(flags: Record<string, string>, network: Partial<HostNetwork>) {
  const read = readConfig({
    flags: { store: 'memory:', ...flags },
    env: {},
    readFile: () => ({ problem: 'no files here' }),
    stateDirectory: '/nonexistent',
  });
  assert.ok(read.kind === 'config');
  return locateServer(read.config, {
    addresses: async () => new Set(),
    bridgeAddress: async () => undefined,
    dnsListeners: async () => [],
    ...network,
  });
}

const listening = (...listeners: SocketAddress[]) => ({ dnsListeners: async () => listeners });

describe('the server', () => {
  const bridgeAddress = async () => '192.0.2.1';

  it('doctor finds the server that identifies itself as soradns', async () => {
    const network = { ...listening(other.address(), server.dns), bridgeAddress };
    const { by, config } = await where({}, network);
    assert.equal(by, 'found');
    assert.deepEqual(config.addr, [server.dns]);
  });

  it('doctor uses the given address even if other servers run', async () => {
    const { by, config } = await where({ addr: '127.0.0.1:9' }, listening(server.dns));
    assert.equal(by, 'given');
    assert.deepEqual(config.addr, [{ address: '127.0.0.1', port: 9 }]);
  });

  it('doctor expects a missing server where up would start it or, without Docker, where serve would start it', async () => {
    const network = listening(other.address());
    assert.deepEqual((await where({}, { ...network, bridgeAddress })).config.addr, [
      { address: '192.0.2.1', port: 53 },
    ]);
    const { by, config } = await where({}, network);
    assert.equal(by, 'default');
    assert.deepEqual(config.addr, [{ address: '127.0.0.1', port: 53 }]);
  });
});

describe('an unused bridge', () => {
  const canHave = spawnSync('unshare', ['--net', 'ip', 'link', 'show']).status === 0;
  const skip = canHave ? false : 'optional: this user may not have networks of its own';

  /**
   * Runs shell lines, in which `soradns` is a command, in a new folder and a new network namespace; returns their
   * output.
   */
  function onBridge(lines: string): Promise<string> {
    return withTempDir(async (root) => {
      const script = `set -eu
        node="$0 $*"
        soradns() { $node "$@"; }
        ip link set lo up
        ip link add docker0 type bridge
        ip address add 172.29.0.1/16 dev docker0
        ip link set docker0 up
        ${lines}`;
      const line = ['--net', 'sh', '-c', script, process.execPath, MAIN];
      const env = childEnv({ DOCKER_HOST: `unix://${root}/none.sock` });
      const ran = spawnSync('unshare', line, { cwd: root, env, encoding: 'utf8', timeout: 60_000 });
      assert.equal(ran.status, 0, ran.stdout + ran.stderr);
      return ran.stdout;
    });
  }

  it('integrate docker expects the server on an unused bridge, where containers will look for it', {
    skip,
  }, async () => {
    const stdout = await onBridge('soradns integrate docker --root . --dry-run');
    assert.match(stdout, /\+ *"172\.29\.0\.1"/);
    assert.match(stdout, /note: found no server on this host; using 172\.29\.0\.1:53,/);
  });

  it('doctor and integrate find the server that up started on an unused bridge', {
    skip,
  }, async () => {
    const stdout = await onBridge(`
      $node up --store memory: --http off > log 2>&1 &
      trap "kill $!; wait $!" EXIT
      for try in $(seq 100); do grep -q '"msg":"serving"' log && break; sleep 0.1; done
      soradns doctor --root . --http off || true
      soradns integrate dnsmasq --root .`);
    assert.match(
      stdout,
      /^ok +port +172\.29\.0\.1:53 is used by .* which answers for the domain$/m,
    );
    assert.match(stdout, /^ok +server +172\.29\.0\.1:53 answers for skydns\.local\./m);
    assert.match(stdout, /^note: found the server at 172\.29\.0\.1:53$/m);
  });
});
