import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import test from 'node:test';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { startFakeDocker } from '../support/fakeDocker.ts';
import { until } from '../support/until.ts';

const UP = ['up', '--store', 'memory:'];

interface Up extends CliProcess {
  /** Waits until the process ends without a signal; returns its exit code. */
  ended(): Promise<number | undefined>;
}

/** Runs the body beside `soradns up` on a fake engine. */
async function withUp(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  body: (up: Up) => Promise<void>,
  bridge?: object,
): Promise<void> {
  const fake = await startFakeDocker();
  if (bridge !== undefined) fake.bridge = bridge;
  const up = startCli([...UP, ...args], {
    ...{ SORADNS_HTTP: 'off', DOCKER_HOST: fake.host },
    ...env,
  });
  const ended = async () => {
    await until('it has ended', () => !up.isRunning, 30_000);
    return up.end();
  };
  try {
    await body(Object.assign(up, { ended }));
  } finally {
    await up.end('SIGKILL');
    await fake.close();
  }
}

test('up listens on the address of the engine’s bridge and logs the reason', () => {
  const bridge = { IPAM: { Config: [{ Subnet: '192.0.2.0/24', Gateway: '192.0.2.1' }] } };
  const refused = async (up: Up): Promise<void> => {
    await up.logged('answering on 192.0.2.1:53, the gateway of Docker\'s network "bridge"');
    // No interface of this host has this address.
    assert.equal(await up.ended(), 4);
    assert.match(up.stderr(), /cannot listen on 192\.0\.2\.1:53.* \(in a container, .*--addr\)/);
  };
  return withUp([], {}, refused, bridge);
});

test('up hints at the container network only for failures of the network', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  // Port 53 fails if the user may not use it, else the HTTP port that is in use; neither failure is about the network.
  const bridge = { IPAM: { Config: [{ Subnet: '127.83.0.0/24', Gateway: '127.83.0.1' }] } };
  const refused = async (up: Up): Promise<void> => {
    assert.ok([4, 6].includes((await up.ended()) ?? 0), up.stderr());
    assert.match(up.stderr(), /cannot listen on|no permission to listen on|is in use/);
    assert.doesNotMatch(up.stderr(), /in a container/);
  };
  try {
    await withUp([], { SORADNS_HTTP: `127.0.0.1:${port}` }, refused, bridge);
  } finally {
    taken.close();
  }
});

test('up registers containers and listens on the configured address', async () => {
  for (const [args, env] of [
    [['--addr', '127.0.0.1:0'], {}],
    [[], { SORADNS_ADDR: '127.0.0.1:0' }],
  ] as const) {
    await withUp(args, env, async (up) => {
      const { dns } = await up.logged('serving');
      assert.match(String(dns), /^127\.0\.0\.1:/);
      await up.logged('following docker');
      assert.ok(!up.stdout().includes('answering on'));
      assert.equal(await up.end(), 0);
    });
  }
});

test('up refuses mistakes as serve does', () =>
  withUp(['--min-ttl', 'x'], {}, async (up) => {
    assert.equal(await up.ended(), 2);
    assert.match(up.stderr(), /--min-ttl/);
  }));

test('up refuses --register=false', () =>
  withUp(['--register=false'], {}, async (up) => {
    assert.equal(await up.ended(), 2);
    assert.match(up.stderr(), /--register: up always registers \(use soradns serve\)/);
  }));
