/** Hidden values: `set` refuses to hide a value by mistake, and `ls` and `doctor` report the values that are hidden. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { tree } from '../../src/cli/commands/ls.ts';
import { printSocketAddress } from '../../src/dns/address.ts';
import { HttpStore } from '../../src/store/http/httpStore.ts';
import { judgeHidden } from '../../src/tools/doctor/judge/hidden.ts';
import { callCli } from '../support/cli.ts';
import { startEtcd } from '../support/etcd.ts';
import { examined } from '../support/examination.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const ZONE = '/skydns/local/skydns';
const CONTAINER = { r: 'E1', c: '0123456789ab', s: '2026-01-01T00:00:00Z' };
const HOLDER = 'container 0123456789ab of engine E1';

let server: TestServer;
let http: string;
let store: string;
beforeEach(async () => {
  server = await startTestServer({});
  http = printSocketAddress(server.http ?? assert.fail());
  store = `http://${http}`;
});
afterEach(() => server?.close());

const cli = (...args: string[]) => callCli([...args, '--store', store]);
const set = (name: string, ...more: string[]) => cli('set', name, '--host', '192.0.2.1', ...more);

/** Writes a value as a registrar would, or one that `set` would refuse. */
async function write(path: string, owner?: object, fields: object = {}): Promise<void> {
  const client = new HttpStore({ url: store, token: undefined });
  try {
    const value = JSON.stringify({ host: '192.0.2.7', ...fields, ...(owner && { owner }) });
    await client.put(`${ZONE}/${path}`, Buffer.from(value));
  } finally {
    await client.close();
  }
}

describe('soradns set', () => {
  it('set refuses a name below one with a value and names its holder, unless --force is given', async () => {
    await write('db', CONTAINER);
    const refused = await set('x.db.skydns.local');
    assert.equal(refused.code, 5);
    assert.equal(
      refused.stderr,
      `soradns: x.db.skydns.local: would hide db.skydns.local, which ${HOLDER} holds (choose a name beside it, or force it with --force)\n`,
    );
    assert.equal((await cli('get', 'x.db.skydns.local')).code, 3);
    assert.equal((await set('x.db.skydns.local', '--force')).code, 0);
    assert.equal((await cli('get', 'x.db.skydns.local')).code, 0);
  });

  it('set accepts a name below a delegation, and one above it, because neither hides the other', async () => {
    const ns = ['--rr', 'NS ns1.team.db.skydns.local.'];
    assert.equal((await set('team.db.skydns.local', ...ns)).code, 0);
    assert.equal((await set('ns1.team.db.skydns.local')).code, 0);
    assert.equal((await set('db.skydns.local')).code, 0);
    assert.equal((await set('ns2.team.db.skydns.local')).code, 0);
    assert.equal((await set('x.db.skydns.local')).code, 5);
  });

  it('set refuses a name that one below it would hide', async () => {
    await write('db/y/x');
    const { code, stderr } = await set('db.skydns.local');
    assert.equal(code, 5);
    assert.match(stderr, /would be hidden by x\.y\.db\.skydns\.local, which was set by hand/);
    assert.equal((await set('db.skydns.local', '--force')).code, 0);
  });

  it('set refuses a name below a container’s dual-stack name', async () => {
    for (const family of ['ipv4', 'ipv6']) await write(`db/${family}`, CONTAINER);
    const { code, stderr } = await set('x.db.skydns.local');
    assert.equal(code, 5, stderr);
    assert.match(stderr, /would hide db\.skydns\.local/);
  });

  it('set changes an existing value even if other names are above or below it', async () => {
    await write('db', CONTAINER);
    await write('db/x');
    for (const name of ['db', 'x.db']) assert.equal((await set(`${name}.skydns.local`)).code, 0);
  });

  it('set accepts sibling names, names in a domain with its own value, and reverse names', async () => {
    const hidden = ['skydns.local', '4.3.2.1.in-addr.arpa', 'a.4.3.2.1.in-addr.arpa'];
    for (const name of [...hidden, '1.web.skydns.local', '2.web.skydns.local', 'we.skydns.local']) {
      const { code, stderr } = await set(name);
      assert.equal(code, 0, `${name}: ${stderr}`);
    }
    const env = { SORADNS_DOMAIN: 'a.example' };
    for (const name of ['a.example', 'b.a.example', 'c.a.example']) {
      const args = ['set', name, '--host', '192.0.2.1', '--store', store];
      assert.equal((await callCli(args, { env })).code, 0, name);
    }
  });

  it('set ignores invalid values above and below the name', async () => {
    await fetch(`${store}/v2/keys${ZONE}/dir`, {
      method: 'PUT',
      body: new URLSearchParams('dir=1'),
    });
    await cli('set', `${ZONE}/note`, '--value', '{"host":"192.0.2.1"}');
    const client = new HttpStore({ url: store, token: undefined });
    await client.put(`${ZONE}/note`, Buffer.from('no service'));
    await client.close();
    for (const name of ['x.dir', 'x.note'])
      assert.equal((await set(`${name}.skydns.local`)).code, 0);
  });
});

