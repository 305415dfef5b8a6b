/** The engine client on a real daemon: the order of its events, a read-only proxy, a daemon that is killed. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import test from 'node:test';
import { asContainerId } from '../../src/registrar/engine/containerId.ts';
import { connectEngine } from '../../src/registrar/engine/dockerode.ts';
import { type Engine, EngineError, type EngineEvent } from '../../src/registrar/engine/engine.ts';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { startSocketProxy } from '../support/socketProxy.ts';
import { until } from '../support/until.ts';

const docker = useDockerd({ liveRestore: true });
const SOME_TIME_MS = 30_000;

interface Watch {
  readonly engine: Engine;
  /** All events so far, each as `action` or `network action`. A kill has its signal. */
  actions(id?: string): string[];
  /** Waits until the container's actions, from the first one, are these. */
  sees(id: string, expected: readonly string[]): Promise<void>;
}

/** Runs the body with an engine whose events are read meanwhile. */
async function watching(dockerd: Dockerd, body: (watch: Watch) => Promise<void>): Promise<void> {
  const engine = connectEngine({ kind: 'unix', path: dockerd.socket });
  const events: EngineEvent[] = [];
  const stream = engine.events(undefined, new AbortController().signal);
  await stream.opened;
  const reading = (async () => {
    for await (const event of stream) events.push(event);
  })();
  const actions = (id?: string): string[] =>
    events
      .filter(({ containerId }) => id === undefined || containerId === id)
      .map(({ action, signal }) => (signal === undefined ? action : `${action} ${signal}`));
  const sees = async (id: string, expected: readonly string[]): Promise<void> => {
    const got = (): string[] => actions(id).slice(0, expected.length);
    await until(`${expected} came`, () => got().length === expected.length, SOME_TIME_MS).catch(
      () => {},
    );
    assert.deepEqual(got(), expected);
  };
  try {
    await body({ engine, actions, sees });
  } finally {
    engine.close();
    await reading;
  }
}

test(
  'Docker sends events of run, HUP, pause, rename, networks, stop and rm',
  docker.options,
  docker.on((dockerd) =>
    watching(dockerd, async ({ sees }) => {
      const id = await dockerd.run({ name: 'web' });
      await dockerd.docker('network', 'create', 'extra');
      await dockerd.docker('kill', '--signal', 'HUP', id);
      await dockerd.docker('pause', id);
      await dockerd.docker('unpause', id);
      await dockerd.docker('rename', id, 'other');
      await dockerd.docker('network', 'connect', 'extra', id);
      const all = ['connect', 'start', 'kill 1', 'pause', 'unpause', 'rename', 'connect'];
      await sees(id, all);
      await dockerd.docker('stop', id);
      // Docker may leave the two networks in any order.
      const stopped = [...all, 'kill 15', 'die', 'disconnect', 'disconnect'];
      await sees(id, stopped);
      await dockerd.docker('rm', id);
      await sees(id, [...stopped, 'destroy']);
    }),
  ),
);

test(
  'A restart in Docker sends kill, die, disconnect, connect and start',
  docker.options,
  docker.on((dockerd) =>
    watching(dockerd, async ({ sees }) => {
      const id = await dockerd.run();
      await dockerd.docker('restart', id);
      const second = ['kill 15', 'die', 'disconnect', 'connect', 'start'];
      await sees(id, ['connect', 'start', ...second]);
    }),
  ),
);

test(
  'Docker sends an image’s stop signal as a number and kills a container that ignores it',
  docker.options,
  docker.on((dockerd) =>
    watching(dockerd, async ({ sees }) => {
      const args = ['--stop-signal', 'QUIT'];
      const id = await dockerd.run({ args, command: ['sleep', '1000'] });
      await dockerd.docker('stop', '--time', '1', id);
      await sees(id, ['connect', 'start', 'kill 3', 'kill 9', 'die', 'disconnect']);
    }),
  ),
);

