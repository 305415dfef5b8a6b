/** `soradns up` on a real etcd: its server and its registrar share one watch of all names, also after lost connections. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { callCli } from '../../support/cli.ts';
import type { CliProcess } from '../../support/cliProcess.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { type FaultyProxy, startProxy } from '../../support/proxy.ts';
import { readyz, useFakeDocker, WEB } from '../../support/registrarProcesses.ts';
import { until } from '../../support/until.ts';

const fixture = useFakeDocker();
const PATIENCE_MS = 30_000;
const LISTENING = ['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0', '--no-rec'];
/** Of all names, and of the leaders. */
const WATCHES_OF_A_SERVER = 2;
/** A registrar also watches the locks of its engine. */
const WATCHES_OF_UP = WATCHES_OF_A_SERVER + 1;

describe('up on an etcd', { concurrency: 1 }, () => {
  let etcd: Etcd;
  let proxy: FaultyProxy;
  before(async () => {
    etcd = await startEtcd();
    proxy = await startProxy(etcd.endpoint);
  });
  afterEach(() => etcd.etcdctl(['del', '--prefix', '/']));
  after(async () => {
    await proxy.close();
    await etcd.stop();
  });

  const start = (...args: string[]): CliProcess =>
    fixture.start([...args, '--store', `etcd://${proxy.endpoint}`, ...LISTENING]);

  async function watches(): Promise<number> {
    const metrics = await (await fetch(`http://${etcd.endpoint}/metrics`)).text();
    return Number(/^etcd_debugging_mvcc_watcher_total (\d+)/m.exec(metrics)?.[1]);
  }

  async function isReady(http: unknown): Promise<void> {
    await until(
      'it is ready',
      async () => (await readyz(`http://${http}`)) === '200 ok',
      PATIENCE_MS,
    );
  }

  async function isAnswered(name: string, server: string): Promise<void> {
    const ask = async () => (await callCli(['query', '-q', name, server])).stdout === '192.0.2.1\n';
    await until(`${name} is answered`, ask, PATIENCE_MS);
  }

  /** Deletes the name; only a registrar whose watch is open notices. */
  async function isWrittenAgain(name: string): Promise<void> {
    const key = `/skydns/local/skydns/${name}`;
    await etcd.etcdctl(['del', key]);
    const isThere = async () => (await etcd.etcdctl(['get', key])) !== '';
    await until(`the registrar writes ${name} again`, isThere, PATIENCE_MS);
  }

  it('serve watches all names and the leaders, and up only the locks besides', async () => {
    const server = start('serve');
    await isReady((await server.logged('serving')).http);
    await until('serve has its watches', async () => (await watches()) >= WATCHES_OF_A_SERVER);
    assert.equal(await watches(), WATCHES_OF_A_SERVER);
    await server.end();
    await until('its watches are gone', async () => (await watches()) === 0);
    fixture.docker.run(WEB);
    const up = start('up', '--register-ip', '192.0.2.1');
    const { http, dns } = await up.logged('serving');
    await isReady(http);
    await isAnswered('web.skydns.local', `@${(dns as string[])[0]}`);
    await isWrittenAgain('web');
    assert.equal(await watches(), WATCHES_OF_UP);
    await up.end();
  });

  it('up registers and answers after each lost connection, and has as many watches as before', async () => {
    const up = start('up', '--register-ip', '192.0.2.1');
    const { http, dns } = await up.logged('serving');
    await isReady(http);
    const server = `@${(dns as string[])[0]}`;
    for (const name of ['a', 'b', 'c']) {
      proxy.reset();
      fixture.docker.run({ name, env: { DNS_NAME: `${name}.skydns.local` }, publish: ['8080:80'] });
      await isAnswered(`${name}.skydns.local`, server);
    }
    await isWrittenAgain('b');
    await isReady(http);
    await until('it has its watches again', async () => (await watches()) === WATCHES_OF_UP);
    await up.end();
  });
});
