/** The renewal of the leases that a killed run left while its engine is down, and the leases that it must not renew. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { holderValue, lockKeys } from '../../../src/registrar/leadership/lock.ts';
import { OrphanLeases } from '../../../src/registrar/leadership/orphanLease.ts';
import type { Entry } from '../../../src/service/change.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import type { LeaseStore } from '../../../src/store/store.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { FakeEngine } from '../../support/fakeEngine.ts';
import { type RegistrarFixture, withRegistrarFixture } from '../../support/registrarFixture.ts';

const WEB = { env: { DNS_NAME: 'web.skydns.local' }, exposed: ['80/tcp'] };
const LEASE_MS = 30_000;
const BOOT_KEY = 'here';
const IDENTITY = { engineId: 'ENGINE', hostPart: '0123456789ab' };

function startBlind(fixture: RegistrarFixture, bootKey: string) {
  const engine = new FakeEngine(fixture.clock);
  engine.lose();
  return fixture.start({ bootKey, engine, dockerGraceSeconds: 300 });
}

describe('a registrar without its engine', () => {
  for (const afterMs of [0, 1_000, 2_000, 3_000, 4_000, 5_000, 9_000])
    it(`A registrar without its engine leaves a dead holder’s lock to a standby that reaches it (${afterMs} ms later)`, () =>
      withRegistrarFixture(async (fixture) => {
        const holder = fixture.start({ bootKey: BOOT_KEY });
        await fixture.settle();
        const standby = fixture.start({ bootKey: 'elsewhere' });
        const web = fixture.engine.run(WEB);
        await fixture.advance(20_000);
        fixture.kill(holder);
        await fixture.advance(afterMs);
        const blind = startBlind(fixture, BOOT_KEY);
        fixture.engine.die(web);
        await fixture.advance(LEASE_MS * 2);
        assert.deepEqual(await fixture.keys(), []);
        assert.equal(standby.registrar.status().role, 'writing');
        assert.equal(blind.registrar.readiness().isReady, false);
      }));

  it('A registrar without its engine does not disturb a living holder on the same machine', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ bootKey: BOOT_KEY });
      await fixture.settle();
      const { link } = startBlind(fixture, BOOT_KEY);
      await fixture.advance(LEASE_MS * 5);
      assert.equal(link.counts.lease, 0);
    }));
});

/** A store whose listings give no lifetimes of leases. With `get`, its reads of single keys give none either. */
function forgetful(store: LeaseStore, kinds: { get: boolean }): LeaseStore {
  const nameless = (entry: Entry): Entry => {
    const { lease } = entry;
    if (lease === undefined) return entry;
    return { ...entry, lease: { id: lease.id, ttlSeconds: undefined, expiresAtMs: undefined } };
  };
  const forgetting = Object.create(store) as LeaseStore;
  return Object.assign(forgetting, {
    async *snapshot(prefix: string) {
      for await (const page of store.snapshot(prefix))
        yield { ...page, entries: page.entries.map(nameless) };
    },
    async get(key: string) {
      const { entry, revision } = await store.get(key);
      return { entry: kinds.get && entry !== undefined ? nameless(entry) : entry, revision };
    },
    renewLease: (id: string) => store.renewLease(id),
  });
}

describe('short leases', () => {
  for (const [what, kinds] of [
    ['listings do not give its lifetime', { get: false }],
    ['no call gives its lifetime', { get: true }],
  ] as const)
    it(`An orphan lease shorter than the renewal interval is kept when ${what}`, async () => {
      const clock = new FakeClock();
      const store = createMemoryStore({ clock });
      const { id } = await store.grantLease(6);
      const holder = {
        runId: 'earlier',
        host: 'h',
        bootKey: BOOT_KEY,
        lease: id,
        isReleased: false,
      };
      await store.put(lockKeys(IDENTITY).holder, holderValue(holder), { lease: id });
      const orphanLeases = new OrphanLeases({
        store: forgetful(store, kinds),
        bootKey: BOOT_KEY,
        clock,
        random: () => 0.5,
      });
      orphanLeases.start();
      await clock.advance(0);
      await clock.advance(60_000);
      assert.notEqual((await store.get(lockKeys(IDENTITY).holder)).entry, undefined);
      orphanLeases.stop();
      await clock.advance(7_000);
      assert.equal((await store.get(lockKeys(IDENTITY).holder)).entry, undefined);
      await store.close();
    });
});