test(
  'Docker sends a health event when the health changes and not at each probe',
  docker.options,
  docker.on((dockerd) =>
    watching(dockerd, async ({ engine, actions, sees }) => {
      const probe = ['--health-cmd', 'test ! -e /sick', '--health-interval', '100ms'];
      const id = await dockerd.run({ args: [...probe, '--health-retries', '1'] });
      const health = async (): Promise<string | undefined> =>
        (await engine.inspect(asContainerId(id)))?.State?.Health?.Status;
      await sees(id, ['connect', 'start', 'health_status: healthy']);
      assert.equal(await health(), 'healthy');
      await dockerd.docker('exec', id, 'touch', '/sick');
      await sees(id, [...actions(id).slice(0, 3), 'health_status: unhealthy']);
      assert.equal(await health(), 'unhealthy');
      assert.ok((await engine.list())[0]?.fingerprint.includes('unhealthy'));
    }),
  ),
);

test(
  'A container’s label cannot change the kind of an event',
  docker.options,
  docker.on((dockerd) =>
    watching(dockerd, async ({ engine, sees }) => {
      const labels = {
        timeNano: '1',
        name: 'x',
        container: 'y',
        '"timeNano":5,"a': '日本\n\u0001',
      };
      const id = await dockerd.run({ labels });
      await sees(id, ['connect', 'start']);
      assert.deepEqual((await engine.inspect(asContainerId(id)))?.Config?.Labels, labels);
    }),
  ),
);

test(
  'Docker’s list and inspections have every field that the registrar reads',
  docker.options,
  docker.on((dockerd) =>
    watching(dockerd, async ({ engine }) => {
      const env = { DNS_NAME: '1.rails.skydns.local', EMPTY: '' };
      const id = await dockerd.run({
        name: 'web',
        env,
        publish: ['18080:80', '127.0.0.1::53/udp'],
      });
      const gone = await dockerd.run();
      await dockerd.docker('rm', '--force', gone);
      assert.deepEqual(
        (await engine.list()).map((listed) => [listed.id, listed.state]),
        [[id, 'running']],
      );
      assert.equal(await engine.inspect(asContainerId(gone)), undefined);
      const web = await engine.inspect(asContainerId(id));
      assert.equal(web?.Name, '/web');
      assert.equal(web.State?.Running, true);
      assert.ok(web.Config?.Env?.includes('DNS_NAME=1.rails.skydns.local'));
      assert.equal(web.NetworkSettings?.Ports?.['80/tcp']?.[0]?.HostPort, '18080');
      assert.equal(web.NetworkSettings?.Ports?.['53/udp']?.[0]?.HostIp, '127.0.0.1');
      assert.match(web.NetworkSettings?.Networks?.bridge?.IPAddress ?? '', /^172\./);
      const info = await engine.info();
      assert.equal(info.id, await dockerd.docker('info', '--format', '{{.ID}}'));
      assert.equal(info.nodeAddress, undefined);
    }),
  ),
);

test(
  'The fingerprint of a real container changes with a restart, a network and a name',
  docker.options,
  docker.on((dockerd) =>
    watching(dockerd, async ({ engine }) => {
      const id = await dockerd.run({ publish: ['80'] });
      await dockerd.docker('network', 'create', 'extra');
      const fingerprint = async (): Promise<string | undefined> =>
        (await engine.list())[0]?.fingerprint;
      let before = await fingerprint();
      assert.equal(await fingerprint(), before);
      const changes = [
        ['restart', id],
        ['network', 'connect', 'extra', id],
        ['rename', id, 'other'],
        ['pause', id],
      ];
      for (const change of changes) {
        await dockerd.docker(...change);
        const after = await fingerprint();
        assert.notEqual(after, before, change.join(' '));
        before = after;
      }
      await dockerd.docker('unpause', id);
    }),
  ),
);

test(
  'Docker replays the events since a time',
  docker.options,
  docker.on(async (dockerd) => {
    const engine = connectEngine({ kind: 'unix', path: dockerd.socket });
    const next = async (
      since: string | undefined,
      act: () => Promise<unknown>,
    ): Promise<EngineEvent> => {
      const stream = engine.events(since, new AbortController().signal);
      await stream.opened;
      await act();
      for await (const event of stream) if (event.action === 'start') return event;
      throw new Error('no start');
    };
    const first = await next(undefined, () => dockerd.run());
    const again = await next(first.timeNano, async () => {});
    assert.deepEqual(again, first);
    engine.close();
  }),
);

