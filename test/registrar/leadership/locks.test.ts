/** Locks in each kind of store: how long ago a lock was renewed, and whether its holder answers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type LockHolder,
  newIdentity,
  type Profile,
  type Self,
} from '../../../src/registrar/leadership/identity.ts';
import { holderValue, lockKeys } from '../../../src/registrar/leadership/lock.ts';
import { Locks } from '../../../src/registrar/leadership/locks.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { EtcdStore } from '../../../src/store/etcd/etcdStore.ts';
import { HttpStore } from '../../../src/store/http/httpStore.ts';
import type { LeaseStore } from '../../../src/store/store.ts';
import { systemClock } from '../../../src/timing/clock.ts';
import { startEtcd } from '../../support/etcd.ts';
import { startTestServer } from '../../support/server.ts';
import { until } from '../../support/until.ts';

const work = { prefix: '/skydns/', zones: ['skydns.local.'], metadata: 'dns DNS_ dns.' };
const BEFORE: Profile = {
  ...{ name: 'vm', rootDir: '/var/lib/docker', endpoint: undefined, bridgeId: undefined },
  ...{ bootId: 'before', addresses: ['192.0.2.1'], work },
};
const SELF: Self = {
  runId: 'me',
  host: 'vm',
  bootKey: undefined,
  profile: { ...BEFORE, bootId: 'after' },
  uptimeMs: 0,
};
const ANSWER_MS = 1_000;

interface Opened {
  readonly store: LeaseStore;
  close(): Promise<void>;
}

const STORES: Readonly<Record<string, () => Promise<Opened>>> = {
  async memory() {
    const store = createMemoryStore();
    return { store, close: () => store.close() };
  },
  async etcd() {
    const etcd = await startEtcd();
    const store = new EtcdStore({ endpoints: [etcd.endpoint] });
    return {
      store,
      async close() {
        await store.close();
        await etcd.stop();
      },
    };
  },
  async http() {
    const server = await startTestServer({});
    const url = `http://${server.http?.address}:${server.http?.port}`;
    const store = new HttpStore({ url });
    return {
      store,
      async close() {
        await store.close();
        await server.close();
      },
    };
  },
};

for (const [name, open] of Object.entries(STORES))
  describe(`locks in a store of the kind ${name}`, () => {
    async function withLocks(body: (store: LeaseStore, locks: Locks) => Promise<void>) {
      const { store, close } = await open();
      const common = { store, clock: systemClock, random: Math.random };
      const locks = new Locks({
        ...common,
        engineId: 'ENGINE',
        runId: 'me',
        answerWithinMs: ANSWER_MS,
      });
      locks.start();
      try {
        await body(store, locks);
      } finally {
        locks.close();
        await close();
      }
    }

    async function lock(store: LeaseStore, profile: Profile): Promise<LockHolder> {
      const { id } = await store.grantLease(30);
      const identity = newIdentity('ENGINE', profile);
      const holder = { runId: 'other', host: 'vm', lease: id, isReleased: true, profile };
      await store.put(lockKeys(identity).holder, holderValue(holder), { lease: id });
      return { ...holder, bootKey: undefined };
    }

    it(`A lock in a ${name} store shows whether it was renewed since this machine booted`, () =>
      withLocks(async (store, locks) => {
        await lock(store, BEFORE);
        await sleep(3_500);
        const ours = newIdentity('ENGINE', BEFORE);
        const chosen = await locks.chooseIdentity(
          { ...SELF, uptimeMs: 1_000 },
          { mayChallenge: true },
        );
        assert.deepEqual(chosen.identity, ours);
        const long = await locks.chooseIdentity(
          { ...SELF, uptimeMs: 3_600_000 },
          { mayChallenge: true },
        );
        assert.deepEqual(long.identity, newIdentity('ENGINE', SELF.profile));
      }));

    it(`A lock in a ${name} store shows whether its holder is alive`, () =>
      withLocks(async (store, locks) => {
        await lock(store, BEFORE);
        const identity = newIdentity('ENGINE', BEFORE);
        const { challenge } = lockKeys(identity);
        assert.equal(await locks.isHolderAlive(identity), false);
        await store.delete(challenge);
        const asking = locks.isHolderAlive(identity);
        await until('the challenge is in the store', async () => {
          const { entry } = await store.get(challenge);
          if (entry !== undefined) await store.delete(challenge);
          return entry !== undefined;
        });
        assert.equal(await asking, true);
      }));
  });
