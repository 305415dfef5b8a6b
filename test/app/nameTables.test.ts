/** Leaders, virtual addresses and the ambassador's name in a server with a worker thread and a store. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { assemble, closeParts, type ServerParts, startMirrors } from '../../src/app/serverParts.ts';
import { readConfig } from '../../src/config/config.ts';
import { Single } from '../../src/dataplane/table/counters.ts';
import type { Log } from '../../src/observability/log.ts';
import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import { type LeaseStore, StoreError } from '../../src/store/store.ts';
import { answerIn, queryOf } from '../support/heldAnswers.ts';
import { openUdpClient } from '../support/udpClient.ts';
import { until } from '../support/until.ts';
import { NO_WORKERS } from '../support/workerListeners.ts';

interface Running {
  readonly parts: ServerParts;
  readonly lines: readonly string[];
  put(key: string, value: unknown): Promise<void>;
  remove(key: string): Promise<void>;
  ask(q: string): Promise<string>;
  /** Waits until the server answers so, and until a worker does without the main thread. */
  answers(q: string, answer: string): Promise<void>;
}

async function serve(
  t: TestContext,
  store: LeaseStore = createMemoryStore(),
  flags: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const read = readConfig({
    flags: { store: 'memory:', 'no-rec': true, workers: '1', vip: true, ...flags },
    env: {},
    readFile: () => ({ problem: 'no files here' }),
    stateDirectory: '/nonexistent',
  });
  assert.ok(read.kind === 'config', JSON.stringify(read));
  const lines: string[] = [];
  const write = (_: unknown, message: string): void => void lines.push(message);
  const log: Log = {
    ...{ debug: () => {}, info: write, warn: write, error: write, close: () => {} },
    setLevel: () => {},
  };
  const parts = assemble(read.config, store, log, undefined);
  t.after(() => closeParts(parts));
  startMirrors(parts);
  await parts.mirror.waitFor(0);
  const { port } = await parts.udp.listen('127.0.0.1', 0);
  const client = await openUdpClient(t);
  const ask = async (q: string): Promise<string> => {
    const [qname = '', type = ''] = q.split(' ');
    const { reply } = await client.ask(port, '127.0.0.1', queryOf(`${qname}.`, type));
    return answerIn(reply);
  };
  const handedOver = (): number =>
    parts.udp.blocks.reduce((sum, { block }) => sum + (block[Single.handedOver] ?? 0), 0);
  return {
    parts,
    lines,
    ask,
    put: async (key, value) => void (await store.put(key, Buffer.from(JSON.stringify(value)))),
    remove: async (key) => void (await store.delete(key)),
    async answers(q, answer) {
      await until(`${q} is ${answer}`, async () => (await ask(q)) === answer);
      await until('a worker answers alone', async () => {
        const before = handedOver();
        assert.equal(await ask(q), answer);
        return handedOver() === before;
      });
    },
  };
}

const DB = '/skydns/local/skydns/db';

describe('a server with a worker', { skip: NO_WORKERS }, () => {
  it('The workers answer with the leader, through each kind of change', async (t) => {
    const { put, remove, answers } = await serve(t);
    const leader = 'leader.db.skydns.local A';
    const is = (last: number): string => `leader.db.skydns.local. 1 IN A 10.0.0.${last}`;
    await answers(leader, 'NXDOMAIN');
    for (const i of [1, 2, 3]) await put(`${DB}/${i}`, { host: `10.0.0.${i}`, port: 5432 });
    await answers(leader, is(1));
    await answers(
      'leader.db.skydns.local SRV',
      'leader.db.skydns.local. 1 IN SRV 10 100 5432 1.db.skydns.local.',
    );
    await put(`${DB}/1`, { host: '10.0.0.9', port: 5432 });
    await answers(leader, is(9));
    await remove(`${DB}/1`);
    await answers(leader, is(2));
    await put(`${DB}/1`, { host: '10.0.0.1', leader: 'manual' });
    await answers(leader, 'NODATA');
    const choice = '/skydns-leader/local/skydns/db';
    for (const i of [3, 1]) {
      await put(choice, { instance: `${i}.db.skydns.local.` });
      await answers(leader, is(i));
    }
    await remove(choice);
    await answers(leader, 'NODATA');
    await put(`${DB}/leader`, { host: '10.0.0.7' });
    await answers(leader, 'leader.db.skydns.local. 3600 IN A 10.0.0.7');
    for (const name of ['leader', '1', '2', '3']) await remove(`${DB}/${name}`);
    await answers(leader, 'NXDOMAIN');
  });

  it('The workers answer with virtual addresses while the ambassador is in force', async (t) => {
    const { parts, put, remove, answers, ask } = await serve(t, undefined, { ttl: '77' });
    const db = 'db.skydns.local A';
    const real = 'db.skydns.local. 77 IN A 10.0.0.1';
    const virtual = (last: number): string => `db.skydns.local. 77 IN A 198.18.0.${last}`;
    const setForce = (virtualAddresses: boolean): void =>
      parts.liveConfig.setAmbassador({ virtualAddresses, ambassador: virtualAddresses });
    await put('/skydns-vip/198.18.0.1', { name: 'db.skydns.local', since: '2015-01-01' });
    await put(`${DB}/1`, { host: '10.0.0.1' });
    await answers(db, real);
    assert.equal(parts.nameTables.state('vip'), undefined);
    await parts.nameTables.followVirtualAddresses();
    await answers(db, real);
    setForce(true);
    await answers(db, virtual(1));
    await remove(`${DB}/1`);
    await answers(db, virtual(1));
    await put('/skydns-vip/198.18.0.2', { name: 'db.skydns.local' });
    await remove('/skydns-vip/198.18.0.1');
    await answers(db, virtual(2));
    assert.equal(
      await ask('ambassador.dns.skydns.local A'),
      'ambassador.dns.skydns.local. 0 IN A 127.0.0.1',
    );
    setForce(false);
    await until('the name is gone', async () => (await ask(db)) === 'NXDOMAIN');
    await answers('ambassador.dns.skydns.local A', 'NXDOMAIN');
    setForce(true);
    await remove('/skydns-vip/198.18.0.2');
    await answers(db, 'NXDOMAIN');
  });
});

