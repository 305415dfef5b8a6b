/**
 * Containers of a real Docker engine in the answers of a real server with a real etcd, and the registrar's failure
 * cases with real daemons.
 */
import assert from 'node:assert/strict';
import test, { after, before, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Rcode, Type } from '../../src/dns/rr.ts';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import type { LeaseStore } from '../../src/store/store.ts';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { type QueryFlow, startQueryFlow } from '../support/queryFlow.ts';
import {
  killRegistrar,
  type RealRegistrar,
  type RealSetup,
  spawnRegistrar,
  startRealRegistrar,
} from '../support/realRegistrar.ts';
import { query, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';
import { question, text } from '../support/zone.ts';

const docker = useDockerd({ liveRestore: true });
const TIMEOUT_MS = 20_000;
const INTERNAL = { mode: 'internal' } as const;
const COMPAT = {
  compat: ['registrator'],
  exposedByDefault: true,
  health: 'ignore',
  registrator: { hostName: 'node1', rawIds: false, tags: [] },
} as const;

let etcd: Etcd;
let server: TestServer;
let store: LeaseStore;
const isSkipped = docker.options.skip !== undefined;

before(async () => {
  if (isSkipped) return;
  etcd = await startEtcd();
  server = await startTestServer({ store: `etcd://${etcd.endpoint}`, 'no-rec': true });
  store = new EtcdStore({ endpoints: [etcd.endpoint] });
});

after(async () => {
  if (isSkipped) return;
  await server.close();
  await store.close();
  await etcd.stop();
});

interface Fixture {
  readonly dockerd: Dockerd;
  readonly setup: RealSetup;
  start(changes?: Partial<RealSetup>): Promise<RealRegistrar>;
}

let instances = 0;

/** Defines a test that closes its registrars and empties etcd afterwards. */
function registrarTest(name: string, body: (fixture: Fixture) => Promise<void>): void {
  const run = async (dockerd: Dockerd, _context: TestContext): Promise<void> => {
    const started: RealRegistrar[] = [];
    const setup = (): RealSetup => ({
      socket: dockerd.socket,
      etcd: etcd.endpoint,
      instance: `instance-${++instances}`,
      hostAddress: dockerd.address,
      context: INTERNAL,
    });
    const start = async (changes: Partial<RealSetup> = {}): Promise<RealRegistrar> => {
      const one = startRealRegistrar({ ...setup(), ...changes });
      started.push(one);
      await until('the registrar is ready', () => one.registrar.readiness().isReady, TIMEOUT_MS);
      return one;
    };
    try {
      await body({ dockerd, setup: setup(), start });
    } finally {
      for (const one of started) await one.close();
      for (const prefix of ['/skydns/', '/registrar/']) await store.deleteTree(prefix);
    }
  };
  test(name, { ...docker.options, timeout: 180_000 }, docker.on(run));
}

async function answers(name: string, type: string): Promise<string[]> {
  const { answer } = await query(server.dns, question(`${name}.skydns.local.`, type));
  return text(answer);
}

async function addresses(name: string): Promise<string[]> {
  return (await answers(name, 'A')).map((rr) => rr.split(' ').at(-1) ?? '').sort();
}

/** Queries for A records at a steady rate; a reply without an address is a problem. */
function steadyQueries(qname: string, queriesPerSecond: number): QueryFlow {
  return startQueryFlow(server.dns, {
    question: question(qname, 'A'),
    queriesPerSecond,
    check({ rcode, answer }) {
      const isGood = rcode === Rcode.NOERROR && answer.some(({ type }) => type === Type.A);
      return isGood ? undefined : `rcode ${rcode}, ${answer.length} records`;
    },
  });
}

function appears(name: string): Promise<void> {
  return until(`${name} appears`, async () => (await addresses(name)).length > 0, TIMEOUT_MS);
}

function disappears(name: string): Promise<void> {
  return until(`${name} disappears`, async () => (await addresses(name)).length === 0, TIMEOUT_MS);
}

async function ipOf(dockerd: Dockerd, id: string, network = 'bridge'): Promise<string> {
  const path = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
  return dockerd.docker('inspect', '--format', path, id);
}

function web(name: string) {
  return { env: { DNS_NAME: `${name}.skydns.local`, DNS_PORT: '0' } };
}

registrarTest(
  'A container with the name from the SkyDNS article has SRV and A records until it stops',
  async (fixture) => {
    const { dockerd } = fixture;
    await fixture.start({ context: { mode: 'published' } });
    const name = '1.rails.production.east';
    const env = { DNS_NAME: `${name}.skydns.local` };
    const id = await dockerd.run({ env, publish: ['8080:8080'] });
    await appears(name);
    // The TTL is at most the rest of the lease.
    const [srv = '', ...others] = await answers(name, 'SRV');
    assert.match(
      srv,
      / (?:[1-9]|[12][0-9]|30) IN SRV 10 100 8080 1\.rails\.production\.east\.skydns\.local\.$/,
    );
    assert.deepEqual(others, []);
    assert.deepEqual(await addresses(name), [dockerd.address]);
    await dockerd.docker('stop', '-t', '1', id);
    await disappears(name);
  },
);

registrarTest(
  'No lookup fails while a registrar is killed and restarted, and a container that died meanwhile disappears',
  async (fixture) => {
    const { dockerd, setup } = fixture;
    await dockerd.run(web('stays'));
    const gone = await dockerd.run(web('gone'));
    const first = await spawnRegistrar(setup);
    await Promise.all([appears('stays'), appears('gone')]);
    const client = steadyQueries('stays.skydns.local.', 200);
    await sleep(500);
    await killRegistrar(first);
    await dockerd.docker('kill', gone);
    await sleep(1_000);
    const second = await spawnRegistrar({ ...setup, instance: 'the second' });
    try {
      await disappears('gone');
      await sleep(1_000);
      assert.equal(await client.stop(), 0);
      assert.deepEqual(client.problems, []);
      assert.ok(client.sent > 300);
    } finally {
      await killRegistrar(second);
    }
  },
);

registrarTest(
  'A container that ends while dockerd is down disappears after the registrar reconnects',
  async (fixture) => {
    const { dockerd } = fixture;
    await dockerd.run(web('stays'));
    const id = await dockerd.run(web('gone'));
    const pid = Number(await dockerd.docker('inspect', '--format', '{{.State.Pid}}', id));
    const { events } = await fixture.start();
    await Promise.all([appears('stays'), appears('gone')]);
    const client = steadyQueries('stays.skydns.local.', 50);
    const before = events.filter(({ kind }) => kind === 'engineConnected').length;
    await dockerd.kill();
    process.kill(pid, 'SIGKILL');
    await sleep(1_000);
    assert.equal((await addresses('gone')).length, 1, 'the record stays while dockerd is down');
    await dockerd.start();
    const isBack = () => events.filter(({ kind }) => kind === 'engineConnected').length > before;
    await until('the registrar is connected again', isBack, TIMEOUT_MS);
    await sleep(1_000);
    assert.deepEqual(await addresses('gone'), []);
    assert.equal(await client.stop(), 0);
    assert.deepEqual(client.problems, []);
  },
);

registrarTest(
  'The registrar writes only the remaining difference after etcd was down for a minute of container churn',
  async (fixture) => {
    const { dockerd } = fixture;
    await dockerd.run(web('stays'));
    const gone = await dockerd.run(web('gone'));
    const { registrar } = await fixture.start();
    await Promise.all([appears('stays'), appears('gone')]);
    await etcd.kill();
    await dockerd.docker('rm', '-f', gone);
    const backAtMs = performance.now() + 60_000;
    while (performance.now() < backAtMs) {
      await dockerd.docker('rm', '-f', await dockerd.run(web('passing')));
      await sleep(1_000);
    }
    await dockerd.run(web('new'));
    assert.equal(registrar.readiness().isReady, false);
    assert.equal((await addresses('stays')).length, 1);
    const putsBefore = registrar.status().counters.puts;
    await etcd.restart();
    await Promise.all([appears('new'), disappears('gone')]);
    assert.deepEqual(await addresses('passing'), []);
    await until('the registrar is ready again', () => registrar.readiness().isReady, TIMEOUT_MS);
    assert.equal(registrar.status().counters.puts - putsBefore, 1);
  },
);

registrarTest(
  'The registrar replaces a lease that was revoked from outside, together with all its records',
  async (fixture) => {
    for (const name of ['a', 'b', 'c']) await fixture.dockerd.run(web(name));
    const { registrar } = await fixture.start();
    await Promise.all(['a', 'b', 'c'].map(appears));
    const { lease } = registrar.status();
    await store.revokeLease(lease?.id ?? '');
    await until('the registrar has another lease', () => {
      const now = registrar.status().lease;
      return now !== undefined && now.id !== lease?.id;
    });
    await Promise.all(['a', 'b', 'c'].map(appears));
    const { revision } = await store.get('/x');
    await sleep(2_000);
    assert.equal((await store.get('/x')).revision, revision, 'something was written afterwards');
  },
);

registrarTest(
  'The name of a dead container has no address even if a new container reuses the address at once',
  async (fixture) => {
    const { dockerd } = fixture;
    await fixture.start();
    const first = await dockerd.run(web('first'));
    await appears('first');
    const ip = await ipOf(dockerd, first);
    await dockerd.docker('kill', first);
    const second = await dockerd.run(web('second'));
    assert.equal(await ipOf(dockerd, second), ip);
    await appears('second');
    assert.deepEqual(await addresses('first'), []);
  },
);

registrarTest(
  'The standby registrar takes over from a killed one without a failed lookup',
  async (fixture) => {
    const { dockerd, setup } = fixture;
    await dockerd.run(web('stays'));
    const quick = { leaseTtlSeconds: 12 };
    const first = await spawnRegistrar({ ...setup, ...quick });
    await appears('stays');
    const { registrar } = await fixture.start(quick);
    assert.equal(registrar.status().role, 'standby');
    const client = steadyQueries('stays.skydns.local.', 100);
    await killRegistrar(first);
    await until(
      'the standby registrar is writing',
      () => registrar.status().role === 'writing',
      TIMEOUT_MS,
    );
    await dockerd.run(web('new'));
    await appears('new');
    await sleep(5_000);
    assert.equal(await client.stop(), 0);
    assert.deepEqual(client.problems, []);
  },
);

registrarTest(
  'The registrar keeps a crash-looping container out of DNS until it stays up',
  async (fixture) => {
    const { dockerd } = fixture;
    const { registrar } = await fixture.start();
    const command = [
      'sh',
      '-c',
      'n=$(cat /n 2>/dev/null || echo 0); echo $((n+1)) >/n; [ $n -gt 4 ] && exec sleep 1000; exit 1',
    ];
    await dockerd.run({ ...web('loop'), args: ['--restart', 'always'], command });
    const isHeld = () =>
      registrar
        .status()
        .containers.some(({ reason }) => reason?.startsWith('keeps dying') === true);
    await until('the registrar holds the container back', isHeld, TIMEOUT_MS);
    const heldAtMs = performance.now();
    assert.deepEqual(await addresses('loop'), []);
    await appears('loop');
    assert.ok(performance.now() - heldAtMs > 3_000);
  },
);

registrarTest('The registrar follows pause, network changes and health', async (fixture) => {
  const { dockerd } = fixture;
  await fixture.start({ context: { ...INTERNAL, networks: ['blue'] } });
  await dockerd.docker('network', 'create', 'blue');
  const id = await dockerd.run(web('web'));
  await appears('web');
  await dockerd.docker('pause', id);
  await disappears('web');
  await dockerd.docker('unpause', id);
  await appears('web');
  await dockerd.docker('network', 'connect', 'blue', id);
  const blue = await ipOf(dockerd, id, 'blue');
  await until('the name has the address on blue', async () => (await addresses('web'))[0] === blue);
  await dockerd.docker('network', 'disconnect', 'blue', id);
  const bridge = await ipOf(dockerd, id);
  await until(
    'the name has the address on the bridge',
    async () => (await addresses('web'))[0] === bridge,
  );
  const health = [
    '--health-cmd',
    'test -e /ok',
    '--health-interval',
    '200ms',
    '--health-retries',
    '1',
  ];
  const checked = await dockerd.run({ ...web('checked'), args: health });
  await sleep(500);
  assert.deepEqual(await addresses('checked'), []);
  await dockerd.docker('exec', checked, 'touch', '/ok');
  await appears('checked');
  await dockerd.docker('exec', checked, 'rm', '/ok');
  await disappears('checked');
});

registrarTest('A renamed container loses its old name and gets its new one', async (fixture) => {
  const { dockerd } = fixture;
  await fixture.start({ context: { ...INTERNAL, ...COMPAT } });
  const args = ['--expose', '80'];
  const id = await dockerd.run({ name: 'old', args, env: { SERVICE_NAME: 'web' } });
  await appears('node1-old-80.web');
  await dockerd.docker('rename', id, 'new');
  await appears('node1-new-80.web');
  await disappears('node1-old-80.web');
});

registrarTest(
  'A container in another container’s network leaves DNS when the other restarts and returns after its own restart',
  async (fixture) => {
    const { dockerd } = fixture;
    await fixture.start();
    const parent = await dockerd.run({ name: 'parent' });
    const child = await dockerd.run({ ...web('child'), network: 'container:parent' });
    await appears('child');
    assert.deepEqual(await addresses('child'), [await ipOf(dockerd, parent)]);
    await dockerd.docker('restart', '-t', '1', parent);
    await disappears('child');
    await sleep(500);
    assert.deepEqual(await addresses('child'), []);
    await dockerd.docker('restart', '-t', '1', child);
    await appears('child');
  },
);

registrarTest(
  'The registrar removes a container’s record when the container gets its stop signal and keeps it at SIGHUP',
  async (fixture) => {
    const { dockerd } = fixture;
    await fixture.start();
    const stubborn = ['sh', '-c', 'trap "" TERM HUP; while :; do sleep 1; done'];
    const id = await dockerd.run({
      ...web('web'),
      args: ['--stop-timeout', '1'],
      command: stubborn,
    });
    await appears('web');
    await dockerd.docker('kill', '--signal', 'HUP', id);
    await sleep(300);
    assert.equal((await addresses('web')).length, 1);
    await dockerd.docker('kill', '--signal', 'TERM', id);
    await disappears('web');
    assert.equal(await dockerd.docker('inspect', '--format', '{{.State.Running}}', id), 'true');
    // Longer than the container's stop timeout, which docker stop can exceed.
    await sleep(4_000);
    assert.deepEqual(await addresses('web'), []);
    await dockerd.docker('restart', '-t', '0', id);
    await appears('web');
  },
);
