/** The domains change while a successor is still computing answers: its registrar must start with the new domains. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { startEtcd } from '../support/etcd.ts';
import { freePort } from '../support/freePort.ts';
import { useFakeDocker } from '../support/registrarProcesses.ts';
import { until } from '../support/until.ts';

/** So many names that computing their answers takes a while. */
const NAMES = 8_000;
const CONCURRENT_PUTS = 100;

const fixture = useFakeDocker();

it('The registrar of a successor starts with domains that changed after the store was loaded', async () => {
  const etcd = await startEtcd();
  const store = new EtcdStore({ endpoints: [etcd.endpoint] });
  try {
    const put = (key: string, value: object) =>
      store.put(`/skydns/${key}`, Buffer.from(JSON.stringify(value)));
    for (let i = 0; i < NAMES; i += CONCURRENT_PUTS)
      await Promise.all(
        Array.from({ length: CONCURRENT_PUTS }, (_, k) =>
          put(`local/skydns/n${i + k}`, { host: '192.0.2.7' }),
        ),
      );
    fixture.docker.run({ env: { DNS_NAME: 'web.a.example' }, publish: ['8080:80'] });
    const server = fixture.start([
      ...['serve', '--register', '--register-ip', '192.0.2.1', '--takeover', '--no-rec'],
      ...['--addr', `127.0.0.1:${await freePort()}`, '--http', '127.0.0.1:0'],
      ...['--store', `etcd://${etcd.endpoint}`],
    ]);
    await until('the server has loaded the names', () => server.lines().length > 0);
    await put('config', { domain: 'a.example' });
    await server.logged('serving');
    const isThere = async () => (await store.get('/skydns/example/a/web')).entry !== undefined;
    await until('the container has its record', isThere, 20_000);
    assert.equal(await server.end('SIGTERM'), 0, server.stderr());
  } finally {
    await store.close();
    await etcd.stop();
  }
});
