/**
 * Leaders of services, the variables of links, and Consul's names, while instances die and move between real Docker
 * hosts: every server must name the same leader, and connections must follow.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chooseInstance } from '../../src/ambassador/names/chooseInstance.ts';
import { type Name, parseName, printName } from '../../src/dns/name.ts';
import { Class, Rcode, Type } from '../../src/dns/rr.ts';
import { type Change, keyOfChange } from '../../src/service/change.ts';
import { keyPrefix, tablePrefix } from '../../src/service/key.ts';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { Mirror } from '../../src/store/mirror.ts';
import { spawnCli } from '../support/cli.ts';
import { dig } from '../support/dig.ts';
import { connectOften, serveFlows, watchFlow } from '../support/flows.ts';
import type { Host } from '../support/host.ts';
import { LEASE_TTL_SECONDS } from '../support/host.ts';
import { type Hosts, useHosts } from '../support/hosts.ts';
import { query } from '../support/server.ts';
import { until } from '../support/until.ts';

const hosts = useHosts({
  options: ['--vip', '--consul-domain', 'consul', '--register-node-meta', 'rack=7'],
});
const PREFIX = keyPrefix('skydns');
const KILLS = 20;

function nameOf(text: string): Name {
  return parseName(text) ?? assert.fail(text);
}

function storeAt({ etcd }: Host): EtcdStore {
  return new EtcdStore({ endpoints: [`http://${etcd.endpoint}`] });
}

/** The leaders of a service by the store's own order: after each of its changes the oldest instance that is left. */
class StoredLeaders {
  readonly history: { readonly leader: string; readonly atMs: number }[] = [];
  readonly #present = new Map<string, number>();
  readonly #store: EtcdStore;
  readonly #mirror: Mirror;

  constructor(host: Host, prefix: string) {
    this.#store = storeAt(host);
    const replica = {
      apply: (changes: readonly Change[]) => {
        for (const change of changes) this.#note(change, prefix);
      },
      revisions: () => [],
    };
    this.#mirror = new Mirror({ store: this.#store, prefix, replica });
    this.#mirror.start();
  }

  get leader(): string {
    return this.history.at(-1)?.leader ?? '';
  }

  get instances(): readonly string[] {
    return [...this.#present.keys()];
  }

  close(): Promise<void> {
    this.#mirror.close();
    return this.#store.close();
  }

  #note(change: Change, prefix: string): void {
    const id = keyOfChange(change).slice(prefix.length);
    if (change.kind === 'put') this.#present.set(id, change.entry.createRevision);
    else this.#present.delete(id);
    const [oldest] = [...this.#present].sort(([, a], [, b]) => a - b);
    const leader = oldest?.[0] ?? '';
    if (leader !== this.leader) this.history.push({ leader, atMs: performance.now() });
  }
}

/** Asks a server again and again who leads, and whether a name that is about to go is still there. */
class AskedLeaders {
  /** Each answer that differs from the one before; '' for none. */
  readonly seen: { readonly leader: string; readonly atMs: number }[] = [];
  /** When each name was first denied. */
  readonly denied = new Map<string, number>();
  #doomed = '';
  #isClosed = false;
  readonly #running: Promise<void>;

  constructor(host: Host, service: string) {
    this.#running = this.#ask(host, service);
  }

  /** Notes when this name is denied. */
  watch(doomed: string): void {
    this.#doomed = doomed;
    this.denied.delete(doomed);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return this.#running;
  }

  async #ask(host: Host, service: string): Promise<void> {
    const question = (text: string, qtype: number) =>
      query(host.dns, { qname: nameOf(text), qtype, qclass: Class.IN });
    while (!this.#isClosed) {
      const { answer } = await question(`leader.${service}`, Type.SRV);
      const [rdata] = answer.map((rr) => rr.rdata);
      const leader = rdata?.kind === 'srv' ? (rdata.target[0] ?? '') : '';
      if (leader !== (this.seen.at(-1)?.leader ?? ''))
        this.seen.push({ leader, atMs: performance.now() });
      const doomed = this.#doomed;
      if (doomed !== '' && !this.denied.has(doomed)) {
        const { rcode } = await question(`${doomed}.${service}`, Type.A);
        if (rcode === Rcode.NXDOMAIN) this.denied.set(doomed, performance.now());
      }
      await sleep(3);
    }
  }
}

