/** Consumers and local backends of a real Docker: addresses on several networks, deaths, restarts, refused networks. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { connectEngine } from '../../src/registrar/engine/dockerode.ts';
import { Registrar } from '../../src/registrar/registrar.ts';
import type { RegistrarHost } from '../../src/registrar/registrarHost.ts';
import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { registrarContext } from '../support/inspection.ts';
import { until } from '../support/until.ts';

const docker = useDockerd();
const TIMEOUT_MS = 30_000;
const LINK = { DNS_LINK_6379: 'redis.skydns.local' };

interface HostTest {
  readonly dockerd: Dockerd;
  readonly host: RegistrarHost;
  /** Waits until the read text is the expected one. */
  shows(read: () => string, expected: string): Promise<void>;
  /** The addresses that Docker reports, as `network address`, sorted. */
  addressesOf(id: string): Promise<string[]>;
}

/** A test whose registrar follows the file's Docker. */
function hostTest(title: string, body: (given: HostTest) => Promise<void>): void {
  test(
    title,
    docker.options,
    docker.on(async (dockerd) => {
      const engine = connectEngine({ kind: 'unix', path: dockerd.socket });
      const store = createMemoryStore();
      const registrar = new Registrar({
        engine,
        store,
        context: registrarContext(),
        readHostFacts: async () => ({ hostAddresses: { v4: dockerd.address }, ownNetworks: [] }),
        probe: async () => true,
        // So that only events bring changes.
        reconcileSeconds: 3_600,
        runId: title,
        host: 'here',
      });
      registrar.start();
      const { host } = registrar;
      // As an ambassador does: each change is read at once.
      host.onChange(() => void [host.consumers(), host.localBackends()]);
      const shows = async (read: () => string, expected: string): Promise<void> => {
        await until(expected, () => read() === expected, TIMEOUT_MS).catch(() => {});
        assert.equal(read(), expected);
      };
      const addressesOf = async (id: string): Promise<string[]> => {
        const format =
          '{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{$it.IPAddress}}\n{{end}}';
        const text = await dockerd.docker('inspect', '--format', format, id);
        return text
          .split('\n')
          .map((line) => line.trim())
          .filter((line) => line !== '')
          .sort();
      };
      try {
        await until('the registrar is ready', () => registrar.readiness().isReady, TIMEOUT_MS);
        await body({ dockerd, host, shows, addressesOf });
      } finally {
        await registrar.close({ onExit: 'revoke', lingerMs: 0 });
        engine.close();
        await store.close();
      }
    }),
  );
}

/** `app: bridge 172.17.0.2, front 172.18.0.2` for each consumer. */
function consumersIn(host: RegistrarHost): string {
  const lines = host.consumers().map(({ name, addresses }) => {
    const listed = addresses.map(({ network, address }) => `${network} ${address}`).sort();
    return `${name}: ${listed.join(', ')}`;
  });
  return lines.join('\n');
}

hostTest(
  'A consumer has its addresses on two networks, gets a third at network connect, and loses one at disconnect',
  async ({ dockerd, host, shows, addressesOf }) => {
    for (const name of ['front', 'back', 'late']) await dockerd.docker('network', 'create', name);
    const id = await dockerd.docker(
      'create',
      '--name',
      'app',
      '--network',
      'front',
      '--env',
      `DNS_LINK_6379=${LINK.DNS_LINK_6379}`,
      'bb',
      'sleep',
      '1000',
    );
    await dockerd.docker('network', 'connect', 'back', id);
    await dockerd.docker('start', id);
    const check = async (...networks: readonly string[]): Promise<void> => {
      const addresses = await addressesOf(id);
      assert.deepEqual(
        addresses.map((line) => line.replace(/ .*/, '')),
        networks,
      );
      await shows(() => consumersIn(host), `app: ${addresses.join(', ')}`);
    };
    await check('back', 'front');
    const [first] = host.consumers();
    assert.deepEqual(
      first?.addresses.map(({ family, isBridge }) => [family, isBridge]),
      [
        [4, true],
        [4, true],
      ],
    );
    assert.equal(`${first.pid}`, await dockerd.docker('inspect', '--format', '{{.State.Pid}}', id));
    await dockerd.docker('network', 'connect', 'late', id);
    await check('back', 'front', 'late');
    await dockerd.docker('network', 'disconnect', 'front', id);
    await check('back', 'late');
  },
);

hostTest(
  'A container that gets a dead consumer’s address at once never has its links',
  async ({ dockerd, host, shows, addressesOf }) => {
    await dockerd.docker('network', 'create', '--subnet', '10.79.0.0/24', 'fixed');
    const at = { network: 'fixed', args: ['--ip', '10.79.0.9'] };
    for (let trial = 0; trial < 10; trial++) {
      const app = await dockerd.run({ ...at, name: 'app', env: LINK });
      await shows(() => consumersIn(host), 'app: fixed 10.79.0.9');
      await dockerd.docker(...(trial % 2 === 0 ? ['kill', app] : ['stop', '--time', '0', app]));
      const other = await dockerd.run({ ...at, name: 'other' });
      assert.equal(consumersIn(host), '', `trial ${trial}`);
      assert.deepEqual(await addressesOf(other), ['fixed 10.79.0.9']);
      await dockerd.docker('rm', '--force', app, other);
    }
  },
);

