/** `register` as a process on a fake Docker: signals, a missing engine or store, pages, logs. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { callCli, spawnCli } from '../../support/cli.ts';
import {
  hostAt,
  KEY,
  readyz,
  recordAt,
  useFakeDocker,
  WEB,
} from '../../support/registrarProcesses.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { until } from '../../support/until.ts';

const fixture = useFakeDocker();

describe('register', () => {
  let server: TestServer;
  let store: string;
  before(async () => {
    server = await startTestServer({});
    store = `http://${server.http?.address}:${server.http?.port}`;
  });
  after(() => server?.close());

  const register = (...args: string[]) => {
    const options = ['--store', store, '--ip', '192.0.2.1', '--http', '127.0.0.1:0'];
    return fixture.start(['register', ...options, ...args]);
  };

  it('register follows containers, logs its writes, and keeps the names for its successor at SIGTERM', async () => {
    fixture.docker.run({ name: 'plain' });
    const id = fixture.docker.run(WEB);
    const first = register();
    const { key, id: logged, value } = await first.logged('registered');
    assert.deepEqual([key, logged], [KEY, id.slice(0, 12)]);
    assert.equal(JSON.parse(String(value)).host, '192.0.2.1');
    const written = await recordAt(store);
    const startedMs = performance.now();
    const ending = first.end('SIGTERM');
    // The registrar still handles events: a daemon that stops ends all containers, the registrar's included.
    fixture.docker.run({ ...WEB, name: 'late', env: { DNS_NAME: 'late.skydns.local' } });
    await until('the late one is there', async () => {
      return (await hostAt(store, '/skydns/local/skydns/late')) === '192.0.2.1';
    });
    assert.equal(await ending, 0, first.stderr());
    assert.ok(performance.now() - startedMs > 4_000);
    assert.deepEqual(await recordAt(store), written);

    const second = register('--on-exit', 'revoke');
    assert.equal((await second.logged('the lease is held')).isAdopted, true);
    fixture.docker.stop(id);
    await second.logged('removed');
    assert.equal(await hostAt(store), undefined);
    assert.equal(await hostAt(store, '/skydns/local/skydns/late'), '192.0.2.1');
    assert.equal(await second.end('SIGTERM'), 0, second.stderr());
    assert.equal(await hostAt(store, '/skydns/local/skydns/late'), undefined);
  });

  it('register exits at once at SIGINT', async () => {
    const registrar = register();
    await registrar.logged('following docker');
    const startedMs = performance.now();
    assert.equal(await registrar.end('SIGINT'), 0, registrar.stderr());
    assert.ok(performance.now() - startedMs < 4_500);
  });

  it('register keeps running without Docker, reports it, and continues when Docker is back', async () => {
    await fixture.docker.kill();
    const registrar = register();
    const { http } = await registrar.logged('registering');
    const { cause } = await registrar.logged('docker is unreachable');
    assert.match(String(cause), /docker\.sock/);
    assert.match(await readyz(`http://${http}`), /^503 docker: .*docker\.sock/);
    fixture.docker.run(WEB);
    await fixture.docker.listen();
    await registrar.logged('registered');
    await until('it is ready', async () => (await readyz(`http://${http}`)) === '200 ok');
    assert.equal(await hostAt(store), '192.0.2.1');
    await registrar.end();
  });

  it('register keeps running without a store and reports it', async () => {
    fixture.docker.run(WEB);
    const nowhere = ['register', '--store', 'http://127.0.0.1:1', '--http', '127.0.0.1:0'];
    const registrar = fixture.start(nowhere);
    const { http } = await registrar.logged('registering');
    await registrar.logged('the store is unreachable');
    await until('it tells the reason', async () => {
      return /^503 store: .*127\.0\.0\.1:1/m.test(await readyz(`http://${http}`));
    });
    assert.equal(await registrar.end(), 0, registrar.stderr());
  });

  it('register’s status page has each container’s records or the reason for none', async () => {
    const id = fixture.docker.run(WEB);
    fixture.docker.run({ name: 'plain' });
    fixture.docker.run({ name: 'evil', env: { DNS_NAME: 'x.example.com' }, publish: ['81:81'] });
    const registrar = register();
    const { http } = await registrar.logged('registering');
    await registrar.logged('registered');
    const env = { SORADNS_REGISTRAR: `http://${http}` };

    const { code, stdout, stderr } = await callCli(['registrar', 'status', '-q'], { env });
    assert.equal(code, 0, stderr);
    const rows = stdout.trimEnd().split('\n');
    assert.deepEqual(
      rows.slice(1).map((row) => row.split(/ {2,}/).slice(1)),
      [
        ['web', 'running', 'web.skydns.local.', '192.0.2.1:8080', 'yes'],
        ['plain', 'running', '-', '-', 'no: has no metadata'],
        [
          ...['evil', 'running', '-', '-'],
          'refused: x.example.com is in none of the zones (skydns.local): choose a name in one of them',
        ],
      ],
    );
    const json = await callCli(['registrar', 'status', '--json'], { env });
    const report = JSON.parse(json.stdout);
    assert.equal(report.role, 'writing');
    assert.deepEqual(report.readiness, { isReady: true, reasons: [] });
    assert.deepEqual(report.containers[0].records, [
      { key: KEY, host: '192.0.2.1', port: 8080, linking: { expose: 80 }, state: 'published' },
    ]);

    const labels = { 'dns.vip': 'auto', 'dns.tags': 'primary,v1', 'dns.leader': 'never' };
    const proxied = { ...labels, 'dns.name': 'db', 'dns.proxy-protocol': 'true' };
    fixture.docker.run({ name: 'db', labels: proxied, publish: ['15432:5432'] });
    fixture.docker.run({
      name: 'app',
      env: { DNS_LINK_6379: 'redis.skydns.local', DNS_LINK_80: 'etcd://10.0.0.1/x' },
      labels: { 'dns.link.local': 'true', 'dns.link.db': 'db.skydns.local' },
    });
    await until('db is registered', async () => {
      return (await hostAt(store, '/skydns/local/skydns/db')) !== undefined;
    });

    for (const wanted of ['web', '/web', id, id.slice(0, 5)]) {
      const { stdout } = await callCli(['registrar', 'explain', wanted], { env });
      assert.match(stdout, /is running; 1 of 1 records in DNS\n {2}web\.skydns\.local\. -> /);
    }
    const db = await callCli(['registrar', 'explain', 'db'], { env });
    assert.match(
      db.stdout,
      /key \S+\n {4}virtual address auto of db\.skydns\.local at port 5432\n {4}tags primary, v1\n {4}leader never\n {4}its connections begin with the PROXY protocol\n$/,
    );
    const app = await callCli(['registrar', 'explain', 'app'], { env });
    assert.equal(
      app.stdout.replace(/\(\w+\)/, '(ID)'),
      [
        'app (ID) is running; 0 of 0 records in DNS',
        '  link 6379/tcp -> redis.skydns.local (DNS_LINK_6379), also at 127.0.0.1',
        '  alias db -> db.skydns.local (dns.link.db)',
        '  refused: DNS_LINK_80 is "etcd://10.0.0.1/x": a link takes NAME, NAME:PORT or IP:PORT, and no key of a store',
        '  no records: it has links and asks for no name',
        '',
      ].join('\n'),
    );
    const plain = await callCli(['registrar', 'explain', 'plain'], { env });
    assert.match(plain.stdout, /no records: it has no metadata\n {2}hint: set DNS_NAME/);
    const gone = await callCli(['registrar', 'explain', 'gone'], { env });
    assert.equal(gone.code, 3, gone.stderr);
    await registrar.end();
  });

  it('A second register stands by and names the registrar that writes', async () => {
    fixture.docker.run(WEB);
    const first = register();
    await first.logged('registered');
    const second = register('--record-ttl', '77');
    const { http } = await second.logged('registering');
    const { holder } = await second.logged('another registrar of this engine is at work');
    assert.equal(holder, hostname());
    const env = { SORADNS_REGISTRAR: `http://${http}` };
    const status = await callCli(['registrar', 'status'], { env });
    assert.match(status.stdout, new RegExp(`^role {4}standby for ${hostname()}$`, 'm'));
    assert.match(
      status.stdout,
      new RegExp(` web\\.skydns\\.local\\. .* standby for ${hostname()}$`, 'm'),
    );
    const { stdout } = await callCli(['registrar', 'explain', 'web'], { env });
    assert.match(stdout, new RegExp(` -> 192\\.0\\.2\\.1:8080 {2}standby for ${hostname()}$`, 'm'));
    assert.doesNotMatch(stdout, /waits to be written/);
    assert.equal(await readyz(`http://${http}`), '200 ok');
    for (const registrar of [second, first]) await registrar.end();
  });

  it('register’s pages are read-only and show nothing of the store', async () => {
    const registrar = register();
    const url = `http://${(await registrar.logged('registering')).http}`;
    const status = async (path: string, init = {}) => (await fetch(url + path, init)).status;
    assert.equal(await status('/livez'), 200);
    assert.equal(await status('/v1/registrar/status'), 200);
    assert.equal(await status('/v2/keys/'), 404);
    assert.equal(await status('/v2/members'), 404);
    assert.equal(await status('/v1/store/get'), 404);
    assert.equal(await status('/v1/registrar/status', { method: 'POST' }), 404);
    const version = await (await fetch(`${url}/version`)).json();
    assert.deepEqual(Object.keys(version as object), ['soradns']);
    await registrar.end();
  });

  it('register exits when the address of --http is in use', async () => {
    const { address, port } = server.http ?? { address: '', port: 0 };
    const taken = `${address}:${port}`;
    const asked = await spawnCli(['register', '--store', store, '--http', taken], {
      DOCKER_HOST: fixture.docker.host,
    });
    assert.equal(asked.code, 4, asked.stdout);
    assert.match(
      asked.stderr,
      new RegExp(`^soradns: --http: cannot listen on ${taken} .*--http off`),
    );
  });

  it('register starts without pages when the default address is in use', async () => {
    // Either this test holds the port or another program already does.
    const holder = createServer().on('error', () => {});
    await new Promise((resolve) => {
      holder.once('listening', resolve).once('error', resolve).listen(4002, '127.0.0.1');
    });
    const registrar = fixture.start(['register', '--store', store]);
    const { http } = await registrar.logged('registering');
    assert.equal(http, undefined);
    const [warning] = registrar.lines().filter(({ level }) => level === 'warn');
    assert.match(
      String(warning?.msg),
      /127\.0\.0\.1:4002 \(in use by .* \(pid [0-9]+\)\); continuing without a status page/,
    );
    assert.equal(await registrar.end(), 0, registrar.stderr());
    holder.close();
  });

  it('register --dry-run writes nothing', async () => {
    fixture.docker.run(WEB);
    const before = (await fetch(`${store}/v2/keys/`)).headers.get('x-etcd-index');
    const args = ['register', '--dry-run', '--store', store, '--ip', '192.0.2.1'];
    const { code, stdout } = await callCli(args, { env: { DOCKER_HOST: fixture.docker.host } });
    assert.equal(code, 0);
    assert.match(stdout, /^put +web +web\.skydns\.local\. +192\.0\.2\.1:8080/m);
    assert.equal((await fetch(`${store}/v2/keys/`)).headers.get('x-etcd-index'), before);
  });
});
