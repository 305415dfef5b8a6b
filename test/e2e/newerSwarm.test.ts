/** A swarm of one node on dockerd 28 or newer: tasks have names by their service and slot. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { type Followed, follow } from '../support/followed.ts';
import { provideNewerDebian } from '../support/newerDebian.ts';

const debian = provideNewerDebian();
const docker =
  debian.kind === 'there' ? useDockerd({ root: debian.root }) : useDockerd({}, debian.reason);

let following: Promise<Followed> | undefined;
after(async () => (await following?.catch(() => undefined))?.stop());

async function followSwarm(dockerd: Dockerd): Promise<Followed> {
  await dockerd.docker('swarm', 'init', '--advertise-addr', dockerd.address);
  return follow(dockerd);
}

/** Waits until as many tasks run as were asked for. */
async function withService(
  dockerd: Dockerd,
  name: string,
  options: readonly string[],
  body: (dns: Followed) => Promise<void>,
): Promise<void> {
  const local = ['--no-resolve-image', '--detach=false', '--quiet', '--stop-grace-period', '1s'];
  const args = ['service', 'create', '--name', name, ...local, '--env', 'DNS_ENABLE=true'];
  following ??= followSwarm(dockerd);
  const dns = await following;
  await dockerd.docker(...args, ...options, 'bb', 'sleep', '1000');
  try {
    await body(dns);
  } finally {
    await dockerd.docker('service', 'rm', name);
  }
}

/** The ports that the tasks of a service publish on the host. */
async function portsOf(dockerd: Dockerd, service: string): Promise<string[]> {
  const filter = ['--filter', `label=com.docker.swarm.service.name=${service}`];
  const ids = (await dockerd.docker('ps', '--quiet', ...filter)).split('\n');
  const published = await Promise.all(ids.map((id) => dockerd.docker('port', id)));
  return published.map((text) => (text.split('\n')[0] ?? '').replace(/.*:/, ''));
}

test(
  'tasks that publish in host mode have the ports of their host, by slot, also after an update',
  docker.options,
  docker.on((dockerd) =>
    withService(
      dockerd,
      'shost',
      ['--replicas', '2', '--publish', 'mode=host,target=80'],
      async (dns) => {
        const check = async (): Promise<void> => {
          const ports = await portsOf(dockerd, 'shost');
          await dns.services('shost', ...ports.map((port) => `${dockerd.address}:${port}`));
          for (const slot of [1, 2]) await dns.addresses(`${slot}.shost`, dockerd.address);
        };
        await check();
        const before = await portsOf(dockerd, 'shost');
        await dockerd.docker('service', 'update', '--force', '--quiet', 'shost');
        assert.notDeepEqual(await portsOf(dockerd, 'shost'), before);
        await check();
      },
    ),
  ),
);

test(
  'a task of a global service has the name of its node',
  docker.options,
  docker.on((dockerd) =>
    withService(
      dockerd,
      'everywhere',
      ['--mode', 'global', '--publish', 'mode=host,target=80'],
      async (dns) => {
        const node = await dockerd.docker('node', 'ls', '--quiet');
        const [port = ''] = await portsOf(dockerd, 'everywhere');
        await dns.services(`${node}.everywhere`, `${dockerd.address}:${port}`);
      },
    ),
  ),
);

test(
  'tasks on an overlay network have their own addresses there, until the service is scaled down',
  docker.options,
  docker.on(async (dockerd) => {
    following ??= followSwarm(dockerd);
    await following;
    const overlay = ['--driver', 'overlay', '--subnet', '10.98.0.0/24'];
    await dockerd.docker('network', 'create', ...overlay, 'between');
    const internal = ['--env', 'DNS_MODE=internal', '--env', 'DNS_PORT=80'];
    const options = ['--replicas', '3', '--network', 'between', ...internal];
    await withService(dockerd, 'inside', options, async (dns) => {
      const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}';
      const addresses = async (): Promise<string[]> => {
        const ids = (await dockerd.docker('ps', '--quiet')).split('\n');
        return (await dockerd.docker('inspect', '--format', format, ...ids)).split(/\s+/);
      };
      const all = await addresses();
      assert.equal(all.length, 3);
      for (const address of all) assert.match(address, /^10\.98\.0\./);
      await dns.addresses('inside', ...all);
      await dockerd.docker('service', 'scale', '--detach=false', 'inside=1');
      await dns.addresses('2.inside');
      await dns.addresses('3.inside');
      await dns.addresses('inside', ...(await addresses()));
    });
  }),
);
