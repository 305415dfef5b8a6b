/**
 * A real Docker container that receives its stop signal leaves DNS until it starts again or has survived the signal.
 */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { startCli } from '../support/cliProcess.ts';
import { startFollowing } from '../support/followed.ts';
import {
  answers,
  explains,
  isEverAnswered,
  run,
  SLOW_TO_STOP,
  useServedDocker,
} from '../support/servedDocker.ts';

const docker = useServedDocker();

test(
  'A container with a stop timeout of 1 s stays out of DNS during docker stop -t 8 and returns when it starts',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    const args = ['--stop-timeout', '1'];
    await run(served, 'slow', { publish: ['18201:8080'], args, command: SLOW_TO_STOP });
    await answers(served, 'A', 'slow.skydns.local', [dockerd.address]);
    const stopping = dockerd.docker('stop', '--time', '8', 'slow');
    await answers(served, 'A', 'slow.skydns.local', []);
    await explains(
      served,
      'slow',
      /no records: it is being stopped; it comes back if it still runs/,
    );
    assert.equal(await isEverAnswered(served, 'slow.skydns.local', stopping), false);
    await dockerd.docker('start', 'slow');
    await answers(served, 'A', 'slow.skydns.local', [dockerd.address]);
  }),
);

test(
  'A registrar that starts during docker stop keeps the container out of DNS, even behind dockerproxy',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    await run(served, 'going', { publish: ['18205:8080'], command: SLOW_TO_STOP });
    await run(served, 'staying', { publish: ['18206:8080'], command: SLOW_TO_STOP });
    await answers(served, 'A', 'going.skydns.local', [dockerd.address]);
    const path = join(dirname(dockerd.socket), 'proxy.sock');
    const proxy = startCli(['dockerproxy', '--docker-host', dockerd.host, '--listen', path]);
    await proxy.logged('proxy started');
    const stopping = dockerd.docker('stop', '--time', '12', 'going');
    await answers(served, 'A', 'going.skydns.local', []);
    const engines = [dockerd, { host: `unix://${path}`, address: dockerd.address }];
    const others = await Promise.all(engines.map((engine) => startFollowing(engine)));
    try {
      const checks = others.map(async (other) => {
        await answers(other, 'A', 'staying.skydns.local', [dockerd.address]);
        assert.equal(await isEverAnswered(other, 'going.skydns.local', stopping), false);
      });
      await Promise.all(checks);
    } finally {
      await Promise.all([proxy, ...others.map(({ server }) => server)].map((each) => each.end()));
    }
  }),
);

test(
  'A container that survives SIGTERM returns to DNS after a passing HEALTHCHECK or after its DNS_STOP_TIMEOUT',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    const check = ['--health-cmd', 'true', '--health-interval', '1s', '--stop-timeout', '1'];
    await run(served, 'checked', { publish: ['18202:80'], args: check, command: SLOW_TO_STOP });
    await run(served, 'timed', {
      publish: ['18203:80'],
      env: { DNS_STOP_TIMEOUT: '3' },
      command: SLOW_TO_STOP,
    });
    await run(served, 'silent', { publish: ['18204:80'], command: SLOW_TO_STOP });
    const names = ['checked', 'timed', 'silent'];
    for (const name of names) await answers(served, 'A', `${name}.skydns.local`, [dockerd.address]);
    await dockerd.docker('kill', '--signal', 'HUP', ...names);
    for (const name of names) await answers(served, 'A', `${name}.skydns.local`, [dockerd.address]);
    for (const name of names) {
      await dockerd.docker('kill', '--signal', 'TERM', name);
      await answers(served, 'A', `${name}.skydns.local`, []);
      if (name !== 'silent') await answers(served, 'A', `${name}.skydns.local`, [dockerd.address]);
    }
    // Longer than Docker's default stop timeout.
    const later = new Promise((resolve) => setTimeout(resolve, 13_000));
    assert.equal(await isEverAnswered(served, 'silent.skydns.local', later), false);
    await dockerd.docker('restart', '--time', '0', 'silent');
    await answers(served, 'A', 'silent.skydns.local', [dockerd.address]);
  }),
);
