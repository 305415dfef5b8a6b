/** Follows one name of a store as a server does, for commands that print its changes. */
import { LeaderChoices } from '../../ambassador/names/leaderChoices.ts';
import { ServiceFollower } from '../../ambassador/names/serviceFollower.ts';
import { type Io, untilAborted } from '../../app/process/process.ts';
import type { Name } from '../../dns/name.ts';
import type { ServiceState } from '../../service/instances.ts';
import { keyOfName, tablePrefix } from '../../service/key.ts';
import { Mirror, type MirrorEvent } from '../../store/mirror.ts';
import { systemClock } from '../../timing/clock.ts';
import { Catalog } from '../../zone/tree/catalog.ts';
import { NO_FACTS } from '../../zone/tree/view.ts';
import { DelegatedNames, delegatedIn } from '../../zone/zoneCuts.ts';
import type { StoreAccess } from '../storeAccess.ts';
import { settingsFor } from './storedNames.ts';

export interface NameListener {
  /** Called with the state of now, and with each later one. */
  onState(state: ServiceState): void;
  /** The store was lost; the data are read again when it is back. */
  onLost(event: Extract<MirrorEvent, { kind: 'lost' }>): void;
}

/** Resolves when the name has been read. Returns the function that ends the calls. */
export async function followName(
  name: Name,
  access: StoreAccess,
  io: Io,
  listener: NameListener,
): Promise<() => void> {
  const { store, prefix } = access;
  let settings = await settingsFor(access, io);
  const { apexes } = settings;
  const delegated = new DelegatedNames();
  const catalog = new Catalog({
    prefix,
    onApplied(nodes) {
      if (delegated.apply(nodes))
        settings = { ...settings, forwarded: delegatedIn(delegated.cuts(), apexes) };
      services.onApplied(nodes);
    },
  });
  const leaders = new LeaderChoices({ prefix, catalog, onInvalid: () => {} });
  const onEvent = (event: MirrorEvent): void => {
    if (event.kind === 'lost') listener.onLost(event);
  };
  const mirrors = [
    new Mirror({ store, prefix: prefixAbove(name, prefix), replica: catalog, onEvent }),
    new Mirror({ store, prefix: tablePrefix(prefix, 'leader'), replica: leaders }),
  ];
  const isLoaded = (): boolean => mirrors.every((mirror) => mirror.state().kind !== 'loading');
  const services: ServiceFollower = new ServiceFollower({
    zone: {
      root: catalog.root,
      facts: { ...NO_FACTS, chosenLeader: (of) => leaders.chosenLeader(of) },
      settings: () => settings,
      freshness: () => (isLoaded() ? 'synced' : 'loading'),
    },
    clock: systemClock,
    onError(error) {
      throw error;
    },
  });
  for (const mirror of mirrors) mirror.start();
  const close = (): void => {
    for (const mirror of mirrors) mirror.close();
    services.close();
  };
  await Promise.race([
    Promise.all(mirrors.map((mirror) => mirror.waitFor(0))),
    untilAborted(io.stop),
  ]);
  services.follow(name, (state) => listener.onState(state));
  return close;
}

/** A mirror keeps the keys below a prefix, and the name's own key is below its parent. */
function prefixAbove(name: Name, prefix: string): string {
  const key = keyOfName(name, prefix) ?? prefix;
  return key.slice(0, key.lastIndexOf('/') + 1);
}
