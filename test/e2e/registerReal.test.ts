/** Containers of a real Docker engine resolve each other by the names that their metadata gives them. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { SocketAddress } from '../../src/dns/address.ts';
import { spawnCli } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { startEtcd } from '../support/etcd.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/until.ts';

const docker = useDockerd();
const TIMEOUT_MS = 20_000;
const NAME = '1.rails.production.east.skydns.local';

/** `soradns serve --register` on the bridge's address at port 53, where `docker run --dns` reaches it. */
interface Running {
  readonly dockerd: Dockerd;
  readonly dns: SocketAddress;
  readonly http: string;
}

let server: CliProcess | undefined;
let serving: Promise<Running> | undefined;

after(() => server?.end());

function onServer(body: (running: Running) => Promise<void>) {
  return docker.on(async (dockerd) => {
    serving ??= serve(dockerd);
    await body(await serving);
  });
}

async function serve(dockerd: Dockerd): Promise<Running> {
  const own = ['--addr', `${dockerd.gateway}:53`, '--http', '127.0.0.1:0', '--no-rec'];
  const registrar = ['--register', '--register-docker-host', dockerd.host];
  const defaults = ['--register-environment', 'production', '--register-region', 'east'];
  const address = ['--register-ip', dockerd.address];
  server = startCli(['serve', '--store', 'memory:', ...own, ...registrar, ...address, ...defaults]);
  const { http } = await server.logged('serving');
  await server.logged('following docker');
  return { dockerd, dns: { address: dockerd.gateway, port: 53 }, http: `http://${http}` };
}

/** Queries until the answer, sorted and without TTLs, is as expected. */
async function answers(dns: SocketAddress, question: string[], expected: string[]): Promise<void> {
  let got: string[] = [];
  const isSo = async () => {
    const { answer } = await dig(dns, ...question);
    got = answer.map((line) => line.replace(/ \d+ IN /, ' ')).sort();
    return JSON.stringify(got) === JSON.stringify(expected);
  };
  await until(`${question.join(' ')} is answered`, isSo, TIMEOUT_MS).catch(() => {});
  assert.deepEqual(got, expected);
}

test(
  'A container started with -e DNS_NAME and -p 8080:8080 has SRV and A records until it is stopped',
  docker.options,
  onServer(async ({ dockerd, dns }) => {
    const id = await dockerd.run({ env: { DNS_NAME: NAME }, publish: ['8080:8080'] });
    await answers(dns, ['SRV', NAME], [`${NAME}. SRV 10 100 8080 ${NAME}.`]);
    await answers(dns, ['A', NAME], [`${NAME}. A ${dockerd.address}`]);
    const { answer } = await dig(dns, 'A', NAME);
    assert.match(answer[0] ?? '', / (?:[12]?\d|30) IN A /); // at most the rest of the lease
    await dockerd.docker('stop', id);
    await answers(dns, ['A', NAME], []);
    assert.equal((await dig(dns, 'A', NAME)).status, 'NXDOMAIN');
  }),
);

test(
  'Labels, name parts and automatic instance numbers name containers too',
  docker.options,
  onServer(async ({ dockerd, dns }) => {
    const labels = { 'dns.name': 'cache.skydns.local', 'dns.weight': '7' };
    await dockerd.run({ labels, publish: ['6379:6379'] });
    const parts = { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' };
    await dockerd.run({ env: parts, publish: ['8081:80'] });
    await dockerd.run({ env: parts, publish: ['8082:80'] });
    await answers(
      dns,
      ['SRV', 'cache.skydns.local'],
      ['cache.skydns.local. SRV 10 100 6379 cache.skydns.local.'],
    );
    const web = 'web.production.east.skydns.local';
    await answers(
      dns,
      ['SRV', web],
      [`${web}. SRV 10 50 8081 1.${web}.`, `${web}. SRV 10 50 8082 2.${web}.`],
    );
  }),
);

test(
  'A container resolves another one by name through docker run --dns and reaches it',
  docker.options,
  onServer(async ({ dockerd, dns }) => {
    const script = 'echo hello from rails > /tmp/index.html && exec httpd -f -p 8080 -h /tmp';
    const env = { DNS_NAME: NAME };
    await dockerd.run({ env, publish: ['8080:8080'], command: ['sh', '-c', script] });
    await answers(dns, ['A', NAME], [`${NAME}. A ${dockerd.address}`]);
    await dockerd.docker('network', 'create', 'backend');
    for (const network of ['bridge', 'backend']) {
      const inside = ['run', '--rm', '--dns', dns.address, '--network', network, 'bb'];
      const lookup = await dockerd.docker(...inside, 'nslookup', NAME);
      assert.match(lookup, new RegExp(`Address:? .*${dockerd.address}`), network);
      const page = await dockerd.docker(...inside, 'wget', '-qO-', `http://${NAME}:8080/`);
      assert.equal(page, 'hello from rails', network);
    }
  }),
);

test(
  'registrar status and explain list each container’s record or the reason why it has none',
  docker.options,
  onServer(async ({ dockerd, dns, http }) => {
    await dockerd.run({ name: 'rails', env: { DNS_NAME: NAME }, publish: ['8080:8080'] });
    await dockerd.run({ name: 'plain', publish: ['8081:80'] });
    await answers(dns, ['A', NAME], [`${NAME}. A ${dockerd.address}`]);
    const env = { SORADNS_REGISTRAR: http };
    const status = await spawnCli(['registrar', 'status'], env);
    assert.equal(status.code, 0, status.stderr);
    assert.match(status.stdout, new RegExp(` rails +running +${NAME}\\. +${dockerd.address}:8080`));
    assert.match(status.stdout, / plain +running +- +- +no: has no metadata/);
    const explained = await spawnCli(['registrar', 'explain', 'plain'], env);
    assert.match(explained.stdout, /^plain \([0-9a-f]{12}\) is running; 0 of 0 records in DNS\n/);
  }),
);

test(
  "register with registrator's command line writes registrator's metadata to etcd and revokes it on exit",
  docker.options,
  docker.on(async (dockerd) => {
    const etcd = await startEtcd();
    const reader = await startTestServer({ store: `etcd://${etcd.endpoint}` });
    const line = ['-ip', dockerd.address, '-ttl', '30', '-ttl-refresh', '10', '-cleanup'];
    const registrar = startCli([
      ...['register', '--compat=registrator', '--docker-host', dockerd.host, '--http', 'off'],
      ...['--on-exit', 'revoke', ...line, `skydns2://${etcd.endpoint}/skydns.local`],
    ]);
    try {
      await registrar.logged('following docker');
      const env = { SERVICE_NAME: 'rails', SERVICE_REGION: 'east' };
      await dockerd.run({ name: 'web.1', env, publish: ['8080:8080'] });
      const { dns } = reader;
      await answers(dns, ['A', 'rails.skydns.local'], [`rails.skydns.local. A ${dockerd.address}`]);
      const { key, value } = await registrar.logged('registered');
      assert.match(String(key), /^\/skydns\/local\/skydns\/rails\/[a-z0-9-]+-web-1-8080$/);
      assert.deepEqual(JSON.parse(String(value)).owner.meta, { attributes: { region: 'east' } });
      assert.equal(await registrar.end('SIGINT'), 0, registrar.stderr());
      await answers(dns, ['A', 'rails.skydns.local'], []);
    } finally {
      await registrar.end('SIGKILL');
      await reader.close();
      await etcd.stop();
    }
  }),
);
