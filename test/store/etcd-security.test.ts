/** Users, tokens and certificates of a real etcd. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdOptions } from '../../src/store/etcd/options.ts';
import { openEtcdStore } from '../../src/store/etcd.ts';
import { createMirror } from '../../src/store/mirror.ts';
import { type Store, StoreError, type StoreErrorCode } from '../../src/store/store.ts';
import { type Certificates, makeCertificates, makeJwtKeys } from '../support/certificates.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { CheckedReplica } from '../support/replica.ts';
import { until } from '../support/until.ts';

const PREFIX = '/skydns/';
const KEY = `${PREFIX}local/a`;

async function withStore<T>(options: EtcdOptions, use: (store: Store) => Promise<T>): Promise<T> {
  const store = openEtcdStore(options);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

const isCode = (code: StoreErrorCode) => (error: unknown) => {
  assert.ok(error instanceof StoreError, String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

const firstBatch = async (store: Store, prefix: string): Promise<unknown> => {
  for await (const batch of store.watch(prefix, 1, AbortSignal.timeout(20_000))) return batch;
  return undefined;
};

const jwtKeys = makeJwtKeys();
after(() => jwtKeys.remove());

for (const [kind, args] of [
  ['simple', ['--auth-token-ttl', '2']],
  ['jwt', ['--auth-token', `jwt,${jwtKeys.options},sign-method=RS256,ttl=2s`]],
] as const) {
  describe(`users with ${kind} tokens`, () => users(args));
}

function users(args: readonly string[]): void {
  let etcd: Etcd;
  before(async () => {
    etcd = await startEtcd({ args });
    for (const [user, role, mode] of [
      ['writer', 'rw', 'readwrite'],
      ['reader', 'ro', 'read'],
    ] as const) {
      await etcd.etcdctl(['role', 'add', role]);
      await etcd.etcdctl(['role', 'grant-permission', '--prefix=true', role, mode, PREFIX]);
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

  it('a user with the role on the prefix does everything there', () =>
    withStore(as('writer'), async (store) => {
      assert.ok((await store.put(KEY, Buffer.from('1'), { ttlSeconds: 60 })).done);
      assert.equal((await store.get(KEY)).entry?.lease?.ttlSeconds, 60);
      for await (const { entries } of store.snapshot(PREFIX)) assert.equal(entries.length, 1);
      assert.notEqual(await firstBatch(store, PREFIX), undefined);
      assert.ok((await store.delete(KEY, { if: { kind: 'present' } })).done);
      assert.equal((await store.deleteTree(PREFIX)).deleted, 0);
    }));

  it('a reader mirrors, and writes nothing', () =>
    withStore(as('reader'), async (store) => {
      const replica = new CheckedReplica();
      const mirror = createMirror({ store, prefix: PREFIX, replica });
      mirror.start();
      await until('it is loaded', () => mirror.state().kind === 'synced');
      await assert.rejects(store.put(KEY, Buffer.from('1')), isCode('denied'));
      const written = await withStore(as('writer'), (writer) => writer.put(KEY, Buffer.from('2')));
      await mirror.waitFor(written.done ? written.entry.modRevision : Number.NaN);
      assert.equal(replica.entries.get(KEY)?.value.toString(), '2');
      mirror.close();
    }));

  it('outside the prefix all is denied, the watch too', () =>
    withStore(as('writer'), async (store) => {
      await assert.rejects(store.get('/other/a'), isCode('denied'));
      await assert.rejects(store.put('/other/a', Buffer.of()), isCode('denied'));
      await assert.rejects(firstBatch(store, '/other/'), isCode('denied'));
    }));

  it('a wrong password and no user at all are denied', async () => {
    await withStore(as('writer', 'wrong'), async (store) => {
      await assert.rejects(store.get(KEY), isCode('denied'));
      await assert.rejects(firstBatch(store, PREFIX), isCode('denied'));
    });
    await withStore({ endpoints: [etcd.endpoint] }, (store) =>
      assert.rejects(store.get(KEY), isCode('denied')),
    );
  });

  it('an expired token is renewed, for calls and for a watch', { timeout: 60_000 }, () =>
    withStore(as('writer'), async (store) => {
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

  it('a role that changes under a live token changes nothing for the store', () =>
    withStore(as('writer'), async (store) => {
      await store.get(KEY);
      const root = ['--user', 'root:root'];
      await etcd.etcdctl([...root, 'role', 'grant-permission', 'rw', 'readwrite', '/extra']);
      assert.ok((await store.put('/extra', Buffer.of())).done);
      assert.ok((await store.put(KEY, Buffer.of())).done);
    }));

  it('user and password are not sent in plain text unasked, and not shown', () => {
    const { allowPlaintextAuth: _, ...options } = as('writer');
    assert.throws(() => openEtcdStore(options), isCode('invalid'));
    return withStore(as('writer'), async ({ label }) => assert.doesNotMatch(label, /secret/));
  });
}

describe('TLS', () => {
  let certificates: Certificates;
  let etcd: Etcd;
  let strict: Etcd;
  before(async () => {
    certificates = makeCertificates();
    const { path } = certificates;
    const tls = { ca: path('ca.pem'), cert: path('server.pem'), key: path('server-key.pem') };
    etcd = await startEtcd({ tls });
    strict = await startEtcd({ tls: { ...tls, clientAuth: true } });
  });
  after(async () => {
    await Promise.all([etcd.stop(), strict.stop()]);
    certificates.remove();
  });

  it('works with the right CA, for an address and for a name', async () => {
    const ca = certificates.pem('ca.pem');
    for (const host of ['127.0.0.1', 'localhost']) {
      const endpoint = etcd.endpoint.replace('127.0.0.1', host);
      await withStore({ endpoints: [endpoint], tls: { ca } }, async (store) => {
        assert.ok((await store.put(KEY, Buffer.from('1'))).done);
        assert.notEqual(await firstBatch(store, PREFIX), undefined);
        assert.match(store.label, /^etcds:/);
      });
    }
  });

  it('refuses a server that another CA signed, or none that we know', async () => {
    const stranger = { endpoints: [etcd.endpoint], tls: { ca: certificates.pem('stranger.pem') } };
    const system = { endpoints: [`https://${etcd.endpoint}`] };
    for (const options of [stranger, system]) {
      await withStore(options, async (store) => {
        await assert.rejects(store.get(KEY), isCode('denied'));
        await assert.rejects(firstBatch(store, PREFIX), isCode('denied'));
      });
    }
  });

  it('refuses a server that is somebody else', async () => {
    const { path } = certificates;
    const other = await startEtcd({
      tls: { ca: path('ca.pem'), cert: path('elsewhere.pem'), key: path('elsewhere-key.pem') },
    });
    try {
      const tls = { ca: certificates.pem('ca.pem') };
      await withStore({ endpoints: [other.endpoint], tls }, (store) =>
        assert.rejects(store.get(KEY), isCode('denied')),
      );
    } finally {
      await other.stop();
    }
  });

  it('shows its own certificate where one is asked for', async () => {
    const ca = certificates.pem('ca.pem');
    const client = {
      cert: certificates.pem('client.pem'),
      key: certificates.pem('client-key.pem'),
    };
    await withStore({ endpoints: [strict.endpoint], tls: { ca, ...client } }, async (store) => {
      assert.ok((await store.put(KEY, Buffer.from('1'))).done);
    });
    await withStore({ endpoints: [strict.endpoint], tls: { ca } }, (store) =>
      assert.rejects(store.get(KEY), (error) => {
        assert.ok(error instanceof StoreError);
        // How a refusal after the handshake shows depends on what is read first: the alert or the end.
        assert.match(error.code, /denied|unavailable/);
        return true;
      }),
    );
  });

  it('plain text to a TLS port is unavailable, not a crash', () =>
    withStore({ endpoints: [`http://${etcd.endpoint}`], callTimeoutMs: 2_000 }, (store) =>
      assert.rejects(store.get(KEY), isCode('unavailable')),
    ));
});

describe('options', () => {
  const refused: Array<[string, EtcdOptions]> = [
    ['no endpoint', { endpoints: [] }],
    ['no address', { endpoints: ['http://'] }],
    ['a path', { endpoints: ['http://127.0.0.1:2379/x'] }],
    ['credentials in the address', { endpoints: ['http://u:p@127.0.0.1:2379'] }],
    ['TLS and plain mixed', { endpoints: ['https://127.0.0.1:1', 'http://127.0.0.1:2'] }],
    ['plain although TLS is set', { endpoints: ['http://127.0.0.1:1'], tls: {} }],
    ['a key without certificate', { endpoints: ['127.0.0.1:1'], tls: { key: Buffer.of(1) } }],
    ['a user without password', { endpoints: ['https://127.0.0.1:1'], user: 'u' }],
  ];
  for (const [what, options] of refused) {
    it(`${what}: refused`, () => {
      assert.throws(() => openEtcdStore(options), isCode('invalid'));
    });
  }

  it('the port may be left out, and an IPv6 address is in brackets', () =>
    withStore({ endpoints: ['[::1]', 'http://etcd.example:4001'] }, async ({ label }) =>
      assert.equal(label, 'etcd://[::1]:2379,etcd.example:4001'),
    ));
});