function isSubsequence(part: readonly string[], whole: readonly string[]): boolean {
  let at = 0;
  for (const each of whole) if (each === part[at]) at++;
  return at === part.length;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

function describeMs(numbers: readonly number[]): string {
  return `p50 ${median(numbers).toFixed(1)} ms, max ${Math.max(...numbers).toFixed(1)} ms`;
}

const DB = 'db.skydns.local';

test(
  'All servers name the oldest instance after each of twenty deaths of the leader, and never one out of the store’s order',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    const stored = new StoredLeaders(c, `${PREFIX}local/skydns/db/`);
    const asked = [a, b, c].map((host) => new AskedLeaders(host, DB));
    const places = new Map<string, { readonly host: Host; readonly id: string }>();
    const isStored = (name: string): Promise<void> =>
      until(`${name} is stored`, () => stored.instances.includes(name), 20_000);
    const start = async (name: string, host: Host): Promise<void> => {
      const env = { DNS_NAME: `${name}.${DB}` };
      const id = await serveFlows(host, { text: name, ports: [5432], env });
      places.set(name, { host, id });
      await isStored(name);
    };
    const agree = (leader: string): Promise<void> =>
      until(
        `all servers name ${leader}`,
        () => asked.every(({ seen }) => seen.at(-1)?.leader === leader),
        20_000,
      );
    try {
      for (const [name, host] of [
        ['i0', a],
        ['i1', b],
        ['i2', a],
      ] as const)
        await start(name, host);
      await agree('i0');
      const delays: number[] = [];
      const plainDelays: number[] = [];
      for (let kill = 0; kill < KILLS; kill++) {
        const dead = stored.leader;
        const place = places.get(dead) ?? assert.fail(`${dead} was not started`);
        for (const each of asked) each.watch(dead);
        await place.host.dockerd.docker('kill', place.id);
        await until(`${dead} leads no more`, () => stored.leader !== dead, 20_000);
        const changedMs = stored.history.at(-1)?.atMs ?? 0;
        await agree(stored.leader);
        await until('its name is denied', () => asked.every(({ denied }) => denied.has(dead)));
        for (const { seen, denied } of asked) {
          delays.push(Math.max(0, (seen.at(-1)?.atMs ?? 0) - changedMs));
          plainDelays.push(Math.max(0, (denied.get(dead) ?? 0) - changedMs));
        }
        // The registrar holds back a container that starts again and again, so this is another one.
        await start(`i${kill + 3}`, place.host);
      }
      console.log(`leader: ${describeMs(delays)}; plain record: ${describeMs(plainDelays)}`);
      assert.ok(median(delays) <= Math.max(150, 2 * median(plainDelays) + 50));
      const order = stored.history.map(({ leader }) => leader);
      for (const { seen } of asked)
        assert.ok(
          isSubsequence(
            seen.map(({ leader }) => leader),
            order,
          ),
          `${seen.map(({ leader }) => leader)} is not in the order ${order}`,
        );

      await Promise.all(asked.map((each) => each.close()));
      const leader = stored.leader;
      const changes = stored.history.length;
      const { host } = places.get(leader) ?? assert.fail(leader);
      const startedMs = performance.now();
      await host.soradns.end('SIGKILL');
      await host.startSoradns();
      const tookMs = performance.now() - startedMs;
      for (const { dns } of [a, b, c]) {
        const { answer } = await dig(dns, 'SRV', `leader.${DB}`);
        assert.match(answer.join(), new RegExp(` ${stored.leader}\\.db\\.skydns\\.local\\.$`));
      }
      // A lease is renewed three times in its lifetime, so a slow restart may lose it.
      if (tookMs < LEASE_TTL_SECONDS * 600) assert.equal(stored.history.length, changes);
      else console.log(`the restart took ${tookMs.toFixed(0)} ms, so the lease may have ended`);
    } finally {
      await Promise.all([...asked, stored].map((each) => each.close()));
    }
  }),
);

/** Waits until the name has one A record, which is a virtual address; returns it. */
async function virtualAddress(host: Host, name: string): Promise<string> {
  let text = '';
  const isVirtual = async (): Promise<boolean> => {
    ({ text } = await dig(host.dns, name, 'A', '+short'));
    return /^198\.18\.[0-9.]+$/.test(text.trim());
  };
  await until(`${host.name} answers ${name} with a virtual address`, isVirtual, 30_000);
  return text.trim();
}

async function targetsOf(host: Host, name: string): Promise<readonly string[]> {
  const { answer } = await dig(host.dns, 'SRV', name);
  return answer.map((line) => line.split(' ').at(-1) ?? '').sort();
}

test(
  'Every server answers a host’s name in Consul’s form with the host’s address and text',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    // The hosts of this test share their name, so one of them has it.
    const node = await a.dockerd.docker('info', '--format', '{{.Name}}');
    const addresses = [a, b, c].map(({ address }) => address);
    for (const { dns } of [a, b, c])
      await until('the name is answered', async () => {
        const { text } = await dig(dns, `${node}.node.consul`, 'A', '+short');
        const texts = await dig(dns, `${node}.node.consul`, 'TXT', '+short');
        return addresses.includes(text.trim()) && texts.text.trim() === '"rack=7"';
      });
  }),
);

const MYSQL = 'mysql.skydns.local';