it('set needs no permission to read the keys above the name', async () => {
  const etcd = await startEtcd();
  try {
    for (const user of ['root', 'team']) {
      await etcd.etcdctl(['role', 'add', user]).catch(() => undefined);
      await etcd.etcdctl(['user', 'add', `${user}:secret`]);
      await etcd.etcdctl(['user', 'grant-role', user, user]);
    }
    const grant = ['role', 'grant-permission', '--prefix=true', 'team', 'readwrite'];
    await etcd.etcdctl([...grant, `${ZONE}/team/`]);
    await etcd.etcdctl(['auth', 'enable']);
    const env = { SORADNS_USERNAME: 'team', SORADNS_PASSWORD: 'secret' };
    const args = ['--host', '192.0.2.1', '--store', `etcd://${etcd.endpoint}`];
    const set = (name: string) => callCli(['set', `${name}.skydns.local`, ...args], { env });
    assert.deepEqual((await set('x.team')).stderr, '');
    assert.match((await set('y.x.team')).stderr, /would hide x\.team\.skydns\.local/);
    assert.equal((await set('x.other')).code, 6);
  } finally {
    await etcd.stop();
  }
});

describe('soradns ls', () => {
  it('ls shows which name hides a value and who holds that name', async () => {
    await write('db', CONTAINER);
    await write('db/x');
    await write('db/y');
    await write('other');
    const text = await cli('ls', '--table');
    assert.match(
      text.stdout,
      /^db\.skydns\.local\. .* hidden by x\.db\.skydns\.local\. and others$/m,
    );
    assert.match(text.stdout, /^other\.skydns\.local\. +192\.0\.2\.7(?: +-)+$/m);
    const tree = await cli('ls', '--tree');
    assert.match(
      tree.stdout,
      /db {2}192\.0\.2\.7 {2}hidden by x\.db\.skydns\.local\. and others\n/,
    );
    const json = JSON.parse((await cli('ls', '--hidden', '--json')).stdout);
    assert.equal(json.length, 1);
    assert.equal(json[0].name, 'db.skydns.local.');
    assert.equal(json[0].holder, HOLDER);
    assert.deepEqual(json[0].hiddenBy, [
      { name: 'x.db.skydns.local.' },
      { name: 'y.db.skydns.local.' },
    ]);
  });

  it('ls names the container that hides a value', async () => {
    await write('db');
    await write('db/x', CONTAINER);
    const { stdout } = await cli('ls', '--hidden', '--table');
    assert.match(stdout, new RegExp(`hidden by x\\.db\\.skydns\\.local\\. \\(${HOLDER}\\)$`, 'm'));
    assert.equal(stdout.trim().split('\n').length, 2);
  });

  it('ls shows no hidden value among sibling names or among the records of a dual-stack name', async () => {
    for (const path of ['web/1', 'web/2']) await write(path);
    for (const family of ['ipv4', 'ipv6']) await write(`db/${family}`, CONTAINER);
    assert.equal((await cli('ls', '--hidden', '--json')).stdout, '[]\n');
    assert.equal((await cli('ls', '--hidden', '--invalid')).code, 2);
  });

  it('Values that do not count in the name above hide nothing, as far as SORADNS_AGGREGATE_DEPTH tells', async () => {
    await write('db');
    assert.equal((await set('x.db.skydns.local', '--no-aggregate')).code, 0);
    assert.equal((await cli('ls', '--hidden', '--json')).stdout, '[]\n');
    await set('c.b.a.db.skydns.local', '--force');
    const hiddenAt = async (depth: string): Promise<readonly string[]> => {
      const env = { SORADNS_AGGREGATE_DEPTH: depth };
      const { stdout } = await callCli(['ls', '--hidden', '-q', '--store', store], { env });
      return stdout.split('\n').filter((line) => line !== '');
    };
    assert.deepEqual(await hiddenAt('unlimited'), ['db.skydns.local.']);
    assert.deepEqual(await hiddenAt('3'), ['db.skydns.local.']);
    assert.deepEqual(await hiddenAt('2'), []);
    const setAt = (name: string, depth: string) =>
      callCli(['set', `${name}.skydns.local`, '--host', '192.0.2.1', '--store', store], {
        env: { SORADNS_AGGREGATE_DEPTH: depth },
      });
    assert.equal((await setAt('y.x.w.db', '2')).code, 0);
    assert.equal((await setAt('b.a.db', '0')).code, 0);
    assert.match((await setAt('w.db', '2')).stderr, /would hide db\.skydns\.local/);
    assert.match((await setAt('a.db', '2')).stderr, /would hide db\.skydns\.local/);
  });

  it('ls recognizes keys that stand for a name without being its own key', async () => {
    await write('DB');
    await write('x.db', CONTAINER);
    assert.match(
      (await cli('ls', '--hidden', '--table')).stdout,
      /^db\.skydns\.local\. .* hidden by x\.db/m,
    );
  });

  it('ls shows in grey what a delegation hides, with its name, and lists NS records without effect as invalid', async () => {
    await write('db');
    await write('db/team', undefined, { host: null, rr: ['NS ns1.team.db.skydns.local.'] });
    for (const path of ['ns1', 'ns1/a', 'x', 'x/y']) await write(`db/team/${path}`);
    await write('dns/ns/a', undefined, { rr: ['NS ns.example.net.'] });
    const of = 'team.db.skydns.local.';
    const json = JSON.parse((await cli('ls', '--hidden', '--json')).stdout);
    assert.deepEqual(
      json.map(({ name, delegatedAt, hiddenBy }: Record<string, unknown>) => [
        name,
        delegatedAt,
        hiddenBy,
      ]),
      [`x.${of}`, `y.x.${of}`].map((name) => [name, of, undefined]),
    );
    const below = await cli('ls', `x.${of}`, '--table');
    assert.match(below.stdout, new RegExp(`^x\\.${of} .* hidden by the delegation of ${of}$`, 'm'));
    assert.match(
      (await cli('ls', '--invalid')).stdout,
      /\/dns\/ns\/a +rr: NS: names at and below dns\.skydns\.local\. cannot be delegated\n/,
    );
    const view = { key: '', name: 'x.a.', service: { host: '192.0.2.7' }, delegatedAt: 'a.' };
    const output = { isTty: true, colour: true, write: () => {} };
    const entry = { ...view, createRevision: 1, modRevision: 1 };
    const grey = (text: string) => `\x1b[2m${text}\x1b[0m`;
    const line = `${grey('192.0.2.7')}  ${grey('hidden by the delegation of a.')}\n`;
    assert.ok(tree([entry], output).endsWith(line));
  });
});

