/**
 * Clients that follow a service over HTTP while the server and its store end and come back: what a client knows must be
 * the state of the store, and it must never know two leaders.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { startEtcd } from '../support/etcd.ts';
import { freePort } from '../support/freePort.ts';
import { until } from '../support/until.ts';

const DB = 'db.skydns.local';
const KEYS = '/skydns/local/skydns/db/';

/** Keeps what the events say, and connects again when the stream ends, as a browser's EventSource does. */
class Follower {
  readonly instances = new Map<string, string>();
  leader: string | undefined;
  /** Initial states that were complete. */
  connections = 0;
  #isClosed = false;
  #request: ReturnType<typeof get> | undefined;
  readonly #running: Promise<void>;

  constructor(url: string) {
    this.#running = this.#follow(url);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#request?.destroy();
    await this.#running;
  }

  /** The instances and the leader in one line. */
  get text(): string {
    const ids = [...this.instances.keys()].sort();
    return `${ids.join(' ')} < ${this.leader ?? 'none'}`;
  }

  async #follow(url: string): Promise<void> {
    while (!this.#isClosed) {
      await this.#read(url).catch(() => {});
      await sleep(20);
    }
  }

  async #read(url: string): Promise<void> {
    const headers = { Accept: 'text/event-stream' };
    this.#request = get(`${url}/v1/services/${DB}/instances`, { agent: false, headers });
    const [response] = (await once(this.#request, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) return void response.resume();
    this.instances.clear();
    this.leader = undefined;
    let rest = '';
    for await (const piece of response.setEncoding('utf8')) {
      rest += piece;
      const events = rest.split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) this.#apply(/^data: (.+)$/m.exec(event)?.[1]);
    }
  }

  #apply(data: string | undefined): void {
    if (data === undefined) return;
    const { kind, instance } = JSON.parse(data);
    if (kind === 'current') this.connections += 1;
    if (kind === 'leader') this.leader = instance?.id.split('.')[0];
    const id = instance?.id.split('.')[0];
    if (kind === 'down') assert.ok(this.instances.delete(id), `${id} was not up`);
    if (kind === 'up' || kind === 'update') {
      assert.equal(this.instances.has(id), kind === 'update', `${kind} of ${id}`);
      this.instances.set(id, instance.addr);
    }
  }
}

test('Followers know the instances and the leader again after the server, and its store, were killed', async (context) => {
  const etcd = await startEtcd();
  context.after(() => etcd.stop());
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const addresses = ['--addr', '127.0.0.1:0', '--http', `127.0.0.1:${port}`];
  const options = [...addresses, '--store', `etcd://${etcd.endpoint}`, '--no-rec'];
  const start = async (): Promise<CliProcess> => {
    const server = startCli(['serve', ...options]);
    await server.logged('loaded the store');
    return server;
  };
  let server = await start();
  context.after(() => server.end('SIGKILL'));
  const put = (id: string) =>
    etcd.etcdctl(['put', `${KEYS}${id}`, JSON.stringify({ host: '192.0.2.1', port: 5432 })]);
  const remove = (id: string) => etcd.etcdctl(['del', `${KEYS}${id}`]);
  await put('a');
  await put('b');
  const followers = Array.from({ length: 20 }, () => new Follower(url));
  context.after(() => Promise.all(followers.map((each) => each.close())));
  const all = (expected: string): Promise<void> =>
    until(
      `all followers know: ${expected}`,
      () => followers.every(({ text }) => text === expected),
      20_000,
    ).catch((error) => {
      throw new Error(`${error}\n${followers.map(({ text }) => text).join('\n')}`);
    });
  await all('a b < a');
  await remove('a');
  await all('b < b');

  await server.end('SIGKILL');
  await put('a');
  await remove('b');
  await put('c');
  server = await start();
  await all('a c < a');

  // The store is away: the streams stay, and have the last state.
  const connections = followers.map((each) => each.connections);
  await etcd.kill();
  await sleep(300);
  await all('a c < a');
  await etcd.restart();
  await remove('a');
  await remove('c');
  await all(' < none');
  await put('d');
  await all('d < d');
  assert.deepEqual(
    followers.map((each) => each.connections),
    connections,
  );
});