test(
  'One of ten writers chooses the leader, a connection through its virtual address is reset, and no set of instances has the name of the leader',
  hosts.options,
  hosts.on(async ({ a, b, c }: Hosts) => {
    for (const [text, host] of [
      ['m1', a],
      ['m2', b],
    ] as const) {
      const env = { DNS_NAME: `${text}.${MYSQL}`, DNS_LEADER: 'manual' };
      await serveFlows(host, { text, ports: [3306], env });
    }
    const stores = Array.from({ length: 10 }, (_, i) => storeAt([a, b, c][i % 3] as Host));
    try {
      const choose = (store: EtcdStore, text: string, expected: Name | 'none') => {
        const wish = { name: nameOf(MYSQL), instance: nameOf(`${text}.${MYSQL}`), expected };
        return chooseInstance(store, PREFIX, wish);
      };
      const [store] = stores;
      assert.ok(store !== undefined);
      assert.deepEqual(await choose(store, 'm1', 'none'), { kind: 'chosen' });
      const given = JSON.stringify({ name: `leader.${MYSQL}` });
      await store.put(`${tablePrefix(PREFIX, 'vip')}198.18.255.10`, Buffer.from(given));
      const address = await virtualAddress(c, `leader.${MYSQL}`);
      const place = { kind: 'container' } as const;
      await until(
        'the virtual address leads to m1',
        async () => {
          const { replies } = await connectOften(c, place, [address, 3306], { count: 3 });
          return replies.m1 === 3;
        },
        20_000,
      );
      const flow = watchFlow(c, place, 'stream', [address, 3306], { everyMs: 10, seconds: 60 });
      await flow.saw('m1 answers', ({ reply = '' }) => reply.startsWith('m1 '));

      const startedMs = performance.now();
      const results = await Promise.all(
        stores.map((each) => choose(each, 'm2', nameOf(`m1.${MYSQL}`))),
      );
      const { error } = await flow.saw('the connection ends', (one) => one.error !== undefined);
      console.log(
        `reset ${(performance.now() - startedMs).toFixed(0)} ms after the ten writes began`,
      );
      assert.match(error ?? '', /reset/);
      assert.equal(results.filter(({ kind }) => kind === 'chosen').length, 1);
      for (const result of results)
        if (result.kind === 'conflict')
          assert.equal(result.current && printName(result.current), `m2.${MYSQL}.`);
      const { replies } = await connectOften(c, place, [address, 3306], { count: 5 });
      assert.deepEqual(replies, { m2: 5 });

      for (const host of [a, b, c]) {
        await until(
          `${host.name} names m2`,
          async () => (await targetsOf(host, `leader.${MYSQL}`)).join() === `m2.${MYSQL}.`,
        );
        for (const name of [MYSQL, `any.${MYSQL}`, `*.${MYSQL}`, 'skydns.local'])
          assert.deepEqual(await targetsOf(host, name), [`m1.${MYSQL}.`, `m2.${MYSQL}.`], name);
        const { text } = await dig(host.dns, MYSQL, 'A', '+short');
        assert.deepEqual(text.trim().split('\n').sort(), [a.address, b.address].sort());
      }
    } finally {
      await Promise.all(stores.map((each) => each.close()));
    }
  }),
);

test(
  'A consumer that runs with the variables of links reconnects when its database moves to another host, as one does that knows Consul’s virtual name',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    const name = 'store.skydns.local';
    const provide = (host: Host): Promise<string> => {
      const env = { DNS_NAME: `1.${name}`, DNS_VIP: 'auto' };
      return serveFlows(host, { text: `on-${host.name}`, ports: [5432], env });
    };
    const first = await provide(a);
    const address = await virtualAddress(c, name);
    const store = ['--store', `etcd://${c.etcd.endpoint}`];
    const links = await spawnCli(['links', ...store, '--format', 'docker', `db=${name}`]);
    assert.equal(links.code, 0, links.stderr);
    assert.ok(links.stdout.includes(`-e DB_PORT=tcp://${address}:5432 `), links.stdout);
    const loop =
      'while :; do flow connects "$DB_PORT_5432_TCP_ADDR" "$DB_PORT_5432_TCP_PORT" 1 0; sleep 0.1; done';
    const command = ['peer', 'sh', '-c', loop];
    const options = ['--detach', '--init', ...links.stdout.trim().split(' ')];
    const consumer = await c.dockerd.docker('run', ...options, ...command);
    const reaches = (text: string): Promise<void> =>
      until(
        `the consumer reaches ${text}`,
        async () => (await c.dockerd.docker('logs', '--tail', '3', consumer)).includes(text),
        20_000,
      );
    await reaches('"on-a":1');
    await a.dockerd.docker('rm', '--force', first);
    await provide(b);
    await reaches('"on-b":1');
    assert.equal(await virtualAddress(c, name), address);
    const place = { kind: 'container' } as const;
    const seen = await connectOften(c, place, ['store.virtual.consul', 5432], { count: 10 });
    assert.deepEqual(seen.replies, { 'on-b': 10 });
  }),
);
