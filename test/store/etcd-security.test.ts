/** Users and tokens of a real etcd, and contradicting options. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import type { EtcdOptions } from '../../src/store/etcd/options.ts';
import { Mirror } from '../../src/store/mirror.ts';
import type { StoreErrorCode } from '../../src/store/store.ts';
import { makeJwtKeys } from '../support/certificates.ts';
import { type Etcd, startEtcd, withEtcdStore } from '../support/etcd.ts';
import { ETCD_VERSIONS } from '../support/etcdVersions.ts';
import { CheckedReplica } from '../support/replica.ts';
import { assertCode, firstBatch } from '../support/storeCalls.ts';
import { until } from '../support/until.ts';

const PREFIX = '/skydns/';
const KEY = `${PREFIX}local/a`;
const DEEP = '/team/dns/';

const isCode = (code: StoreErrorCode) => (error: unknown) => assertCode(error, code);

const jwtKeys = makeJwtKeys();
after(() => jwtKeys.remove());

describe('etcd versions', { concurrency: 3 }, () => {
  for (const { title, options, command } of ETCD_VERSIONS)
    describe(title, options, () => tokens(command));
});

function tokens(command: string): void {
  for (const [kind, args] of [
    ['simple', ['--auth-token-ttl', '2']],
    ['jwt', ['--auth-token', `jwt,${jwtKeys.options},sign-method=RS256,ttl=2s`]],
  ] as const) {
    describe(`users with ${kind} tokens`, () => users(command, args));
  }
}

function users(command: string, args: readonly string[]): void {
  let etcd: Etcd;
  before(async () => {
    etcd = await startEtcd({ command, args });
    for (const [user, role, mode] of [
      ['writer', 'rw', 'readwrite'],
      ['reader', 'ro', 'read'],
      ['deep', 'below', 'readwrite'],
    ] as const) {
      await etcd.etcdctl(['role', 'add', role]);
      const prefix = user === 'deep' ? DEEP : PREFIX;
      await etcd.etcdctl(['role', 'grant-permission', '--prefix=true', role, mode, prefix]);
      await etcd.etcdctl(['user', 'add', `${user}:secret-${user}`]);
      await etcd.etcdctl(['user', 'grant-role', user, role]);
    }
    await etcd.etcdctl(['user', 'add', 'root:root']);
    await etcd.etcdctl(['user', 'grant-role', 'root', 'root']);
    await etcd.etcdctl(['auth', 'enable']);
  });
  after(() => etcd.stop());

  const as = (user: string, password = `secret-${user}`): EtcdOptions => ({
    endpoints: [etcd.endpoint],
    user,
    password,
    allowPlaintextAuth: true,
  });

  it('A user with a role on a prefix of several components can use the store there', () =>
    withEtcdStore(as('deep'), async (store) => {
      const key = `${DEEP}local/skydns/a`;
      const nowhere = await store.locate(`${key}/b/c`);
      assert.deepEqual([nowhere.end, nowhere.endHasEntry], [DEEP.slice(0, -1), false]);
      assert.ok((await store.put(key, Buffer.from('1'))).done);
      const location = await store.locate(`${key}/b/c`);
      assert.deepEqual([location.end, location.endHasEntry], [key, true]);
      await assert.rejects(store.locate('/team/other'), isCode('denied'));
      assert.equal((await store.deleteTree(DEEP)).deleted, 1);
    }));

  it('A user with a role on the prefix can make every call there', () =>
    withEtcdStore(as('writer'), async (store) => {
      const nowhere = await store.locate(`${PREFIX}a/b`);
      assert.deepEqual([nowhere.end, nowhere.endHasEntry], [PREFIX.slice(0, -1), false]);
      assert.ok((await store.put(KEY, Buffer.from('1'), { ttlSeconds: 60 })).done);
      assert.equal((await store.locate(`${KEY}/x`)).end, KEY);
      assert.equal((await store.get(KEY)).entry?.lease?.ttlSeconds, 60);
      for await (const { entries } of store.snapshot(PREFIX)) assert.equal(entries.length, 1);
      assert.notEqual(await firstBatch(store, PREFIX), undefined);
      assert.ok((await store.delete(KEY, { if: { kind: 'present' } })).done);
      assert.equal((await store.deleteTree(PREFIX)).deleted, 0);
    }));

  it('A user who may only read can mirror and cannot write', () =>
    withEtcdStore(as('reader'), async (store) => {
      const replica = new CheckedReplica();
      const mirror = new Mirror({ store, prefix: PREFIX, replica });
      mirror.start();
      await until('it is loaded', () => mirror.state().kind === 'synced');
      await assert.rejects(store.put(KEY, Buffer.from('1')), isCode('denied'));
      const written = await withEtcdStore(as('writer'), (writer) =>
        writer.put(KEY, Buffer.from('2')),
      );
      await mirror.waitFor(written.done ? written.entry.modRevision : Number.NaN);
      assert.equal(replica.entries.get(KEY)?.value.toString(), '2');
      mirror.close();
    }));

  it('Every call outside the prefix is denied, including a watch', () =>
    withEtcdStore(as('writer'), async (store) => {
      await assert.rejects(store.get('/other/a'), isCode('denied'));
      await assert.rejects(store.put('/other/a', Buffer.of()), isCode('denied'));
      await assert.rejects(firstBatch(store, '/other/'), isCode('denied'));
    }));

  it('A wrong password and a missing user are denied', async () => {
    await withEtcdStore(as('writer', 'wrong'), async (store) => {
      await assert.rejects(store.get(KEY), isCode('denied'));
      await assert.rejects(firstBatch(store, PREFIX), isCode('denied'));
    });
    await withEtcdStore({ endpoints: [etcd.endpoint] }, (store) =>
      assert.rejects(store.get(KEY), isCode('denied')),
    );
  });

  it('The etcd store renews an expired token for calls and for a watch', { timeout: 60_000 }, () =>
    withEtcdStore(as('writer'), async (store) => {
      const abort = new AbortController();
      const seen: string[] = [];
      const { revision } = await store.get(KEY);
      const watching = (async () => {
        for await (const { changes } of store.watch(PREFIX, revision + 1, abort.signal)) {
          for (const change of changes) seen.push(change.kind);
        }
      })();
      await sleep(5_000);
      await Promise.all([store.get(KEY), store.get(KEY), store.put(KEY, Buffer.from('3'))]);
      await until('the old watch goes on', () => seen.length > 0);
      abort.abort();
      await watching;
      await sleep(4_000);
      assert.notEqual(await firstBatch(store, PREFIX), undefined);
    }),
  );

  it('A role that changes during a token’s lifetime does not disturb the store', () =>
    withEtcdStore(as('writer'), async (store) => {
      await store.get(KEY);
      const root = ['--user', 'root:root'];
      await etcd.etcdctl([...root, 'role', 'grant-permission', 'rw', 'readwrite', '/extra']);
      assert.ok((await store.put('/extra', Buffer.of())).done);
      assert.ok((await store.put(KEY, Buffer.of())).done);
    }));

  it('The etcd store sends no password in plain text without an option and does not print it', () => {
    const { allowPlaintextAuth: _, ...options } = as('writer');
    assert.throws(() => new EtcdStore(options), isCode('invalid'));
    return withEtcdStore(as('writer'), async ({ label }) => assert.doesNotMatch(label, /secret/));
  });
}

describe('options', () => {
  const refused: Array<[string, EtcdOptions]> = [
    ['a list without an endpoint', { endpoints: [] }],
    ['an endpoint without an address', { endpoints: ['http://'] }],
    ['an endpoint with a path', { endpoints: ['http://127.0.0.1:2379/x'] }],
    ['an endpoint with credentials', { endpoints: ['http://u:p@127.0.0.1:2379'] }],
    [
      'endpoints with and without TLS together',
      { endpoints: ['https://127.0.0.1:1', 'http://127.0.0.1:2'] },
    ],
    ['an endpoint without TLS although TLS is set', { endpoints: ['http://127.0.0.1:1'], tls: {} }],
    ['a key without a certificate', { endpoints: ['127.0.0.1:1'], tls: { key: Buffer.of(1) } }],
    ['a user without a password', { endpoints: ['https://127.0.0.1:1'], user: 'u' }],
  ];
  for (const [what, options] of refused) {
    it(`The etcd options refuse ${what}`, () => {
      assert.throws(() => new EtcdStore(options), isCode('invalid'));
    });
  }

  it('An etcd endpoint can omit its port, and an IPv6 address is in brackets', () =>
    withEtcdStore({ endpoints: ['[::1]', 'http://etcd.example:4001'] }, async ({ label }) =>
      assert.equal(label, 'etcd://[::1]:2379,etcd.example:4001'),
    ));
});
