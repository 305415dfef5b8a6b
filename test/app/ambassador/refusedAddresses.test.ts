/** Wishes for virtual addresses that a server cannot grant, in a network of its own, with a fake Docker. */
import assert from 'node:assert/strict';
import test, { before } from 'node:test';
import { type CliResult, callCli } from '../../support/cli.ts';
import { enterOwnNetwork, noOwnNetwork } from '../../support/ownNetwork.ts';
import { readyz, useFakeDocker } from '../../support/registrarProcesses.ts';
import { until } from '../../support/until.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const fixture = useFakeDocker();
const PATIENCE_MS = 20_000;
const HOST = '192.0.2.1';
const TOKEN = 's3cr3t';

before(() => {
  if (noOwnNetwork === undefined) enterOwnNetwork();
});

async function startServer() {
  const server = fixture.start(
    [
      ...['serve', '--addr', '127.0.0.1:0', '--http', '127.0.0.1:0', '--no-rec'],
      ...['--store', 'memory:', '--register', '--register-ip', HOST],
      ...['--vip', '--vip-range', '198.18.9.0/24'],
    ],
    { SORADNS_HTTP_TOKEN: TOKEN },
  );
  const { dns, http } = await server.logged('serving');
  const url = `http://${http}`;
  await until('it is ready', async () => (await readyz(url)) === '200 ok', PATIENCE_MS);
  const [at = ''] = dns as string[];
  const cli = (...args: readonly string[]): Promise<CliResult> =>
    callCli(args, { env: { SORADNS_STORE: url, SORADNS_TOKEN: TOKEN, SORADNS_REGISTRAR: url } });
  return {
    server,
    cli,
    async reserve(address: string): Promise<void> {
      const body = new URLSearchParams({ value: '{"name":"taken.skydns.local"}' });
      const headers = { Authorization: `Bearer ${TOKEN}` };
      const key = `${url}/v2/keys/skydns-vip/${address}`;
      assert.ok((await fetch(key, { method: 'PUT', headers, body })).ok);
    },
    async answers(name: string, expected: RegExp): Promise<void> {
      let found = '';
      await until(
        `${name} is answered with ${expected}`,
        async () => {
          found = (await cli('query', '-q', name, `@${at}`)).stdout;
          return expected.test(found);
        },
        PATIENCE_MS,
      ).catch((error) => assert.fail(`${error.message}; the last answer is ${found}`));
    },
    async explains(container: string, expected: RegExp): Promise<void> {
      let found = '';
      await until(
        `${container} is explained with ${expected}`,
        async () => {
          found = (await cli('registrar', 'explain', container)).stdout;
          return expected.test(found);
        },
        PATIENCE_MS,
      ).catch((error) => assert.fail(`${error.message}:\n${found}`));
    },
    async isExhausted(): Promise<string | undefined> {
      const page = await (await fetch(`${url}/metrics`)).text();
      return /^soradns_vip_exhausted (\d)$/m.exec(page)?.[1];
    },
    logged: (message: string) => server.lines().filter(({ msg }) => msg === message),
  };
}

function run(name: string, env: Readonly<Record<string, string>>): void {
  fixture.docker.run({ name, env, publish: ['8080:80'] });
}

test(
  'With a full range a service is answered with real addresses, which is logged, counted and explained until one is released',
  options,
  async () => {
    const { cli, reserve, answers, explains, isExhausted, logged, server } = await startServer();
    for (let last = 1; last < 192; last++) await reserve(`198.18.9.${last}`);
    assert.equal(await isExhausted(), '0');
    for (const n of ['1', '2'])
      run(`web${n}`, { DNS_NAME: `${n}.web.skydns.local`, DNS_VIP: 'auto' });
    await explains(
      'web1',
      /virtual address auto of web\.skydns\.local at port 80, refused: the range of virtual addresses is full\n/,
    );
    assert.equal(await isExhausted(), '1');
    await answers('web.skydns.local', /^192\.0\.2\.1\n$/);
    assert.equal(logged('no virtual address is left').length, 1);
    await cli('rm', '/skydns-vip/198.18.9.77');
    await answers('web.skydns.local', /^198\.18\.9\.77\n$/);
    assert.equal(await isExhausted(), '0');
    await explains(
      'web2',
      /virtual address auto of web\.skydns\.local at port 80: 198\.18\.9\.77\n/,
    );
    assert.equal(await server.end('SIGTERM'), 0, server.stderr());
  },
);

test(
  'An address outside the range, of another name, or other than that of the oldest instance is refused and explained',
  options,
  async () => {
    const { cli, reserve, answers, explains, server } = await startServer();
    await reserve('198.18.9.200');
    run('far', { DNS_NAME: '1.far.skydns.local', DNS_VIP: '203.0.113.9' });
    run('late', { DNS_NAME: '1.late.skydns.local', DNS_VIP: '198.18.9.200' });
    run('first', { DNS_NAME: '1.both.skydns.local', DNS_VIP: '198.18.9.201' });
    await answers('both.skydns.local', /^198\.18\.9\.201\n$/);
    run('second', { DNS_NAME: '2.both.skydns.local', DNS_VIP: '198.18.9.202' });
    await explains(
      'far',
      /virtual address 203\.0\.113\.9 of far\.skydns\.local at port 80, refused: 203\.0\.113\.9 is outside the range of virtual addresses\n/,
    );
    await explains('late', /, refused: 198\.18\.9\.200 is taken by taken\.skydns\.local\.\n/);
    await explains('first', /virtual address 198\.18\.9\.201 of .* at port 80: 198\.18\.9\.201\n/);
    await explains(
      'second',
      /virtual address 198\.18\.9\.202 of .*, refused: both\.skydns\.local\. has 198\.18\.9\.201\n/,
    );
    for (const name of ['far', 'late']) await answers(`${name}.skydns.local`, /^192\.0\.2\.1\n$/);
    run('off', { DNS_NAME: '1.off.skydns.local', DNS_VIP: 'false' });
    await explains('off', /\n {4}asks for no virtual address\n/);
    const json = JSON.parse((await cli('registrar', 'explain', 'late', '--json')).stdout);
    assert.match(json.records[0].virtual.reason, /^198\.18\.9\.200 is taken by/);
    await cli('vip', 'rm', 'taken.skydns.local');
    await answers('late.skydns.local', /^198\.18\.9\.200\n$/);
    assert.equal(await server.end('SIGTERM'), 0, server.stderr());
  },
);
