/** Which names ask for a virtual address, from the records of their containers. */
import { type Name, nameKey } from '../dns/name.ts';
import type { Node, Registration } from '../zone/tree/tree.ts';

export interface VipRequest {
  readonly name: Name;
  /** The address that the oldest record with a fixed one asks for; undefined: any. */
  readonly fixed: string | undefined;
  /** Keys of the records that ask. */
  readonly keys: readonly string[];
}

export interface VipRequestsOptions {
  /** Whether records that do not ask get a virtual address too, if they name their container's port. */
  readonly isForAll: () => boolean;
  /** Whether the folded name is a served domain itself, which gets no virtual address unless a record names it. */
  readonly isApex: (name: Name) => boolean;
  readonly keyOf: (node: Node, registration: Registration) => string | undefined;
}

interface Asking {
  readonly node: Node;
  readonly name: Name;
  readonly fixed: string | undefined;
  readonly key: string;
  readonly createRevision: number;
}

export class VipRequests {
  readonly #options: VipRequestsOptions;
  /** By the key of the owner name. */
  readonly #byOwner = new Map<string, readonly Asking[]>();
  /** By the key of the name that gets the address, then of the owner name. */
  readonly #byName = new Map<string, Map<string, readonly Asking[]>>();

  constructor(options: VipRequestsOptions) {
    this.#options = options;
  }

  /** Call this after each set of changes, from the first on. Returns the names whose requests may have changed. */
  onApplied(nodes: readonly Node[]): readonly Name[] {
    const changed = new Map<string, Name>();
    for (const node of new Set(nodes)) {
      const owner = nameKey(node.owner());
      const former = this.#byOwner.get(owner) ?? [];
      const now = this.#askingAt(node);
      if (former.length === 0 && now.length === 0) continue;
      for (const { name } of [...former, ...now]) changed.set(nameKey(name), name);
      this.#replace(owner, former, now);
    }
    return [...changed.values()];
  }

  /** Call this when `isApex` may have changed. Returns the names whose requests may have changed. */
  refresh(): readonly Name[] {
    return this.onApplied([...this.#byOwner.values()].flatMap(([asking]) => asking?.node ?? []));
  }

  get(name: Name): VipRequest | undefined {
    const owners = this.#byName.get(nameKey(name));
    if (owners === undefined) return undefined;
    const all = [...owners.values()].flat().sort((a, b) => a.createRevision - b.createRevision);
    const fixed = all.find((asking) => asking.fixed !== undefined)?.fixed;
    return { name, fixed, keys: all.map(({ key }) => key) };
  }

  *all(): Iterable<VipRequest> {
    for (const owners of this.#byName.values()) {
      const [[first] = []] = owners.values();
      const request = first && this.get(first.name);
      if (request !== undefined) yield request;
    }
  }

  #askingAt(node: Node): readonly Asking[] {
    const asking: Asking[] = [];
    for (let at = node.first; at !== undefined; at = at.next) {
      const one = this.#askingOf(node, at);
      if (one !== undefined) asking.push(one);
    }
    return asking;
  }

  #askingOf(node: Node, registration: Registration): Asking | undefined {
    const { vip, vipName, expose } = registration.attributes.linking;
    const isAsked =
      vip === undefined ? this.#options.isForAll() && expose !== undefined : vip !== 'none';
    const key = isAsked ? this.#options.keyOf(node, registration) : undefined;
    if (key === undefined) return undefined;
    const name = vipName ?? this.#serviceOf(node.owner(), registration);
    if (name.length === 0) return undefined;
    const { createRevision } = registration;
    return { node, name, fixed: vip === 'auto' ? undefined : vip, key, createRevision };
  }

  /**
   * The name without its instance, as a registrar states it in the records that ask: a name with only the domain above
   * it is its own service. A registrar stores a name with both address families below the name.
   */
  #serviceOf(owner: Name, { family }: Registration): Name {
    const own = family !== 0 && owner[0] === `ipv${family}` ? owner.slice(1) : owner;
    const service = own.slice(1);
    return this.#options.isApex(service) ? own : service;
  }

  #replace(owner: string, former: readonly Asking[], now: readonly Asking[]): void {
    for (const { name } of former) {
      const owners = this.#byName.get(nameKey(name));
      owners?.delete(owner);
      if (owners?.size === 0) this.#byName.delete(nameKey(name));
    }
    if (now.length === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, now);
    for (const asking of now) {
      const owners = this.#byName.get(nameKey(asking.name)) ?? new Map();
      this.#byName.set(nameKey(asking.name), owners);
      owners.set(owner, [...(owners.get(owner) ?? []), asking]);
    }
  }
}
