/** Containers on real Docker engines that claim a name below or above a name with another holder. */
import test from 'node:test';
import { callCli } from '../support/cli.ts';
import { startCli } from '../support/cliProcess.ts';
import { startDockerd } from '../support/dockerd.ts';
import { answers, explains, type ServedDocker, useServedDocker } from '../support/servedDocker.ts';

const docker = useServedDocker();

const DB = 'db.skydns.local';
const BELOW = 'x.db.skydns.local';
const INTERNAL = { DNS_MODE: 'internal', DNS_PORT: '5432' };

/** Runs a container that claims the DNS name; returns its address. */
async function runAs({ dockerd }: Pick<ServedDocker, 'dockerd'>, name: string, dnsName: string) {
  await dockerd.run({ name, env: { DNS_NAME: dnsName, ...INTERNAL } });
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
  return dockerd.docker('inspect', '--format', format, name);
}

test(
  'A container that claims a name below another container’s name gets no clients until that container is gone',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    const victim = await runAs(served, 'victim', DB);
    await answers(served, 'A', DB, [victim]);
    const attacker = await runAs(served, 'attacker', BELOW);
    await explains(
      served,
      'attacker',
      /not in DNS: stands below db\.skydns\.local, which container [0-9a-f]{12} of this engine holds; choose a name beside it, such as x-db\.skydns\.local/,
    );
    await answers(served, 'A', DB, [victim]);
    await answers(served, 'SRV', DB, ['10 100 5432 db.skydns.local.']);
    await answers(served, 'A', BELOW, []);
    await dockerd.docker('rm', '--force', 'victim');
    await answers(served, 'A', BELOW, [attacker]);
  }),
);

test(
  'A container that claims a name above another container’s name waits until that container is gone',
  docker.options,
  docker.on(async (served) => {
    const below = await runAs(served, 'below', BELOW);
    await answers(served, 'A', BELOW, [below]);
    const above = await runAs(served, 'above', DB);
    await explains(
      served,
      'above',
      /not in DNS: would be hidden by x\.db\.skydns\.local, which container [0-9a-f]{12} of this engine holds/,
    );
    await answers(served, 'A', DB, [below]);
    await served.dockerd.docker('rm', '--force', 'below');
    await answers(served, 'A', DB, [above]);
  }),
);

test(
  'A container gets no clients of a name that was set by hand, whether it claims a name below or above it',
  docker.options,
  docker.on(async (served) => {
    const { http } = served;
    for (const name of [DB, 'a.b.skydns.local'])
      await callCli(['set', name, '--host', '192.0.2.7', '--store', http]);
    await runAs(served, 'below', BELOW);
    await runAs(served, 'above', 'b.skydns.local');
    const holder = 'which was set by hand';
    await explains(served, 'below', new RegExp(`stands below db\\.skydns\\.local, ${holder}`));
    const hidden = new RegExp(`would be hidden by a\\.b\\.skydns\\.local, ${holder}`);
    await explains(served, 'above', hidden);
    await answers(served, 'A', DB, ['192.0.2.7']);
    await answers(served, 'A', 'b.skydns.local', ['192.0.2.7']);
    for (const name of [DB, 'a.b.skydns.local']) await callCli(['rm', name, '--store', http]);
    await explains(served, 'below', /x\.db\.skydns\.local\. -> \S+ {2}in DNS/);
    await explains(served, 'above', /b\.skydns\.local\. -> \S+ {2}in DNS/);
  }),
);

test(
  'A container on another host waits for the holder of the name and takes over when the holder is gone',
  docker.options,
  docker.on(async (served) => {
    const other = await startDockerd();
    const args = ['--docker-host', other.host, '--store', served.http, '--ip', other.address];
    const registrar = startCli(['register', ...args, '--http', '127.0.0.1:0']);
    try {
      const { http } = await registrar.logged('registering');
      const victim = await runAs(served, 'victim', DB);
      await answers(served, 'A', DB, [victim]);
      const attacker = await runAs({ dockerd: other }, 'attacker', BELOW);
      await explains(
        { http: `http://${http}` },
        'attacker',
        /stands below db\.skydns\.local, which container [0-9a-f]{12} of engine \S+ holds/,
      );
      await answers(served, 'A', DB, [victim]);
      await served.dockerd.docker('rm', '--force', 'victim');
      await answers(served, 'A', BELOW, [attacker]);
      const above = await runAs(served, 'above', DB);
      await explains(served, 'above', /would be hidden by x\.db\.skydns\.local/);
      await other.docker('rm', '--force', 'attacker');
      await answers(served, 'A', DB, [above]);
    } finally {
      await registrar.end();
      await other.stop();
    }
  }),
);