test(
  'The engine client works behind a proxy that allows only GET',
  docker.options,
  docker.on(async (dockerd) => {
    const proxy = await startSocketProxy(dockerd.socket);
    const engine = connectEngine({
      kind: 'tcp',
      host: '127.0.0.1',
      port: proxy.port,
      tls: undefined,
    });
    const stream = engine.events(undefined, new AbortController().signal);
    try {
      await stream.opened;
      const id = await dockerd.run();
      await engine.ping();
      assert.notEqual((await engine.info()).id, '');
      assert.equal((await engine.list())[0]?.id, id);
      assert.equal((await engine.inspect(asContainerId(id)))?.Id, id);
      for await (const event of stream) if (event.action === 'start') break;
      const asked = ['/events', '/_ping', '/info', '/containers/json', `/containers/${id}/json`];
      assert.deepEqual(
        proxy.requests,
        asked.map((path) => `GET ${path}`),
      );
      assert.equal(proxy.refused, 0);
    } finally {
      engine.close();
      await proxy.close();
    }
  }),
);

test(
  'A killed dockerd is unreachable, and after its restart lists the containers that kept running',
  docker.options,
  docker.on(async (dockerd) => {
    const engine = connectEngine({ kind: 'unix', path: dockerd.socket });
    const stream = engine.events(undefined, new AbortController().signal);
    const isUnreachable = (error: unknown): boolean =>
      error instanceof EngineError && error.code === 'unreachable';
    await stream.opened;
    const [stays, ends] = [await dockerd.run(), await dockerd.run()];
    const { id: engineId } = await engine.info();
    const pid = await dockerd.docker('inspect', '--format', '{{.State.Pid}}', ends);
    await dockerd.kill();
    await assert.rejects(async () => {
      for await (const _ of stream);
    }, isUnreachable);
    await assert.rejects(engine.list(), isUnreachable);
    process.kill(Number(pid), 'SIGKILL');
    await dockerd.start();
    await until('the dead one is no longer listed', async () =>
      (await engine.list()).every(({ id }) => id !== ends),
    );
    assert.deepEqual(
      (await engine.list()).map(({ id }) => id),
      [stays],
    );
    assert.equal((await engine.info()).id, engineId);
    engine.close();
  }),
);

test(
  'The default bridge has another id after each start of dockerd unless containers outlive it',
  docker.options,
  docker.on(async (dockerd) => {
    const engine = connectEngine({ kind: 'unix', path: dockerd.socket });
    const restarted = async (): Promise<string | undefined> => {
      await dockerd.terminate();
      await dockerd.start();
      return (await engine.defaultBridge())?.id;
    };
    const first = (await engine.defaultBridge())?.id;
    assert.match(first ?? '', /^[0-9a-f]{64}$/);
    const second = await restarted();
    assert.notEqual(second, first);
    await dockerd.run();
    assert.equal(await restarted(), second);
    engine.close();
  }),
);

test(
  'The engine client detects a frozen dockerd that keeps its connections',
  docker.options,
  docker.on(async (dockerd) => {
    const times = { callTimeoutMs: 300, pingEveryMs: 100 };
    const engine = connectEngine({ kind: 'unix', path: dockerd.socket }, times);
    const stream = engine.events(undefined, new AbortController().signal);
    await stream.opened;
    dockerd.freeze();
    await assert.rejects(async () => {
      for await (const _ of stream);
    }, /ping: no answer within 300 ms/);
    dockerd.thaw();
    await until('it answers again', () =>
      engine.ping().then(
        () => true,
        () => false,
      ),
    );
    engine.close();
  }),
);

test(
  'The test reaches published ports, and containers reach the test',
  docker.options,
  docker.on(async (dockerd) => {
    await dockerd.run({ publish: ['18080:80'], command: ['httpd', '-f', '-p', '80'] });
    await until('the server answers', () =>
      fetch(`http://${dockerd.address}:18080/`).then(
        (answer) => answer.status === 404,
        () => false,
      ),
    );
    const server = createServer((_request, response) => response.end('from the test'));
    await new Promise<void>((resolve) => server.listen(0, dockerd.gateway, resolve));
    try {
      const { port } = server.address() as { port: number };
      const url = `http://${dockerd.gateway}:${port}/`;
      assert.equal(await dockerd.docker('run', '--rm', 'bb', 'wget', '-qO-', url), 'from the test');
    } finally {
      server.close();
    }
  }),
);
