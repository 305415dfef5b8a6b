/** `soradns vip` on the embedded store of a server, over HTTP, and on etcd. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { EXIT_CODES } from '../../../src/app/process/failure.ts';
import { EtcdStore } from '../../../src/store/etcd/etcdStore.ts';
import { HttpStore } from '../../../src/store/http/httpStore.ts';
import type { Store } from '../../../src/store/store.ts';
import { type CliResult, callCli } from '../../support/cli.ts';
import { startEtcd } from '../../support/etcd.ts';
import { clientEnv, startTestServer, type TestServer } from '../../support/server.ts';

/** What `vip ls` prints about an address, besides its age. */
const row = (...cells: readonly string[]) =>
  new RegExp(`^${cells.join(' +').replaceAll('.', '\\.')} +\\d`, 'm');

for (const kind of ['embedded', 'etcd'] as const)
  describe(`vip on a store of the kind ${kind}`, () => {
    let server: TestServer | undefined;
    let etcd: Awaited<ReturnType<typeof startEtcd>> | undefined;
    let env: Record<string, string> = {};
    before(async () => {
      if (kind === 'etcd') {
        etcd = await startEtcd();
        env = { SORADNS_STORE: `etcd://${etcd.endpoint}` };
        return;
      }
      server = await startTestServer({});
      env = clientEnv(server);
    });
    after(async () => {
      await server?.close();
      await etcd?.stop();
    });

    const run = (...args: readonly string[]): Promise<CliResult> =>
      callCli(['vip', ...args], { env });
    const set = async (name: string, value: object): Promise<void> => {
      const args = ['set', name, '--value', JSON.stringify(value), '--force'];
      const { code, stderr } = await callCli(args, { env });
      assert.equal(code, 0, stderr);
    };
    const json = async (...args: readonly string[]) => {
      const { code, stdout, stderr } = await run(...args, '--json');
      assert.equal(code, 0, stderr);
      return stdout
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line));
    };

    it('A name gets an address of the range, keeps it, and is listed with its ports and backends', async () => {
      const web = { host: '10.0.0.1', port: 49_153, expose: 80 };
      await set('1.web.skydns.local', web);
      await set('2.web.skydns.local', { ...web, host: '10.0.0.2', port: 49_200 });
      await set('3.web.skydns.local', { ...web, port: 5300, expose: '53/udp' });
      const { code, stdout, stderr } = await run('add', 'Web.skydns.local');
      assert.deepEqual([code, stderr], [0, '']);
      const [, address = ''] =
        /^gave (198\.18\.\d+\.\d+) to web\.skydns\.local\.\n$/.exec(stdout) ?? [];
      assert.notEqual(address, '');
      const again = await run('add', 'web.skydns.local.');
      assert.equal(again.stdout, `web.skydns.local. has ${address} already\n`);
      const listed = await run('ls');
      assert.match(listed.stdout, /^NAME +ADDRESS +PORTS +BACKENDS +SINCE\n/);
      assert.match(listed.stdout, row('web.skydns.local.', address, '53/udp→any 80/tcp→any', '3'));
      assert.match(listed.stdout, / \d+ (s|min)$/m);
    });

    it('Ports are given, replaced and kept, and lead to the containers’ own ports', async () => {
      await set('1.api.skydns.local', { host: '10.0.0.1', port: 8080 });
      const [added] = await json('add', 'api.skydns.local', '--port', '80=8080,53/udp');
      assert.deepEqual(added.ports, ['80=8080/tcp', '53/udp']);
      assert.equal(new Date(added.since).toISOString(), added.since);
      const find = async () => (await json('ls')).find(({ name }) => name === 'api.skydns.local.');
      const { ports, backends, address } = await find();
      assert.deepEqual([ports, backends], [['53/udp', '80=8080/tcp', '8080/tcp'], 1]);
      const changed = await run('add', 'api.skydns.local', '--port', '81=8080');
      assert.equal(
        changed.stdout,
        `changed the ports of ${address}, which api.skydns.local. has\n`,
      );
      const kept = await find();
      assert.deepEqual(kept, {
        ...kept,
        address,
        since: added.since,
        ports: ['8080/tcp', '81=8080/tcp'],
      });
    });

    it('A leader has an address whose only backend is the instance that leads', async () => {
      for (const n of [1, 2])
        await set(`${n}.pg.skydns.local`, { host: `10.0.0.${n}`, port: 5432 });
      const [{ address }] = await json('add', 'leader.pg.skydns.local');
      const { stdout } = await run('ls');
      assert.match(stdout, row('leader.pg.skydns.local.', address, '5432/tcp→any', '1'));
    });

    it('A name without instances is listed without ports', async () => {
      const [{ address }] = await json('add', 'later.skydns.local');
      assert.match((await run('ls')).stdout, row('later.skydns.local.', address, '-', '0'));
    });

    it('An address that another name has, or outside the range, is refused', async () => {
      const fixed = ['--address', '198.18.255.7'];
      const [first] = await json('add', 'one.skydns.local', ...fixed);
      assert.equal(first.address, '198.18.255.7');
      const taken = await run('add', 'two.skydns.local', ...fixed);
      assert.equal(taken.code, EXIT_CODES.conflict);
      assert.match(taken.stderr, /198\.18\.255\.7 is taken by one\.skydns\.local\. /);
      const other = await run('add', 'one.skydns.local', '--address', '198.18.255.8');
      assert.equal(other.code, EXIT_CODES.conflict);
      assert.match(
        other.stderr,
        /one\.skydns\.local\. has 198\.18\.255\.7 already \(release it first/,
      );
      const outside = await run('add', 'two.skydns.local', '--address', '10.0.0.1');
      assert.equal(outside.code, EXIT_CODES.usage);
      assert.match(outside.stderr, /--address: 10\.0\.0\.1 is outside 198\.18\.0\.0\/16 /);
    });

    it('rm releases every address of a name, and a name without one is not found', async () => {
      const ranges = ['--vip-range', '198.19.4.0/24', '--vip-range6', 'fd53::/64'];
      const given = await json('add', 'both.skydns.local', ...ranges);
      assert.deepEqual(
        given.map(({ address }) => /^198\.19\.4\.|^fd53::/.exec(address)?.[0]),
        ['198.19.4.', 'fd53::'],
      );
      const addresses = given.map(({ address }) => address);
      const { stdout } = await run('rm', 'both.skydns.local');
      assert.equal(stdout, `released ${addresses.join(', ')} of both.skydns.local.\n`);
      const again = await run('rm', 'both.skydns.local');
      assert.equal(again.code, EXIT_CODES.not_found);
      assert.match(again.stderr, /both\.skydns\.local\. has no virtual address/);
      assert.ok(!(await run('ls', '-q')).stdout.includes(addresses[0]));
    });

    it('Of ten writers that add one name at once all get the same address', async () => {
      const results = await Promise.all(
        Array.from({ length: 10 }, () => json('add', 'race.skydns.local', '--port', '80')),
      );
      assert.equal(new Set(results.map(([{ address }]) => address)).size, 1);
      const listed = (await json('ls')).filter(({ name }) => name === 'race.skydns.local.');
      assert.equal(listed.length, 1);
    });

    it('The last address of a range is given, and then the range is full', async () => {
      const store: Store =
        etcd === undefined
          ? new HttpStore({ url: env.SORADNS_STORE ?? '', token: env.SORADNS_TOKEN ?? '' })
          : new EtcdStore({ endpoints: [etcd.endpoint] });
      try {
        const value = Buffer.from('{"name":"taken.skydns.local"}');
        // A range of 256 addresses gives out the first 192 but for the one that ends in 0.
        for (let last = 1; last < 192; last++)
          if (last !== 77) await store.put(`/skydns-vip/198.19.9.${last}`, value);
      } finally {
        await store.close();
      }
      const range = ['--vip-range', '198.19.9.0/24'];
      const [{ address }] = await json('add', 'last.skydns.local', ...range);
      assert.equal(address, '198.19.9.77');
      const { code, stderr } = await run('add', 'late.skydns.local', ...range);
      assert.equal(code, EXIT_CODES.conflict);
      assert.match(
        stderr,
        /no address of 198\.19\.9\.0\/24 is left for late\.skydns\.local\. \(release/,
      );
      const fixed = await run('add', 'late.skydns.local', ...range, '--address', '198.19.9.200');
      assert.equal(fixed.code, 0, fixed.stderr);
      assert.match(
        (await run('ls')).stdout,
        /^taken\.skydns\.local\. +198\.19\.9\.2 +unused: 198\.19\.9\.1 stands +0 +-$/m,
      );
    });
  });

