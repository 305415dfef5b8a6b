/**
 * The endpoints that a key of an etcd names, in its value or in the values of its children, as nsproxy and ambassadord
 * read them. A key that no longer names any endpoint leads nowhere; an unreachable etcd changes nothing.
 */
import type { Change } from '../../service/change.ts';
import { Mirror, type MirrorEvent, type Replica } from '../../store/mirror.ts';
import type { Store } from '../../store/store.ts';
import type { Clock } from '../../timing/clock.ts';
import type { TargetEndpoint } from '../route.ts';
import { parseKeyValue } from '../targetText.ts';

export interface KeyEndpointsOptions {
  readonly store: Store;
  /** Begins with a slash and does not end in one. */
  readonly key: string;
  readonly clock: Clock;
  /** Called when the store has been read and whenever the endpoints change. */
  readonly onChange: () => void;
  readonly onEvent: (event: MirrorEvent) => void;
}

interface KeyValue {
  readonly modRevision: number;
  readonly endpoints: readonly TargetEndpoint[];
}

/** More children are ignored. */
const MAX_VALUES = 1_024;

export class KeyEndpoints implements Replica {
  readonly #options: KeyEndpointsOptions;
  readonly #mirror: Mirror;
  readonly #values = new Map<string, KeyValue>();

  constructor(options: KeyEndpointsOptions) {
    const { store, key, clock, onEvent } = options;
    this.#options = options;
    const prefix = key.slice(0, key.lastIndexOf('/') + 1);
    this.#mirror = new Mirror({ store, prefix, replica: this, onEvent, clock });
  }

  start(): void {
    this.#mirror.start();
    void this.#mirror.waitFor(0).then(this.#options.onChange);
  }

  /** Undefined until the store was read. */
  endpoints(): readonly TargetEndpoint[] | undefined {
    if (this.#mirror.state().kind === 'loading') return undefined;
    const own = this.#values.get(this.#options.key)?.endpoints ?? [];
    const children = [...this.#values].filter(([key]) => key !== this.#options.key);
    return [...own, ...children.flatMap(([, { endpoints }]) => endpoints)];
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'delete') this.#values.delete(change.key);
      else if (this.#isWanted(change.entry.key)) {
        const { key, value, modRevision } = change.entry;
        const endpoints = parseKeyValue(Buffer.from(value).toString('utf8'));
        this.#values.set(key, { modRevision, endpoints });
      }
    }
    if (this.#mirror.state().kind !== 'loading') this.#options.onChange();
  }

  *revisions(): Iterable<readonly [key: string, modRevision: number]> {
    for (const [key, { modRevision }] of this.#values) yield [key, modRevision];
  }

  close(): void {
    this.#mirror.close();
  }

  #isWanted(key: string): boolean {
    const { key: own } = this.#options;
    if (key !== own && !key.startsWith(`${own}/`)) return false;
    return this.#values.has(key) || this.#values.size < MAX_VALUES;
  }
}
