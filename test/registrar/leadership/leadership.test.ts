/** A lock that a registrar writes while it closes. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newIdentity, type Self } from '../../../src/registrar/leadership/identity.ts';
import { Leadership } from '../../../src/registrar/leadership/leadership.ts';
import { lockKeys, parseHolder } from '../../../src/registrar/leadership/lock.ts';
import { Locks } from '../../../src/registrar/leadership/locks.ts';
import { delegateStore } from '../../../src/store/delegate.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { type LeaseStore, StoreError } from '../../../src/store/store.ts';
import { systemClock } from '../../../src/timing/clock.ts';
import { until } from '../../support/until.ts';

const SELF: Self = {
  runId: 'me',
  host: 'vm',
  bootKey: undefined,
  profile: {
    ...{ name: 'vm', rootDir: '/var/lib/docker', endpoint: undefined, bridgeId: undefined },
    ...{ bootId: 'boot', addresses: ['192.0.2.1'] },
    work: { prefix: '/skydns/', zones: ['skydns.local.'], metadata: 'dns DNS_ dns.' },
  },
  uptimeMs: 0,
};
const HOLDER = lockKeys(newIdentity('ENGINE', SELF.profile)).holder;

function lead(store: LeaseStore, self: () => Self) {
  const common = { store, engineId: 'ENGINE', clock: systemClock, random: Math.random };
  const locks = new Locks({ ...common, runId: 'me', answerWithinMs: 100 });
  const ignore = () => undefined;
  const leadership = new Leadership({
    ...common,
    ...{ locks, registrar: { self }, dryRun: false, leaseTtlSeconds: 30 },
    ...{ onIdentity: ignore, onChange: ignore, onEvent: ignore },
  });
  locks.start();
  leadership.start();
  return { leadership, locks };
}

for (const [end, expected] of [
  ['revoke', undefined],
  ['keep', true],
] as const) {
  it(`A registrar that closes (${end}) gives up its lock, even with a slow store`, async () => {
    const memory = createMemoryStore();
    let isPutting = false;
    const store = delegateStore(memory, {
      async put(key, value, options) {
        isPutting = true;
        await sleep(200);
        return memory.put(key, value, options);
      },
    });
    const { leadership, locks } = lead(store, () => SELF);
    await until('it writes the lock', async () => isPutting);
    locks.close();
    await leadership.close(end);
    const { entry } = await memory.get(HOLDER);
    assert.equal(entry && parseHolder(entry.value)?.isReleased, expected);
    await memory.close();
  });
}

it('A registrar that closes (revoke) gives up its lock although the answer to its last write of the lock is missing', async () => {
  const memory = createMemoryStore();
  let puts = 0;
  const store = delegateStore(memory, {
    async put(key, value, options) {
      const result = await memory.put(key, value, options);
      if (++puts === 2) throw new StoreError('unavailable', 'the answer was lost');
      return result;
    },
  });
  let profile = SELF.profile;
  const { leadership, locks } = lead(store, () => ({ ...SELF, profile }));
  await until('it holds the lock', async () => leadership.state().kind === 'held');
  profile = { ...profile, addresses: ['192.0.2.1', '192.0.2.2'] };
  leadership.refresh();
  await until('it has written the lock again', async () => puts === 2);
  locks.close();
  await leadership.close('revoke');
  assert.equal((await memory.get(HOLDER)).entry, undefined);
  await memory.close();
});
