import assert from 'node:assert/strict';
import test from 'node:test';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { type FakeDocker, startFakeDocker } from '../support/fakeDocker.ts';
import { until } from '../support/until.ts';

const UP = ['up', '--store', 'memory:', '--http', 'off'];

/** Waits for it to end by itself. */
async function codeOf(up: CliProcess): Promise<number | undefined> {
  await until('it has ended', () => !up.isRunning, 30_000);
  return up.end();
}

async function withFake(body: (fake: FakeDocker) => Promise<void>): Promise<void> {
  const fake = await startFakeDocker();
  try {
    await body(fake);
  } finally {
    await fake.close();
  }
}

test("it says which address it chose and why; the engine's bridge decides", () =>
  withFake(async (fake) => {
    fake.bridge = { IPAM: { Config: [{ Subnet: '192.0.2.0/24', Gateway: '192.0.2.1' }] } };
    const up = startCli(UP, { DOCKER_HOST: fake.host });
    await up.says('answering on 192.0.2.1:53, the gateway of Docker\'s network "bridge"');
    // Which this host does not have.
    assert.equal(await codeOf(up), 4);
    assert.match(up.stderr(), /cannot listen on 192\.0\.2\.1:53.* \(in a container .*--addr\)/);
  }));

test('it registers containers, and an address that was told counts', () =>
  withFake(async (fake) => {
    for (const [args, env] of [
      [['--addr', '127.0.0.1:0'], {}],
      [[], { SORADNS_ADDR: '127.0.0.1:0' }],
    ] as const) {
      const up = startCli([...UP, ...args], { ...env, DOCKER_HOST: fake.host });
      const { dns } = await up.says('serving');
      assert.match(String(dns), /^127\.0\.0\.1:/);
      await up.says('following docker');
      assert.ok(!up.stdout().includes('answering on'));
      assert.equal(await up.end(), 0);
    }
  }));

test('what cannot be is refused as by serve', async () => {
  const up = startCli([...UP, '--min-ttl', 'x']);
  assert.equal(await codeOf(up), 2);
  assert.match(up.stderr(), /--min-ttl/);
});
