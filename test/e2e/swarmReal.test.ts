/** Tasks of a real swarm: their explanations and their draining. */
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  answers,
  data,
  explains,
  isEverAnswered,
  SLOW_TO_STOP,
  TIMEOUT_MS,
  useServedDocker,
} from '../support/servedDocker.ts';
import { until } from '../support/until.ts';

const docker = useServedDocker();

test(
  'explain gives the fix for a swarm’s routing mesh and service labels, and a stopping task stays out of DNS until it ends',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    await dockerd.docker('swarm', 'init', '--advertise-addr', dockerd.address);
    const create = (name: string, ...args: string[]) =>
      dockerd.docker(
        ...['service', 'create', '--detach', '--no-resolve-image', '--name', name],
        ...args,
        ...['bb', ...SLOW_TO_STOP],
      );
    const task = async (name: string): Promise<string> => {
      let id = '';
      const runs = async (): Promise<boolean> => {
        id = await dockerd.docker('ps', '--quiet', '--filter', `name=^${name}\\.1\\.`);
        return id !== '';
      };
      // Swarm first tries to resolve the image in a registry, which fails.
      await until(`${name} runs`, runs, 2 * TIMEOUT_MS);
      return id;
    };
    try {
      await dockerd.docker('network', 'create', '--driver', 'overlay', 'ov1');
      const internal = ['--network', 'ov1', '--env', 'DNS_MODE=internal', '--env', 'DNS_PORT=8080'];
      const grace = ['--stop-grace-period', '14s'];
      await Promise.all([
        create('mesh', '--publish', '18701:8080', '--env', 'DNS_NAME=mesh.skydns.local'),
        create('labels', '--label', 'dns.name=labels.skydns.local'),
        create('sint', '--container-label', 'dns.service=sint', ...internal, ...grace),
      ]);
      await explains(
        served,
        await task('mesh'),
        /is published by swarm's routing mesh only.*: publish with mode=host, or attach an overlay network and set DNS_MODE=internal/,
      );
      await explains(
        served,
        await task('labels'),
        /it has no metadata\n[\s\S]*hint: labels of a swarm service \(--label, deploy\.labels\)/,
      );
      const name = '1.sint.skydns.local';
      const id = await task('sint');
      await until('the task is in DNS', async () => (await data(served, 'A', name)).length === 1);
      await dockerd.docker('service', 'scale', '--detach', 'sint=0');
      await answers(served, 'A', name, []);
      const ended = until(
        'the task has ended',
        async () =>
          (await dockerd.docker('inspect', '--format', '{{.State.Running}}', id)) !== 'true',
        TIMEOUT_MS,
      );
      assert.equal(await isEverAnswered(served, name, ended), false);
    } finally {
      await dockerd.docker('swarm', 'leave', '--force');
    }
  }),
);