hostTest(
  'A restarted consumer has its links again',
  async ({ dockerd, host, shows, addressesOf }) => {
    const id = await dockerd.run({ name: 'app', env: LINK });
    await shows(() => consumersIn(host), `app: ${(await addressesOf(id)).join()}`);
    const [before] = host.consumers();
    const seen: string[] = [];
    const stop = host.onChange(() => seen.push(consumersIn(host)));
    await dockerd.docker('restart', '--time', '0', id);
    await shows(
      () =>
        `${host.consumers()[0]?.startedAt !== before?.startedAt && host.consumers().length === 1}`,
      'true',
    );
    stop();
    assert.ok(seen.includes(''), 'it was gone meanwhile');
    assert.notEqual(host.consumers()[0]?.pid, before?.pid);
  },
);

hostTest(
  'Links are refused on the host, none and macvlan networks, and a joined container has its parent’s addresses',
  async ({ dockerd, host, shows, addressesOf }) => {
    const refusals = (): string =>
      host
        .consumers()
        .map(({ name, links, refusals }) => `${name}: ${links.length} ${refusals[0]?.reason}`)
        .sort()
        .join('\n');
    const onHost = (...command: string[]): void => {
      const [program, ...args] = dockerd.onHost(...command);
      execFileSync(program, args, { stdio: 'pipe' });
    };
    onHost('ip', 'link', 'add', 'mv0', 'type', 'veth', 'peer', 'name', 'mv1');
    onHost('ip', 'link', 'set', 'mv0', 'up');
    const macvlan = ['--driver', 'macvlan', '--opt', 'parent=mv0', '--subnet', '10.77.0.0/24'];
    await dockerd.docker('network', 'create', ...macvlan, 'mac1');
    for (const network of ['host', 'none', 'mac1'])
      await dockerd.run({ name: `on-${network}`, network, env: LINK });
    const why = 'needs a bridge network: the container is';
    await shows(
      refusals,
      [
        `on-host: 0 ${why} on the network host, where it has no address of its own`,
        `on-mac1: 0 ${why} only on mac1`,
        `on-none: 0 ${why} on the network none, where it has no address of its own`,
      ].join('\n'),
    );
    const parent = await dockerd.run({ name: 'parent' });
    await dockerd.run({ name: 'child', network: 'container:parent', env: LINK });
    const [address = ''] = await addressesOf(parent);
    await shows(() => consumersIn(host).split('\n').at(-1) ?? '', `child: ${address}`);
  },
);

hostTest(
  'A local backend has the container’s own port and addresses, and where the port is published',
  async ({ dockerd, host, shows, addressesOf }) => {
    await dockerd.docker('network', 'create', 'front');
    const id = await dockerd.run({
      name: 'web',
      env: {
        DNS_80_NAME: 'web',
        DNS_53_UDP_NAME: 'names',
        DNS_9000_NAME: 'own',
        DNS_9000_MODE: 'internal',
      },
      publish: ['18080:80', `${dockerd.address}:18053:53/udp`],
      args: ['--expose', '9000'],
    });
    await dockerd.docker('network', 'connect', 'front', id);
    const backends = (): string =>
      [...host.localBackends()]
        .map(([key, backend]) => {
          const name = key.replace('/skydns/local/skydns/', '');
          if (backend.kind === 'ended') return `${name} ended`;
          const { port, mode, publishedAt, addresses } = backend;
          const own = addresses.map(({ network, address }) => `${network} ${address}`).sort();
          const at = publishedAt.filter((address) => address !== '::').join();
          return `${name} ${port?.number}/${port?.protocol} ${mode} [${at}] ${own.join(', ')}`;
        })
        .sort()
        .join('\n');
    const own = (await addressesOf(id)).join(', ');
    assert.match(own, /^bridge .*, front .*$/);
    await shows(
      backends,
      [
        `names 53/udp published [${dockerd.address}] ${own}`,
        `own 9000/tcp internal [] ${own}`,
        `web 80/tcp published [0.0.0.0] ${own}`,
      ].join('\n'),
    );
    assert.equal(host.isSettled, true);
    const seen = new Set<string>();
    const stop = host.onChange(() => seen.add(backends()));
    // Without a stop signal the death is what ends the records.
    await dockerd.docker('exec', '--detach', id, 'kill', '-TERM', '1');
    await shows(backends, '');
    stop();
    assert.ok(
      [...seen].some((lines) => /^(?:\w+ ended\n?){3}$/.test(lines)),
      [...seen].join('\n--\n'),
    );
  },
);
