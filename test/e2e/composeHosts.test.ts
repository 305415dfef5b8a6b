/** The same Compose project on two real Docker hosts that share a store. */
import test from 'node:test';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { answers, explains } from '../support/servedDocker.ts';

const docker = useDockerd();
const API = 'api.my-app.skydns.local';

/** Runs the first container of the service with the labels that `docker compose up` sets. */
function up(dockerd: Dockerd, port: string): Promise<string> {
  const compose = 'com.docker.compose';
  const labels = {
    [`${compose}.project`]: 'my_app',
    [`${compose}.service`]: 'api',
    [`${compose}.container-number`]: '1',
    'dns.service': 'api',
  };
  return dockerd.run({ name: 'my_app-api-1', labels, publish: [port] });
}

test(
  'The server answers for the replicas of one Compose project on both hosts, and they keep their instance numbers',
  docker.options,
  docker.on(async (a) => {
    const b = await startDockerd();
    const processes: CliProcess[] = [];
    const start = (...args: string[]): CliProcess => {
      const child = startCli(args);
      processes.push(child);
      return child;
    };
    try {
      const server = start(
        ...['serve', '--store', 'memory:', '--addr', `${a.gateway}:53`, '--http', '127.0.0.1:0'],
        ...['--no-rec', '--register', '--register-docker-host', a.host, '--register-ip', a.address],
      );
      const { http } = await server.logged('serving');
      const served = { dns: { address: a.gateway, port: 53 }, http: `http://${http}` };
      const other = start(
        ...['register', '--store', `http://${http}`, '--http', '127.0.0.1:0'],
        ...['--docker-host', b.host, '--ip', b.address],
      );
      const pages = { http: `http://${(await other.logged('registering')).http}` };
      for (const child of processes) await child.logged('following docker');

      await up(a, '18001:80');
      await answers(served, 'A', API, [a.address]);
      await up(b, '18002:80');
      const both = [`10 50 18001 1.${API}.`, `10 50 18002 2.${API}.`];
      await answers(served, 'SRV', API, both);
      await answers(served, 'A', `2.${API}`, [b.address]);
      await explains(
        pages,
        'my_app-api-1',
        /1 of 1 records in DNS\n {2}2\.api\.my-app\.skydns\.local\. /,
      );
      await b.docker('restart', '--time', '0', 'my_app-api-1');
      await answers(served, 'SRV', API, both);
      await a.docker('rm', '--force', 'my_app-api-1');
      await answers(served, 'SRV', API, [`10 100 18002 2.${API}.`]);
      await up(a, '18001:80');
      await answers(served, 'SRV', API, both);
    } finally {
      await Promise.all(processes.map((child) => child.end('SIGKILL')));
      await b.stop();
    }
  }),
);