const MISTAKES: readonly (readonly [args: readonly string[], message: RegExp])[] = [
  [['add'], /add: needs a name/],
  [['rm'], /rm: needs a name/],
  [['ls', 'a.local'], /a\.local: unexpected argument/],
  [['add', '*.local'], /"\*\.local" is not the name of a service/],
  [['add', 'a.local', '--port', '0'], /--port: "0" is not PORT/],
  [['add', 'a.local', '--port', '80=x'], /--port: "80=x" is not PORT/],
  [['add', 'a.local', '--port', '80,80=8080'], /--port: 80\/tcp is given twice/],
  [['add', 'a.local', '--address', 'x'], /--address: "x" is not an IP address/],
  [
    ['add', 'a.local', '--address', 'fd00::1'],
    /fd00::1 is outside 198\.18\.0\.0\/16 \(give the range/,
  ],
  [
    ['add', 'a.local', '--vip-range', '10.0.0.0/30'],
    /--vip-range: "10\.0\.0\.0\/30" is not an IPv4 range/,
  ],
  [['rm', 'a.local', '--port', '80'], /--port: is an option of add/],
];

for (const [args, message] of MISTAKES)
  it(`vip ${args.join(' ')} exits with 2`, async () => {
    const { code, stderr } = await callCli(['vip', ...args], {
      env: { SORADNS_STORE: 'http://127.0.0.1:1' },
    });
    assert.equal(code, EXIT_CODES.usage, stderr);
    assert.match(stderr, message);
  });