describe('Consul’s names in a server with a worker', { skip: NO_WORKERS }, () => {
  it('The workers answer with Consul’s names, through each kind of change', async (t) => {
    const web = '/skydns/local/skydns/east/web';
    const { parts, put, remove, answers, ask } = await serve(t, undefined, {
      'consul-domain': 'consul',
      'consul-base': 'east.skydns.local',
      'consul-dc': 'east=east.skydns.local',
    });
    const srv = (q: string, ...records: readonly string[]): string =>
      records.map((record) => `${q}. 3600 IN SRV ${record}.addr.east.consul.`).join('\n');
    const tcp = '_web._tcp.service.consul';
    await answers(`${tcp} SRV`, 'NXDOMAIN');
    await put(`${web}/1`, { host: '10.0.0.1', port: 81, tags: ['v1'] });
    await answers(`${tcp} SRV`, srv(tcp, '10 100 81 0a000001'));
    await put(`${web}/2`, { host: '10.0.0.2', port: 82, tags: ['v2'] });
    await answers(`${tcp} SRV`, srv(tcp, '10 50 81 0a000001', '10 50 82 0a000002'));
    await answers('v2.web.service.consul A', 'v2.web.service.consul. 3600 IN A 10.0.0.2');
    await put(`${web}/1`, { host: '10.0.0.1', port: 81, tags: ['v2'] });
    const both = 'v2.web.service.consul. 3600 IN A 10.0.0';
    await answers('v2.web.service.consul A', `${both}.1\n${both}.2`);
    const query = 'best.query.consul';
    await answers(`${query} SRV`, 'NXDOMAIN');
    await put('/skydns-query/best', { service: 'web' });
    await answers(`${query} SRV`, srv(query, '10 50 81 0a000001', '10 50 82 0a000002'));
    await remove(`${web}/1`);
    await answers(`${query} SRV`, srv(query, '10 100 82 0a000002'));
    await remove('/skydns-query/best');
    await until('the alias is gone', async () => (await ask(`${query} SRV`)) === 'NXDOMAIN');
    await put('/skydns-vip/198.18.0.1', { name: 'web.east.skydns.local' });
    await parts.nameTables.followVirtualAddresses();
    assert.equal(await ask('web.virtual.consul A'), 'NXDOMAIN');
    parts.liveConfig.setAmbassador({ virtualAddresses: true, ambassador: true });
    await answers('web.virtual.consul A', 'web.virtual.consul. 3600 IN A 198.18.0.1');
    await remove(`${web}/2`);
    await until('it has no instances', async () => (await ask(`${tcp} SRV`)) === 'NXDOMAIN');
    assert.equal(await ask('web.connect.consul A'), 'NXDOMAIN');
    await answers('0a000009.addr.east.consul A', '0a000009.addr.east.consul. 3600 IN A 10.0.0.9');
  });
});

/** A store that denies all keys below a prefix, as etcd does for a user without the permission. */
function denying(store: LeaseStore, denied: string): LeaseStore {
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (String(args[0]).startsWith(denied)) throw new StoreError('denied', 'permission denied');
        return Reflect.apply(value, target, args);
      };
    },
  });
}

describe('a store that denies a table', () => {
  it('The server answers everything else, and logs the denial once', async (t) => {
    const store = denying(createMemoryStore(), '/skydns-leader/');
    const { parts, lines, put, ask } = await serve(t, store, { workers: '0' });
    await put(`${DB}/1`, { host: '10.0.0.1' });
    const leader = 'leader.db.skydns.local. 1 IN A 10.0.0.1';
    await until('it is answered', async () => (await ask('leader.db.skydns.local A')) === leader);
    assert.equal(parts.mirror.state().kind, 'synced');
    await until('it was tried again', () => {
      const state = parts.nameTables.state('leader');
      return state?.kind === 'loading' && state.reason === 'permission denied';
    });
    const warning = 'the store does not show the chosen leaders';
    assert.equal(lines.filter((line) => line === warning).length, 1);
  });
});
