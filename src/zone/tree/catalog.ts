/**
 * The zones' data in memory: the tree, fed by the store's changes. All changes of one `apply` become visible together,
 * because it is synchronous. An invalid value does not enter the tree: the catalog keeps the reason, and no other name
 * is affected.
 */
import type { Name } from '../../dns/name.ts';
import type { Change, Entry } from '../../service/change.ts';
import { configKey, keyOfName, nameOfKey } from '../../service/key.ts';
import { NO_LINKING } from '../../service/linking.ts';
import { parseService, type ServiceAttributes } from '../../service/service.ts';
import { insertRegistration, Node, removeRegistration } from './tree.ts';

/** The most different attributes in the pool. */
const MAX_KINDS = 4_096;

export interface InvalidValue {
  readonly reason: string;
  readonly modRevision: number;
}

export interface CatalogOptions {
  /** See `keyPrefix`; keys outside it are ignored. */
  readonly prefix: string;
  readonly onInvalid?: (key: string, reason: string) => void;
  /**
   * Receives, at the end of each `apply`, the nodes of the owner names it changed; some may have left the tree. After
   * `touch` the revision too.
   */
  readonly onApplied?: (nodes: readonly Node[], revision?: number) => void;
}

export class Catalog {
  readonly root = new Node('', undefined);
  /** Grows with every `apply`. */
  version = 0;
  /** A service has had a field `near`. */
  hasNear = false;
  /** The key of SkyDNS's configuration: it lies below the prefix and stands for no name. */
  readonly configKey: string;
  readonly #prefix: string;
  readonly #onInvalid: (key: string, reason: string) => void;
  readonly #onApplied: (nodes: readonly Node[], revision?: number) => void;
  /** Nodes that the running `apply` has changed. */
  #changed: Node[] = [];
  readonly #invalid = new Map<string, InvalidValue>();
  /** Keys that hold no service, with their modRevisions: markers of empty directories, and SkyDNS's configuration. */
  readonly #nonServices = new Map<string, number>();
  readonly #pool = new AttributePool();

  constructor(options: CatalogOptions) {
    this.#prefix = options.prefix;
    this.configKey = configKey(options.prefix);
    this.#onInvalid = options.onInvalid ?? (() => {});
    this.#onApplied = options.onApplied ?? (() => {});
  }

  /** Keys with invalid values, and the reasons. */
  get invalid(): ReadonlyMap<string, InvalidValue> {
    return this.#invalid;
  }

  /** Number of services. */
  get size(): number {
    return this.root.serviceCount;
  }

  apply(changes: readonly Change[]): void {
    this.version++;
    for (const change of changes) {
      if (change.kind === 'put') this.#put(change.entry);
      else this.#remove(change.key);
    }
    const changed = this.#changed;
    this.#changed = [];
    this.#onApplied(changed);
  }

  /**
   * Call this when something besides the services has changed what the nodes' names mean; `revision`: of the store, when
   * their records changed with it.
   */
  touch(nodes: readonly Node[], revision?: number): void {
    this.version++;
    this.#onApplied(nodes, revision);
  }

