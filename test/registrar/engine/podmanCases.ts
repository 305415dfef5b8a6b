/** What must hold for containers of every Podman that the registrar follows through Podman's service. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { readContainer } from '../../../src/registrar/describe/container.ts';
import { asContainerId } from '../../../src/registrar/engine/containerId.ts';
import { connectEngine } from '../../../src/registrar/engine/dockerode.ts';
import { type CliProcess, startCli } from '../../support/cliProcess.ts';
import type { EngineTests } from '../../support/dockerTest.ts';
import { type Followed, follow } from '../../support/followed.ts';
import type { Podman } from '../../support/podman.ts';
import { startTestServer } from '../../support/server.ts';
import { until } from '../../support/until.ts';

/** Registers the tests of one Podman; `label` names it in their titles. */
export function podmanCases(label: string, engine: EngineTests<Podman>): void {
  let following: Promise<Followed> | undefined;
  after(async () => (await following?.catch(() => undefined))?.stop());

  function podmanTest(
    title: string,
    body: (podman: Podman, followed: Followed) => Promise<void>,
  ): void {
    test(
      `${label}: ${title}`,
      engine.options,
      engine.on(async (podman) => {
        following ??= follow(podman);
        await body(podman, await following);
      }),
    );
  }

  podmanTest(
    'A Podman container’s published port is in DNS until the container ends',
    async (podman, dns) => {
      const ends: readonly ((id: string) => Promise<unknown>)[] = [
        (id) => podman.podman('stop', id),
        (id) => podman.podman('kill', id),
        (id) => podman.podman('rm', '--force', '--time', '0', id),
        // The end of the container ends the exec too, so the test does not wait for the exec.
        (id) => podman.podman('exec', '--detach', id, 'kill', '-TERM', '1'),
      ];
      for (const [at, end] of ends.entries()) {
        const env = { DNS_NAME: `web${at}.skydns.local` };
        const id = await podman.run({ env, publish: [`${18080 + at}:80`] });
        await dns.addresses(`web${at}`, podman.address);
        await dns.services(`web${at}`, `${podman.address}:${18080 + at}`);
        await end(id);
        await dns.addresses(`web${at}`);
      }
    },
  );

  podmanTest('A restarted Podman container is in DNS again', async (podman, dns) => {
    const env = { DNS_NAME: 'again.skydns.local' };
    const id = await podman.run({ env, publish: ['18080:80'] });
    await dns.addresses('again', podman.address);
    await podman.podman('stop', id);
    await dns.addresses('again');
    await podman.podman('start', id);
    await dns.addresses('again', podman.address);
    await podman.podman('restart', id);
    await dns.services('again', `${podman.address}:18080`);
  });

  podmanTest(
    '-P publishes an exposed port under the number that Podman chose',
    async (podman, dns) => {
      const env = { DNS_NAME: 'random.skydns.local' };
      const id = await podman.run({ env, args: ['--expose', '8080', '-P'] });
      const port = (await podman.podman('port', id)).replace(/.*:/, '');
      await dns.services('random', `${podman.address}:${port}`);
    },
  );

  podmanTest('A Podman network’s driver is read by the id in an inspection', async (podman) => {
    const engine = connectEngine({ kind: 'unix', path: podman.socket });
    try {
      const id = await podman.run();
      const inspection = await engine.inspect(asContainerId(id));
      const [network] = readContainer(inspection ?? assert.fail('there is none')).networks;
      assert.equal(await engine.networkDriver(network?.id ?? ''), 'bridge');
      assert.equal(await engine.networkDriver('0123456789ab'), undefined);
    } finally {
      engine.close();
    }
  });

  podmanTest('A Podman container on the host network has its DNS_PORT', async (podman, dns) => {
    const env = { DNS_NAME: 'host.skydns.local', DNS_PORT: '3000' };
    await podman.run({ env, network: 'host' });
    await dns.services('host', `${podman.address}:3000`);
  });

  podmanTest(
    'A Podman container in another’s network has the ports of that container',
    async (podman, dns) => {
      const parent = await podman.run({ publish: ['18080:80'] });
      const env = { DNS_NAME: 'child.skydns.local' };
      await podman.run({ env, network: `container:${parent}` });
      await dns.services('child', `${podman.address}:18080`);
      await podman.podman('stop', parent);
      await dns.addresses('child');
    },
  );

  podmanTest('A container of a pod has the ports that the pod publishes', async (podman, dns) => {
    await podman.createPod('pod', ['18080:80']);
    const env = { DNS_NAME: 'inpod.skydns.local' };
    await podman.run({ env, args: ['--pod', 'pod'] });
    await dns.services('inpod', `${podman.address}:18080`);
    await podman.podman('pod', 'restart', 'pod');
    await dns.services('inpod', `${podman.address}:18080`);
    await podman.podman('pod', 'stop', 'pod');
    await dns.addresses('inpod');
  });

  podmanTest('A Podman container is in DNS while its health check passes', async (podman, dns) => {
    const env = { DNS_NAME: 'sane.skydns.local' };
    const check = ['--health-cmd', 'test ! -e /sick', '--health-retries', '1'];
    const args = [...check, '--health-interval', 'disable'];
    const id = await podman.run({ name: 'sane', env, publish: ['18080:80'], args });
    await untilReason(dns, 'sane', 'has not passed its HEALTHCHECK yet');
    await dns.addresses('sane');
    await podman.podman('healthcheck', 'run', id);
    await dns.addresses('sane', podman.address);
    await podman.podman('exec', id, 'touch', '/sick');
    await assert.rejects(podman.podman('healthcheck', 'run', id));
    await dns.addresses('sane');
    await podman.podman('exec', id, 'rm', '/sick');
    await podman.podman('healthcheck', 'run', id);
    await dns.addresses('sane', podman.address);
  });

  podmanTest('A paused Podman container is out of DNS until it is resumed', async (podman, dns) => {
    const env = { DNS_NAME: 'still.skydns.local' };
    const id = await podman.run({ env, publish: ['18080:80'] });
    await dns.addresses('still', podman.address);
    await podman.podman('pause', id);
    await dns.addresses('still');
    await podman.podman('unpause', id);
    await dns.addresses('still', podman.address);
  });

  podmanTest(
    'The registrar follows a Podman container that joins and leaves a network in internal mode',
    async (podman, dns) => {
      const settings = { DNS_MODE: 'internal', DNS_NETWORK: 'backend', DNS_PORT: '80' };
      const env = { DNS_NAME: 'inside.skydns.local', ...settings };
      await podman.podman('network', 'create', '--subnet', '10.99.0.0/24', 'backend');
      const id = await podman.run({ name: 'inside', env });
      await untilReason(dns, 'inside', 'is not on the network backend');
      const beganMs = performance.now();
      await podman.podman('network', 'connect', 'backend', id);
      await dns.services('inside', '10.99.0.2:80');
      await podman.podman('network', 'disconnect', 'backend', id);
      await dns.addresses('inside');
      assert.ok(performance.now() - beganMs < 15_000, 'found by the next list only');
    },
  );

  podmanTest(
    'Names stay while Podman’s service restarts, and containers that ended meanwhile disappear afterwards',
    async (podman, dns) => {
      const ids: string[] = [];
      for (const at of [0, 1]) {
        const env = { DNS_NAME: `lasting${at}.skydns.local` };
        ids.push(await podman.run({ env, publish: [`${18080 + at}:80`] }));
        await dns.addresses(`lasting${at}`, podman.address);
      }
      await podman.terminate();
      const [, ending = ''] = ids;
      await podman.podman('stop', ending);
      const env = { DNS_NAME: 'late.skydns.local' };
      await podman.run({ env, publish: ['18090:80'] });
      for (const at of [0, 1]) await dns.addresses(`lasting${at}`, podman.address);
      await podman.start();
      await dns.addresses('late', podman.address);
      await dns.addresses('lasting1');
      await dns.addresses('lasting0', podman.address);
    },
  );

  test(
    `${label}: The next list ends the records of a container that podman stop is stopping without an event`,
    engine.options,
    engine.on(async (podman) => {
      const dns = await follow(podman, '--register-reconcile', '1');
      try {
        const env = { DNS_NAME: 'slow.skydns.local' };
        const command = ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'];
        const id = await podman.run({ env, publish: ['18080:80'], command });
        await dns.addresses('slow', podman.address);
        let isStopped = false;
        const stopped = podman.podman('stop', '--time', '6', id).then(() => {
          isStopped = true;
        });
        await dns.addresses('slow');
        assert.equal(isStopped, false, 'found after it had ended only');
        await stopped;
      } finally {
        await dns.stop();
      }
    }),
  );

  test(
    `${label}: A second registrar takes over the records of a killed one, and a third one stands by`,
    engine.options,
    engine.on(async (podman) => {
      const server = await startTestServer({});
      const store = `http://${server.http?.address}:${server.http?.port}`;
      const where = ['--store', store, '--docker-host', podman.host, '--ip', podman.address];
      const line = ['register', ...where, '--http', '127.0.0.1:0'];
      const first = startCli(line);
      let second: CliProcess | undefined;
      let third: CliProcess | undefined;
      try {
        const env = { DNS_NAME: 'kept.skydns.local' };
        const id = await podman.run({ env, publish: ['18080:80'] });
        await first.logged('registered');
        await first.end('SIGKILL');
        second = startCli(line);
        assert.equal((await second.logged('the lease is held')).isAdopted, true);
        await second.logged('following docker');
        third = startCli(line);
        await third.logged('another registrar of this engine is at work');
        await podman.podman('rm', '--force', '--time', '0', id);
        const removed = await second.logged('removed');
        assert.equal(removed.id, id.slice(0, 12));
        const messages = second.lines().map(({ msg }) => msg);
        assert.ok(!messages.includes('registered'), 'what was there was written again');
      } finally {
        await first.end('SIGKILL');
        await second?.end('SIGKILL');
        await third?.end('SIGKILL');
        await server.close();
      }
    }),
  );
}

async function untilReason(dns: Followed, container: string, reason: string): Promise<void> {
  const has = async (): Promise<boolean> =>
    (await dns.reasons(container)).some((one) => one.includes(reason));
  await until(`${container} ${reason}`, has, 20_000);
}
