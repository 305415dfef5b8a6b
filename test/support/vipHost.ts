/** What one host does about virtual addresses: follows a store, claims addresses, and routes them. */
import assert from 'node:assert/strict';
import { RouteTable } from '../../src/ambassador/follow/routeTable.ts';
import { type VipEvent, VipKeeper } from '../../src/ambassador/follow/vipKeeper.ts';
import { VipRoutes } from '../../src/ambassador/follow/vipRoutes.ts';
import { ZoneFollower } from '../../src/ambassador/follow/zoneFollower.ts';
import { VirtualAddresses } from '../../src/ambassador/names/virtualAddresses.ts';
import { type BackendSet, matchKey, type Route } from '../../src/ambassador/route.ts';
import { isInRange, type Network, vipRangesOf } from '../../src/ambassador/vipRange.ts';
import { type VipRequest, VipRequests } from '../../src/ambassador/vipRequests.ts';
import { printSocketAddress } from '../../src/dns/address.ts';
import { equalNames } from '../../src/dns/name.ts';
import { keyOfName, keyPrefix, tablePrefix } from '../../src/service/key.ts';
import { Mirror } from '../../src/store/mirror.ts';
import type { Store } from '../../src/store/store.ts';
import { systemClock } from '../../src/timing/clock.ts';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import { NO_FACTS } from '../../src/zone/tree/view.ts';
import { until } from './until.ts';
import { name, settingsOf } from './zone.ts';

const PREFIX = keyPrefix('skydns');
const VIP_PREFIX = tablePrefix(PREFIX, 'vip');
const SETTINGS = settingsOf({ virtualAddresses: true });

export interface VipHostOptions {
  readonly store: Store;
  /** The range of virtual addresses; default 198.18.0.0/16. */
  readonly range?: string;
  /** The range of IPv6 ones; default: none. */
  readonly range6?: string;
  readonly isForAll?: boolean;
  /** Whether records are of containers on this host; default: all are. */
  readonly isLocal?: (key: string) => boolean;
}

function networkOf(text: string): Network {
  const [address = '', length] = text.split('/');
  return { address, prefixLength: Number(length) };
}

export class VipHost {
  readonly events: VipEvent[] = [];
  readonly virtualAddresses: VirtualAddresses;
  readonly #routed = new Map<string, string>();
  readonly #mirrors: readonly Mirror[];
  readonly #requests: VipRequests;
  readonly #keeper: VipKeeper;

  constructor({
    store,
    range = '198.18.0.0/16',
    range6,
    isForAll = false,
    isLocal = () => true,
  }: VipHostOptions) {
    const ranges = vipRangesOf([range, ...(range6 === undefined ? [] : [range6])].map(networkOf));
    const requests = new VipRequests({
      isForAll: () => isForAll,
      isApex: (name) => SETTINGS.apexes.some((apex) => equalNames(apex, name)),
      keyOf: (node, { key }) => key ?? keyOfName(node.owner(), PREFIX),
    });
    this.#requests = requests;
    const catalog: Catalog = new Catalog({
      prefix: PREFIX,
      onApplied: (nodes) => {
        follower.onApplied(nodes);
        this.#keeper.check([...requests.onApplied(nodes), ...nodes.map((node) => node.owner())]);
      },
    });
    const mirror = new Mirror({ store, prefix: PREFIX, replica: catalog });
    const follower: ZoneFollower = new ZoneFollower({
      zone: {
        root: catalog.root,
        facts: NO_FACTS,
        settings: () => SETTINGS,
        isLoaded: () => mirror.state().kind !== 'loading',
      },
      outside: { sent: 0, get: () => undefined, ask: () => {} },
      clock: systemClock,
      onError: (error) => {
        throw error;
      },
    });
    const table = new RouteTable({ plane: this.#plane(), follower, prefix: PREFIX });
    const isRouted = (one: string): boolean => ranges.some((range) => isInRange(range, one));
    const routes = new VipRoutes({ follower, table, isInRange: isRouted });
    this.virtualAddresses = new VirtualAddresses({
      prefix: PREFIX,
      catalog,
      ranges,
      onInvalid: () => {},
      onChange: () => {
        routes.setVips(this.virtualAddresses.standing());
        this.#keeper.retry();
      },
    });
    this.#keeper = new VipKeeper({
      store,
      prefix: VIP_PREFIX,
      ranges,
      requestOf: (name) => requests.get(name),
      stored: this.virtualAddresses,
      isLocal,
      clock: systemClock,
      random: Math.random,
      onEvent: (event) => this.events.push(event),
    });
    const replica = this.virtualAddresses;
    this.#mirrors = [mirror, new Mirror({ store, prefix: VIP_PREFIX, replica })];
    for (const each of this.#mirrors) each.start();
    void mirror.waitFor(0).then(() => follower.refresh());
  }

  get isExhausted(): boolean {
    return this.#keeper.isExhausted;
  }

  requestOf(text: string): VipRequest | undefined {
    return this.#requests.get(name(text));
  }

  /** Why the name has no address. */
  reasonOf(text: string, family: 4 | 6 = 4): string | undefined {
    return this.#keeper.reasonOf(name(text), family);
  }

  /** `ADDRESS PORT/PROTOCOL` -> the backends. */
  get routed(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#routed].sort());
  }

  /** Waits until exactly these routes are there. */
  async routes(expected: Readonly<Record<string, string>>): Promise<void> {
    const isSame = (): boolean => JSON.stringify(this.routed) === JSON.stringify(expected);
    await until('the routes are as expected', isSame).catch(() => {});
    assert.deepEqual(this.routed, expected);
  }

  close(): void {
    this.#keeper.close();
    for (const mirror of this.#mirrors) mirror.close();
  }

  #plane() {
    const nameOf = ({ match }: Route) => matchKey(match).replace('virtual ', '');
    return {
      set: (route: Route, set: BackendSet) => {
        const backends = set.kind === 'known' ? set.backends : [];
        this.#routed.set(nameOf(route), backends.map(printSocketAddress).join(' '));
      },
      remove: (route: Route) => void this.#routed.delete(nameOf(route)),
    };
  }
}