  /** Every key with its modRevision, for comparison with a snapshot. */
  *revisions(): Iterable<readonly [key: string, modRevision: number]> {
    for (const [key, { modRevision }] of this.#invalid) yield [key, modRevision];
    yield* this.#nonServices;
    yield* this.#registered(this.root);
  }

  *#registered(node: Node): Iterable<readonly [key: string, modRevision: number]> {
    for (let at = node.first; at !== undefined; at = at.next) {
      // The registration does not keep a canonical key, since it follows from the owner name.
      yield [at.key ?? (keyOfName(node.owner(), this.#prefix) as string), at.modRevision];
    }
    for (const child of node.children ?? []) yield* this.#registered(child);
  }

  #put({ key, value, createRevision, modRevision, lease }: Entry): void {
    const name = nameOfKey(key, this.#prefix);
    const isMark = name.kind === 'directory' || (value.length === 0 && key.endsWith('/'));
    if (isMark || key === this.configKey) {
      this.#remove(key);
      this.#nonServices.set(key, modRevision);
      return;
    }
    if (name.kind === 'invalid') {
      this.#skip(key, modRevision, `the key ${name.reason}`);
      return;
    }
    const parsed = parseService(value);
    if (parsed.kind === 'invalid') {
      this.#removeRegistration(name.owner, name.canonical ? undefined : key);
      this.#skip(key, modRevision, parsed.reason);
      return;
    }
    this.#forget(key);
    const { family, address, target, attributes } = parsed.service;
    if (attributes.near !== undefined) this.hasNear = true;
    const node = insertRegistration(this.root, name.owner, {
      family,
      address,
      target,
      attributes: this.#pool.share(attributes),
      createRevision,
      modRevision,
      lease,
      key: name.canonical ? undefined : key,
      next: undefined,
    });
    this.#changed.push(node);
  }

  #skip(key: string, modRevision: number, reason: string): void {
    this.#nonServices.delete(key);
    const isKnown = this.#invalid.get(key)?.reason === reason;
    this.#invalid.set(key, { reason, modRevision });
    // Registrars write the same value again and again: an invalid one is reported once.
    if (!isKnown) this.#onInvalid(key, reason);
  }

  #remove(key: string): void {
    this.#forget(key);
    const name = nameOfKey(key, this.#prefix);
    if (name.kind === 'name')
      this.#removeRegistration(name.owner, name.canonical ? undefined : key);
  }

  /** Forgets that the key holds no valid service. The maps are mostly empty, and a look-up has to hash the key. */
  #forget(key: string): void {
    if (this.#invalid.size > 0) this.#invalid.delete(key);
    if (this.#nonServices.size > 0) this.#nonServices.delete(key);
  }

  #removeRegistration(owner: Name, key: string | undefined): void {
    const node = removeRegistration(this.root, owner, key);
    if (node !== undefined) this.#changed.push(node);
  }
}

/**
 * Shares equal attributes as one object: a million services with port 8080 need not hold it a million times. When the
 * pool is full it starts anew; shared objects stay valid.
 */
class AttributePool {
  readonly #kinds = new Map<string, ServiceAttributes>();
  #last: ServiceAttributes | undefined;

  /**
   * The equal attributes from the pool; else these, which enter it. Attributes with a text or records are not shared,
   * since these are mostly unique.
   */
  share(attributes: ServiceAttributes): ServiceAttributes {
    if (attributes.text !== '' || attributes.records.length > 0) return attributes;
    if (this.#last === undefined || !isEqual(this.#last, attributes)) {
      this.#last = this.#shared(attributes);
    }
    return this.#last;
  }

  #shared(attributes: ServiceAttributes): ServiceAttributes {
    const {
      port,
      priority,
      weight,
      mail,
      ttlSeconds,
      targetStrip,
      group,
      aggregate,
      alias,
      near,
      linking,
    } = attributes;
    const linked = linking === NO_LINKING ? '' : JSON.stringify(linking);
    const kind = `${port} ${priority} ${weight} ${mail} ${ttlSeconds} ${targetStrip} ${group} ${aggregate} ${alias} ${near} ${linked}`;
    const known = this.#kinds.get(kind);
    if (known !== undefined) return known;
    if (this.#kinds.size >= MAX_KINDS) this.#kinds.clear();
    this.#kinds.set(kind, attributes);
    return attributes;
  }
}

/** Whether attributes without texts and records are equal. */
function isEqual(a: ServiceAttributes, b: ServiceAttributes): boolean {
  return (
    a.port === b.port &&
    a.priority === b.priority &&
    a.weight === b.weight &&
    a.mail === b.mail &&
    a.ttlSeconds === b.ttlSeconds &&
    a.targetStrip === b.targetStrip &&
    a.group === b.group &&
    a.aggregate === b.aggregate &&
    a.alias === b.alias &&
    a.near === b.near &&
    // Equal links are mostly not one object.
    a.linking === b.linking
  );
}
