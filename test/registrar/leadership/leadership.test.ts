/** A lock that a registrar gets while it closes. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newIdentity, type Self } from '../../../src/registrar/leadership/identity.ts';
import { Leadership } from '../../../src/registrar/leadership/leadership.ts';
import { lockKeys, parseHolder } from '../../../src/registrar/leadership/lock.ts';
import { Locks } from '../../../src/registrar/leadership/locks.ts';
import { delegateStore } from '../../../src/store/delegate.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
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
    const common = { store, engineId: 'ENGINE', clock: systemClock, random: Math.random };
    const locks = new Locks({ ...common, runId: 'me', answerWithinMs: 100 });
    const ignore = () => undefined;
    const leadership = new Leadership({
      ...common,
      ...{ locks, registrar: { self: () => SELF }, dryRun: false, leaseTtlSeconds: 30 },
      ...{ onIdentity: ignore, onChange: ignore, onEvent: ignore },
    });
    locks.start();
    leadership.start();
    await until('it writes the lock', async () => isPutting);
    locks.close();
    await leadership.close(end);
    const { entry } = await memory.get(HOLDER);
    assert.equal(entry && parseHolder(entry.value)?.isReleased, expected);
    await memory.close();
  });
}