describe('soradns ls', () => {
  it('ls says what is left of a host beside NS records', async () => {
    const rr = (server: string) => ({ rr: [`NS ${server}.skydns.local.`] });
    await write('self', undefined, rr('self'));
    await write('team', undefined, rr('self'));
    await write('bare', undefined, { host: null, ...rr('self') });
    await write('plain');
    const { stdout } = await cli('ls', '--table');
    assert.match(stdout, /^self\.skydns\.local\. .* its host answers only as glue$/m);
    assert.match(stdout, /^team\.skydns\.local\. .* its host is hidden by its NS records$/m);
    assert.equal(stdout.match(/its host/g)?.length, 2, stdout);
    const json = JSON.parse((await cli('ls', '--json')).stdout);
    assert.deepEqual(
      json.map(({ hostBesideNs }: { hostBesideNs?: string }) => hostBesideNs),
      [undefined, undefined, 'glue', 'hidden'],
    );
  });
});

describe('soradns doctor', () => {
  const found = () => examined({ flags: { http } }, 'names');

  it('doctor warns about a value that another holder hides, with the command that reveals it', async () => {
    await write('db', CONTAINER);
    await set('x.db.skydns.local', '--force');
    const fix = 'soradns rm x.db.skydns.local';
    assert.deepEqual(await found(), [
      {
        check: 'names',
        level: 'warning',
        message: `db.skydns.local (${HOLDER}) is not answered, because it is hidden by x.db.skydns.local (set by hand)`,
        fix,
      },
    ]);
    assert.equal((await cli('rm', 'x.db.skydns.local')).code, 0);
    assert.deepEqual(
      (await found()).map(({ level, message }) => [level, message]),
      [['ok', 'no value is hidden by names below its own']],
    );
  });

  it('doctor knows the --aggregate-depth of the server', async () => {
    await write('db', CONTAINER);
    await write('db/x/y');
    const flags = { http, 'aggregate-depth': '1' };
    const [one] = await examined({ flags }, 'names');
    assert.equal(one?.level, 'ok', one?.message);
    assert.equal((await found())[0]?.level, 'warning');
  });

  it('doctor does not warn about values that their own holder hides', async () => {
    for (const path of ['db', 'db/x']) await write(path);
    const [one, ...more] = await found();
    assert.deepEqual([one?.level, more.length], ['ok', 0]);
    assert.match(one?.message ?? '', /^1 value hidden by names below them with the same holder/);
  });

  it('doctor reports delegations whose name servers do not answer, and how many values delegations hide', async () => {
    await server.close();
    server = await startTestServer({ 'no-rec': false, nameservers: '127.0.0.1:1' });
    http = printSocketAddress(server.http ?? assert.fail());
    store = `http://${http}`;
    const addr = printSocketAddress(server.dns);
    await write('team', undefined, { host: null, rr: ['NS ns.team.skydns.local.'] });
    for (const path of ['team/ns', 'team/x']) await write(path, undefined, { host: '127.0.0.9' });
    await write('kept', undefined, { host: null, rr: ['NS ns.team.skydns.local.'] });
    const flags = { http, addr, forward: ['kept.skydns.local=127.0.0.1:1'] };
    const [names] = await examined({ flags }, 'names');
    assert.equal(
      names?.message,
      'no value is hidden by names below its own, 1 hidden by delegations: soradns ls --hidden',
    );
    const [dead, ...more] = await examined({ flags }, 'delegation');
    assert.equal(dead?.level, 'problem');
    assert.match(
      dead?.message ?? '',
      /^no name server of team\.skydns\.local\. answers for it \(.*127\.0\.0\.9\)$/,
    );
    assert.match(dead?.fix ?? '', /^dig @127\.0\.0\.1 -p \d+ team\.skydns\.local\. SOA /);
    assert.deepEqual(more, []);
  });

  it('doctor lists a few hidden values and the number of others', () => {
    const by = { name: 'x.db', holder: undefined };
    const hidden = Array.from({ length: 8 }, (_, n) => ({
      ...{ name: `db${n}`, holder: HOLDER, by, more: 1, isByOthers: true },
    }));
    const all = judgeHidden({
      ...{ kind: 'read', hidden, delegations: [], delegatedCount: 0 },
      ...{ isWhole: false, count: 200_000 },
    });
    assert.equal(all.length, 6);
    assert.match(all.at(-1)?.message ?? '', /^3 more values .* \(of the first 200000 values\)$/);
    assert.equal(all[0]?.level === 'warning' && all[0].fix, 'soradns ls --hidden');
  });
});
