/** What an ambassador of a host does about its containers, on a plane that only notes its calls. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { VirtualAddresses } from '../../../src/ambassador/names/virtualAddresses.ts';
import { HostAmbassador } from '../../../src/app/ambassador/hostAmbassador.ts';
import type { HostPlane } from '../../../src/app/ambassador/hostPlane.ts';
import type { Log } from '../../../src/observability/log.ts';
import { asContainerId } from '../../../src/registrar/engine/containerId.ts';
import type { HostContainers } from '../../../src/registrar/hostContainers.ts';
import type { LocalBackend } from '../../../src/registrar/links/localBackends.ts';
import { RegistrarHost } from '../../../src/registrar/registrarHost.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { settingsOfVip } from '../../../src/tools/doctor/ambassador/startWords.ts';
import { Catalog } from '../../../src/zone/tree/catalog.ts';
import { NO_FACTS } from '../../../src/zone/tree/view.ts';
import { settingsOf } from '../../support/zone.ts';

const PREFIX = '/skydns/';
const ENDED: LocalBackend = { kind: 'ended', containerId: undefined };

function running(...addresses: readonly (readonly [address: string, isBridge: boolean])[]) {
  return {
    kind: 'running',
    containerId: asContainerId('a'.repeat(64)),
    name: 'web',
    port: { number: 80, protocol: 'tcp' },
    addresses: addresses.map(([address, isBridge]) => {
      return { address, family: 4, network: 'lan', networkId: '1', isBridge };
    }),
    publishedAt: [],
    mode: 'published',
  } as const satisfies LocalBackend;
}

function open(context: TestContext) {
  const calls: string[] = [];
  const note = (text: string) => () => void calls.push(text);
  const plane: HostPlane = {
    ...{
      kind: 'nft',
      isInForce: true,
      onForce: () => {},
      mayServe: () => true,
      set: note('set'),
      remove: note('remove'),
    },
    ...{ release: note('release'), conditionOf: () => ({ state: 'ok' }), drainingOf: () => [] },
    ...{ troubles: () => [], refreshNetworks: () => {}, close: async () => {} },
    noteDeath: (addresses) => void calls.push(`dead ${addresses.join(' ')}`),
  };
  const store = createMemoryStore({ revision: 1 });
  const log: Log = {
    ...{ debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    ...{ setLevel: () => {}, close: () => {} },
  };
  context.after(() => store.close());
  const catalog = new Catalog({ prefix: PREFIX });
  const virtualAddresses = new VirtualAddresses({ prefix: PREFIX, catalog, onInvalid: () => {} });
  const settings = () => settingsOf({ virtualAddresses: true });
  const ambassador = new HostAmbassador({
    ...{ settings: settingsOfVip(), prefix: PREFIX, virtualAddresses, store, log },
    zone: { root: catalog.root, facts: NO_FACTS, settings, isLoaded: () => true },
    forwarder: () => undefined,
  });
  const containers = { local: new Map<string, LocalBackend>(), isSettled: false };
  const host = new RegistrarHost();
  host.follow({
    consumers: () => [],
    localBackends: () => containers.local,
    get isSettled() {
      return containers.isSettled;
    },
  } as Partial<HostContainers> as HostContainers);
  ambassador.follow(host);
  return { ambassador, plane, calls, host, containers };
}

test('The plane hears of the own addresses of backends that have died, each once', async (context) => {
  const { ambassador, plane, calls, host, containers } = open(context);
  const become = (local: Readonly<Record<string, LocalBackend>>): void => {
    containers.local = new Map(Object.entries(local));
    host.noteChange();
  };
  ambassador.start(plane);
  context.after(() => ambassador.close());
  const [web, db] = [
    running(['172.17.0.2', true], ['10.5.0.2', false]),
    running(['172.17.0.3', true]),
  ];
  become({ '/skydns/web/1': web, '/skydns/web/2': web, '/skydns/db': db });
  // A record that is withdrawn while its container runs is no death.
  become({ '/skydns/web/1': ENDED, '/skydns/web/2': ENDED });
  become({ '/skydns/web/1': ENDED });
  become({ '/skydns/web/1': running(['172.17.0.4', true]) });
  assert.deepEqual(calls, ['dead 172.17.0.2']);
});

test('Routes of a former process are not replaced after the ambassador has closed', async (context) => {
  const { ambassador, plane, calls } = open(context);
  const timers = (): number =>
    process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  ambassador.start(plane);
  assert.deepEqual([calls, timers() - before], [[], 1]);
  await ambassador.close();
  assert.equal(timers(), before);
});
