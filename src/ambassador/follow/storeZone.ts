/**
 * The part of a store's names that an ambassador in a container of its own needs: those below the longest name that all
 * its services share. Names outside that part come from the resolver, as everything else does.
 */
import type { Name } from '../../dns/name.ts';
import { keyOfName, keyPrefix, tablePrefix } from '../../service/key.ts';
import { Mirror, type MirrorEvent } from '../../store/mirror.ts';
import type { Store } from '../../store/store.ts';
import type { Clock } from '../../timing/clock.ts';
import { Catalog } from '../../zone/tree/catalog.ts';
import type { Node } from '../../zone/tree/tree.ts';
import { type NameFacts, NO_FACTS, type ZoneSettings } from '../../zone/tree/view.ts';
import { LeaderChoices } from '../names/leaderChoices.ts';
import type { FollowedZone } from './zoneFollower.ts';

export interface StoreZoneOptions {
  readonly store: Store;
  /** The prefix of the store's keys without slashes: `skydns`. */
  readonly pathPrefix: string;
  /** Folded names of the services; not empty. */
  readonly services: readonly Name[];
  readonly settings: Omit<ZoneSettings, 'apexes'>;
  readonly clock: Clock;
  readonly onApplied: (nodes: readonly Node[]) => void;
  /** Called once, when the store has been read. */
  readonly onLoaded: () => void;
  readonly onEvent: (event: MirrorEvent) => void;
  readonly onInvalid: (key: string, reason: string) => void;
}

export class StoreZone implements FollowedZone {
  readonly #mirror: Mirror;
  readonly #catalog: Catalog;
  readonly #settings: ZoneSettings;
  readonly facts: NameFacts;
  /** Follows the leaders that operators have chosen. */
  readonly #leaderMirror: Mirror;
  readonly #onLoaded: () => void;

  constructor(options: StoreZoneOptions) {
    const { store, pathPrefix, services, settings, clock, onEvent, onApplied, onInvalid } = options;
    const prefix = keyPrefix(pathPrefix);
    const shared = sharedAncestor(services);
    this.#settings = { ...settings, apexes: services.map((name) => name.slice(1)) };
    this.#onLoaded = options.onLoaded;
    const catalog = new Catalog({ prefix, onApplied, onInvalid });
    this.#catalog = catalog;
    const leaders = new LeaderChoices({ prefix, catalog, onInvalid });
    this.facts = { ...NO_FACTS, chosenLeader: (name) => leaders.chosenLeader(name) };
    this.#leaderMirror = new Mirror({
      store,
      prefix: tablePrefix(prefix, 'leader'),
      replica: leaders,
      clock,
    });
    this.#mirror = new Mirror({
      store,
      prefix: shared.length === 0 ? prefix : `${keyOfName(shared, prefix) ?? ''}/`,
      replica: catalog,
      onEvent,
      clock,
    });
  }

  get root(): Node {
    return this.#catalog.root;
  }

  start(): void {
    this.#leaderMirror.start();
    this.#mirror.start();
    void this.#mirror.waitFor(0).then(this.#onLoaded);
  }

  settings(): ZoneSettings {
    return this.#settings;
  }

  isLoaded(): boolean {
    return this.#mirror.state().kind !== 'loading';
  }

  /** Why the data may be out of date; undefined if they are current. */
  trouble(): string | undefined {
    const state = this.#mirror.state();
    return state.kind === 'synced'
      ? undefined
      : (state.reason ?? 'the store has not been read yet');
  }

  close(): void {
    this.#leaderMirror.close();
    this.#mirror.close();
  }
}

/**
 * The longest name above all the names: a mirror's prefix means the keys below a name, and a service's own key is below
 * its parent.
 */
function sharedAncestor([first = [], ...others]: readonly Name[]): Name {
  let shared = first.slice(1);
  for (const name of others) {
    const parent = name.slice(1);
    let labels = 0;
    while (
      labels < Math.min(shared.length, parent.length) &&
      shared.at(-1 - labels) === parent.at(-1 - labels)
    )
      labels++;
    shared = labels === 0 ? [] : shared.slice(-labels);
  }
  return shared;
}
