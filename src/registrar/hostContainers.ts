/**
 * What an ambassador on the engine's host reads of a registrar: the containers with links, and the containers behind
 * the records of this host. Everything is read when it is asked for, from the last inspections and the events since.
 */
import { parseExposedPort } from '../service/linking.ts';
import { parseService } from '../service/service.ts';
import type { Clock } from '../timing/clock.ts';
import { readContainer } from './describe/container.ts';
import type { RegistrarContext } from './describe/context.ts';
import { type ShortId, shortIdOf } from './engine/containerId.ts';
import type { Engine, Inspection } from './engine/engine.ts';
import { type Consumer, consumersOf } from './links/consumers.ts';
import { type LinkReading, readLinks } from './links/links.ts';
import {
  type LocalBackend,
  localBackendOf,
  type RecordedContainer,
} from './links/localBackends.ts';
import { AddressBook, type HostedContainer } from './links/networkAddresses.ts';
import { NODE_SHORT_ID } from './nodeRecords.ts';
import type { Containers } from './observe/containers.ts';
import { NetworkDrivers } from './observe/networkDrivers.ts';
import type { ContainerState } from './observe/trackedContainer.ts';
import type { Assignment } from './reconcile/assign.ts';
import type { StoredRecords } from './reconcile/storedRecords.ts';

export interface HostContainersOptions {
  readonly engine: Pick<Engine, 'networkDriver'>;
  readonly containers: Pick<Containers, 'all' | 'isComplete'>;
  readonly context: { readonly forDescriptions: RegistrarContext };
  /** The keys of the desired records, as of the last comparison. */
  readonly assignments: () => readonly Assignment[];
  readonly stored: () => Pick<StoredRecords, 'records'>;
  /** Whether `stored` has been read from the store. */
  readonly isStoreRead: () => boolean;
  readonly clock: Clock;
  readonly onChange: () => void;
}

interface KeyedRecord {
  readonly key: string;
  readonly shortId: ShortId;
  readonly record: RecordedContainer;
}

/** The tracked containers at one moment; `undefined` for one that has not been inspected. */
type HostedByShortId = ReadonlyMap<ShortId, HostedContainer | undefined>;

export class HostContainers {
  readonly #options: HostContainersOptions;
  readonly #drivers: NetworkDrivers;
  /** An inspection never changes: an event makes a new one. */
  readonly #hosted = new WeakMap<Inspection, HostedContainer>();

  constructor(options: HostContainersOptions) {
    this.#options = options;
    this.#drivers = new NetworkDrivers(options);
  }

  /** The running containers with links, the oldest first. A dead one is absent from its `die` event on. */
  consumers(): readonly Consumer[] {
    const hosted = this.#present();
    return consumersOf(hosted, this.#bookOf(hosted));
  }

  /**
   * By key of the store: the containers of this registrar's records, also of those that are not written yet. A key whose
   * container has not been inspected is absent.
   */
  localBackends(): ReadonlyMap<string, LocalBackend> {
    const byShortId = this.#byShortId();
    const book = this.#bookOf([...byShortId.values()].flatMap((one) => one ?? []));
    const backends = new Map<string, LocalBackend>();
    for (const { key, shortId, record } of this.#recorded()) {
      const hosted = byShortId.get(shortId);
      const isGone = !byShortId.has(shortId) && this.#options.containers.isComplete;
      if (hosted !== undefined || isGone) backends.set(key, localBackendOf(record, hosted, book));
    }
    return backends;
  }

  /** The links that a container asks for, in any state. */
  linksOf(inspection: Inspection): LinkReading {
    return this.#hostedOf(inspection).reading;
  }

  /**
   * Whether every container that ran at the start has been inspected, the store has been read, and the answer about
   * each network is here.
   */
  get isSettled(): boolean {
    const { containers, isStoreRead } = this.#options;
    return containers.isComplete && isStoreRead() && this.#drivers.isSettled;
  }

  close(): void {
    this.#drivers.close();
  }

  /** The desired records with their keys, and the stored ones that are no longer desired. */
  *#recorded(): Generator<KeyedRecord> {
    const desired = new Set<string>();
    for (const assignment of this.#options.assignments()) {
      const { key, kind, stamped } = assignment;
      const { record, owner } = stamped;
      if (kind === 'taken' || record.pointer !== undefined) continue;
      desired.add(key);
      if (owner.shortId === NODE_SHORT_ID) continue;
      const expose = parseExposedPort(record.fields.expose);
      const { host } = record.fields;
      yield { key, shortId: owner.shortId, record: { startedAt: owner.startedAt, host, expose } };
    }
    for (const { entry, owner, isOwn } of this.#options.stored().records()) {
      const { key, value } = entry;
      if (!isOwn || owner === undefined || desired.has(key)) continue;
      if (owner.shortId === NODE_SHORT_ID) continue;
      const parsed = parseService(value);
      if (parsed.kind === 'invalid' || parsed.service.family === 0) continue;
      const { address: host, attributes } = parsed.service;
      const { expose } = attributes.linking;
      yield { key, shortId: owner.shortId, record: { startedAt: owner.startedAt, host, expose } };
    }
  }

  #present(): readonly HostedContainer[] {
    return [...this.#options.containers.all()].flatMap((state) => this.#hostedIn(state) ?? []);
  }

  #byShortId(): HostedByShortId {
    const byShortId = new Map<ShortId, HostedContainer | undefined>();
    for (const state of this.#options.containers.all())
      byShortId.set(shortIdOf(state.id), this.#hostedIn(state));
    return byShortId;
  }

  #bookOf(hosted: readonly HostedContainer[]): AddressBook {
    return new AddressBook(hosted, (network) => this.#drivers.isBridge(network));
  }

  #hostedIn({ inspection }: ContainerState): HostedContainer | undefined {
    return inspection === undefined ? undefined : this.#hostedOf(inspection);
  }

  #hostedOf(inspection: Inspection): HostedContainer {
    const known = this.#hosted.get(inspection);
    if (known !== undefined) return known;
    const container = readContainer(inspection);
    const reading = readLinks(container, this.#options.context.forDescriptions);
    const hosted = { id: container.id, container, reading };
    this.#hosted.set(inspection, hosted);
    return hosted;
  }
}
