/** A swarm of one node on dockerd 28 or newer: the registrar names tasks by their service and by their slot or node. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { SLEEP } from '../support/engineCommands.ts';
import { type Followed, follow } from '../support/followed.ts';
import { provideNewerDebian } from '../support/newerDebian.ts';
import { until } from '../support/until.ts';

const debian = provideNewerDebian();
const docker =
  debian.kind === 'there' ? useDockerd({ root: debian.root }) : useDockerd({}, debian.reason);

const TIMEOUT_MS = 60_000;

let following: Promise<Followed> | undefined;
after(async () => (await following?.catch(() => undefined))?.stop());

async function followSwarm(dockerd: Dockerd): Promise<Followed> {
  await dockerd.docker('swarm', 'init', '--advertise-addr', dockerd.address);
  return follow(dockerd);
}

/** Starts the service, runs the body, and removes the service. */
async function withService(
  dockerd: Dockerd,
  name: string,
  options: readonly string[],
  body: (dns: Followed) => Promise<void>,
): Promise<void> {
  following ??= followSwarm(dockerd);
  const dns = await following;
  const local = ['--no-resolve-image', '--detach', '--quiet'];
  const args = ['service', 'create', '--name', name, ...local, '--env', 'DNS_ENABLE=true'];
  await dockerd.docker(...args, ...options, 'bb', ...SLEEP);
  try {
    await body(dns);
  } finally {
    await dockerd.docker('service', 'rm', name);
    const areGone = async () => (await dockerd.docker('ps', '--all', '--quiet')) === '';
    await until(`the tasks of ${name} are gone`, areGone, TIMEOUT_MS);
  }
}

/** Waits until `count` tasks of the service run, without those in `before`; returns the ids of their containers. */
async function tasks(
  dockerd: Dockerd,
  service: string,
  count: number,
  before: readonly string[] = [],
): Promise<readonly string[]> {
  const filter = ['--filter', `label=com.docker.swarm.service.name=${service}`];
  let ids: readonly string[] = [];
  const areThere = async (): Promise<boolean> => {
    ids = (await dockerd.docker('ps', '--quiet', ...filter)).split('\n').filter((id) => id !== '');
    return ids.length === count && !ids.some((id) => before.includes(id));
  };
  await until(`${count} tasks of ${service} run`, areThere, TIMEOUT_MS);
  return ids;
}

/** Returns `ADDRESS:PORT` on the host for each container. */
async function published(dockerd: Dockerd, ids: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(ids.map((id) => dockerd.docker('port', id)));
  return texts.map(
    (text) => `${dockerd.address}:${(text.split('\n')[0] ?? '').replace(/.*:/, '')}`,
  );
}

test(
  'Swarm tasks that publish in host mode have their host’s ports under the names of their slots, even after an update',
  docker.options,
  docker.on((dockerd) =>
    withService(
      dockerd,
      'shost',
      ['--replicas', '2', '--publish', 'mode=host,target=80'],
      async (dns) => {
        const first = await tasks(dockerd, 'shost', 2);
        await dns.services('shost', ...(await published(dockerd, first)));
        for (const slot of [1, 2]) await dns.addresses(`${slot}.shost`, dockerd.address);
        await dockerd.docker('service', 'update', '--detach', '--force', '--quiet', 'shost');
        const second = await tasks(dockerd, 'shost', 2, first);
        await dns.services('shost', ...(await published(dockerd, second)));
        for (const slot of [1, 2]) await dns.addresses(`${slot}.shost`, dockerd.address);
      },
    ),
  ),
);

test(
  'The registrar names a task of a global swarm service by its node',
  docker.options,
  docker.on((dockerd) =>
    withService(
      dockerd,
      'everywhere',
      ['--mode', 'global', '--publish', 'mode=host,target=80'],
      async (dns) => {
        const node = await dockerd.docker('node', 'ls', '--quiet');
        const [endpoint = ''] = await published(dockerd, await tasks(dockerd, 'everywhere', 1));
        await dns.services(`${node}.everywhere`, endpoint);
      },
    ),
  ),
);

test(
  'Swarm tasks on an overlay network have their addresses there in DNS until the service is scaled down',
  docker.options,
  docker.on(async (dockerd) => {
    following ??= followSwarm(dockerd);
    await following;
    const overlay = ['--driver', 'overlay', '--subnet', '10.98.0.0/24'];
    await dockerd.docker('network', 'create', ...overlay, 'between');
    const internal = ['--env', 'DNS_MODE=internal', '--env', 'DNS_PORT=80'];
    const options = ['--replicas', '3', '--network', 'between', ...internal];
    await withService(dockerd, 'inside', options, async (dns) => {
      const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
      const addresses = async (ids: readonly string[]): Promise<string[]> =>
        (await dockerd.docker('inspect', '--format', format, ...ids)).split('\n');
      const all = await addresses(await tasks(dockerd, 'inside', 3));
      for (const address of all) assert.match(address, /^10\.98\.0\./);
      await dns.addresses('inside', ...all);
      await dockerd.docker('service', 'scale', '--detach', 'inside=1');
      const [left = ''] = await addresses(await tasks(dockerd, 'inside', 1));
      await dns.addresses('inside', left);
      for (const slot of [2, 3]) await dns.addresses(`${slot}.inside`);
    });
  }),
);
