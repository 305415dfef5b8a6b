/** When a keeper of virtual addresses claims for which of its names. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { VipKeeper } from '../../../src/ambassador/follow/vipKeeper.ts';
import { vipRangesOf } from '../../../src/ambassador/vipRange.ts';
import type { Name } from '../../../src/dns/name.ts';
import { StoreError } from '../../../src/store/store.ts';
import { FakeClock } from '../../support/fakeClock.ts';

const MANY = 200_000;
const OWN: Name = ['own', 'skydns', 'local'];

test('With very many names that wait for other hosts, a name of this host is claimed at once', async () => {
  const clock = new FakeClock();
  let claims = 0;
  const keeper = new VipKeeper({
    store: {
      put: () => {
        claims++;
        return Promise.reject(new StoreError('unavailable', 'down'));
      },
    },
    ...{ prefix: '/skydns-vip/', clock, random: () => 0, onEvent: () => {} },
    ranges: vipRangesOf([{ address: '198.18.0.0', prefixLength: 16 }]),
    requestOf: (name) => ({ name, fixed: undefined, keys: [name[0] ?? ''] }),
    stored: { addressOf: () => undefined, nameAt: () => undefined },
    isLocal: (key) => key === 'own',
  });
  keeper.check(Array.from({ length: MANY }, (_, i) => [`s${i}`, 'skydns', 'local']));
  await clock.advance(400);
  assert.equal(claims, 0);
  keeper.check([OWN]);
  await clock.advance(1);
  assert.equal(claims, 1);
  keeper.close();
});
