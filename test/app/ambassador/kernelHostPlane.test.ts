/** Which routes the kernel gets from an ambassador that starts where another one has run. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { VirtualAddresses } from '../../../src/ambassador/names/virtualAddresses.ts';
import type { KernelRoute, Slot } from '../../../src/ambassador/nft/kernelRoute.ts';
import type { NftPlane } from '../../../src/ambassador/nft/nftPlane.ts';
import { HostAmbassador } from '../../../src/app/ambassador/hostAmbassador.ts';
import { KernelHostPlane } from '../../../src/app/ambassador/kernelHostPlane.ts';
import type { Forwarder } from '../../../src/forward/forwarder.ts';
import type { Forwarded } from '../../../src/forward/outcome.ts';
import { asContainerId, shortIdOf } from '../../../src/registrar/engine/containerId.ts';
import type { HostContainers } from '../../../src/registrar/hostContainers.ts';
import type { Consumer } from '../../../src/registrar/links/consumers.ts';
import { RegistrarHost } from '../../../src/registrar/registrarHost.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { settingsOfVip } from '../../../src/tools/doctor/ambassador/startWords.ts';
import { NO_FACTS } from '../../../src/zone/tree/view.ts';
import { ChangingZone } from '../../support/followedZone.ts';
import { consumer } from '../../support/kernelTableScene.ts';
import { until } from '../../support/until.ts';
import { settingsOf } from '../../support/zone.ts';

const SOURCE = '172.17.0.5';
const MATCH = consumer(SOURCE, 6379, 'tcp');
const FORMER: readonly Slot[] = Array.from({ length: 16 }, () => {
  return { address: '203.0.113.7', port: 6379, access: 'published' };
});
const ID = asContainerId('a'.repeat(64));
const STARTED = '2026-01-01T00:00:00Z';

function linked(startedAt: string): Consumer {
  return {
    ...{
      id: ID,
      shortId: shortIdOf(ID),
      name: 'app',
      startedAt,
      pid: 1,
    },
    addresses: [{ address: SOURCE, family: 4, network: 'bridge', networkId: 'n', isBridge: true }],
    links: [
      {
        ...{ kind: 'port', port: { number: 6379, protocol: 'tcp' }, isLocal: false },
        ...{ target: 'redis.example.com:6379', source: 'DNS_LINK_6379' },
      },
    ],
    refusals: [],
  };
}

/** An ambassador of a host with one link to a name outside, about which `answer` decides. */
function start(context: TestContext, { startedAt = STARTED, former = true } = {}) {
  const routes = new Map<string, KernelRoute>();
  let isReleased = false;
  const nft: Partial<NftPlane> = {
    formerSlots: () => (isReleased || !former ? undefined : FORMER),
    set: (route) => void routes.set(SOURCE, route),
    remove: () => void routes.delete(SOURCE),
    setLocal: () => {},
    release: () => {
      isReleased = true;
    },
    close: async () => {},
  };
  let answer = (_: Forwarded): void => {};
  const forwarder: Partial<Forwarder> = {
    resolve: () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  };
  const zone = new ChangingZone();
  zone.write({ 'local/skydns/x': { host: '10.0.0.1' } });
  const { catalog } = zone;
  const store = createMemoryStore({ revision: 1 });
  context.after(() => store.close());
  const settings = settingsOfVip();
  const log = { ...{ debug() {}, info() {}, warn() {}, error() {} }, setLevel() {}, close() {} };
  const ambassador = new HostAmbassador({
    ...{ settings, prefix: '/skydns/', store, log },
    zone: {
      root: catalog.root,
      facts: NO_FACTS,
      settings: () => settingsOf(),
      isLoaded: () => true,
    },
    virtualAddresses: new VirtualAddresses({ prefix: '/skydns/', catalog, onInvalid: () => {} }),
    forwarder: () => forwarder as Forwarder,
  });
  const host = new RegistrarHost();
  host.follow({
    ...{ consumers: () => [linked(startedAt)], localBackends: () => new Map(), isSettled: true },
  } as Partial<HostContainers> as HostContainers);
  ambassador.follow(host);
  ambassador.start(new KernelHostPlane(nft as NftPlane, settings, new Set()));
  context.after(() => ambassador.close());
  return {
    slots: () => routes.get(SOURCE)?.slots,
    isReleased: () => isReleased,
    state: () => ambassador.report().routes[0]?.state,
    answer: (outcome: Forwarded) => answer(outcome),
  };
}

const FAILED: Forwarded = { kind: 'failed', reason: 'timeout', text: 'no reply' };

test('A restart changes no route to a name outside while other servers do not answer', async (context) => {
  const { slots, isReleased, state, answer } = start(context);
  assert.deepEqual([slots(), isReleased(), state()], [FORMER, false, 'waits']);
  answer(FAILED);
  await until('AAAA is asked for too, and fails', () => {
    answer(FAILED);
    return isReleased();
  });
  assert.deepEqual([slots(), state()], [FORMER, 'waits']);
});

test('A link whose backends are not known yet refuses its connections', (context) => {
  assert.deepEqual(start(context, { former: false }).slots(), []);
});

test('A container that starts later does not get the backends of an ended one with its address', (context) => {
  const startedAt = new Date(Date.now() + 60_000).toISOString();
  assert.deepEqual(start(context, { startedAt }).slots(), []);
});

test('Slots that another program has removed do not end the others of a waiting route', () => {
  const set: KernelRoute[] = [];
  const [a, b] = ['10.0.0.1', '10.0.0.2'].map((address) => ({ address, port: 80 }));
  const nft: Partial<NftPlane> = {
    formerSlots: () => [a as Slot, undefined as unknown as Slot, b as Slot],
    set: (route) => void set.push(route),
  };
  const plane = new KernelHostPlane(nft as NftPlane, settingsOfVip(), new Set());
  const target = { kind: 'service', name: ['a'], port: undefined } as const;
  plane.set({ match: MATCH, target, origin: '', sinceMs: 0 }, { kind: 'waits', reason: '' });
  const slots = set[0]?.slots ?? [];
  assert.equal(slots.length, 16);
  assert.deepEqual([slots[0], slots[2]], [a, b]);
  assert.ok(slots.every((slot) => slot === a || slot === b));
});
