/**
 * The zones' data as this server holds it: the tree, fed by a store's changes. All changes of one `apply` become visible
 * together, as nothing else runs in between. One value that is no service costs that value only: it is kept out of the
 * tree and remembered with the reason.
 */
import type { Name } from '../dns/name.ts';
import type { Change, Entry } from '../service/change.ts';
import { configKey, keyOfName, nameOfKey } from '../service/key.ts';
import { parseService, type ServiceAttributes } from '../service/service.ts';
import { insert, Node, remove } from './tree.ts';

export interface InvalidValue {
  readonly reason: string;
  readonly modRevision: number;
}

export interface CatalogOptions {
  /** As `keyPrefix` gives it; keys elsewhere are none of ours. */
  readonly prefix: string;
  readonly onInvalid?: (key: string, reason: string) => void;
  /** Told of the owners' nodes of all that one `apply` changed, some of them no longer in the tree, at its end. */
  readonly onApplied?: (nodes: readonly Node[]) => void;
}

export class Catalog {
  readonly root = new Node('', undefined);
  /** Grows with every `apply`. */
  version = 0;
  /** A key of the prefix that is no name. */
  readonly configKey: string;
  readonly #prefix: string;
  readonly #onInvalid: (key: string, reason: string) => void;
  readonly #onApplied: (nodes: readonly Node[]) => void;
  /** Nodes that the `apply` under way changed. */
  #changed: Node[] = [];
  readonly #invalid = new Map<string, InvalidValue>();
  /** Keys that are no services by their nature: the marks of empty directories, and SkyDNS's configuration. */
  readonly #nonServices = new Map<string, number>();
  readonly #pool = new AttributePool();

  constructor(options: CatalogOptions) {
    this.#prefix = options.prefix;
    this.configKey = configKey(options.prefix);
    this.#onInvalid = options.onInvalid ?? (() => {});
    this.#onApplied = options.onApplied ?? (() => {});
  }

  /** Keys that are no service, with the reasons. */
  get invalid(): ReadonlyMap<string, InvalidValue> {
    return this.#invalid;
  }

  /** Services held. */
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

  /** Every key held with the revision it was last written at; what a fresh snapshot is compared with. */
  *revisions(): Iterable<readonly [key: string, modRevision: number]> {
    for (const [key, { modRevision }] of this.#invalid) yield [key, modRevision];
    yield* this.#nonServices;
    yield* this.#registered(this.root);
  }

  *#registered(node: Node): Iterable<readonly [key: string, modRevision: number]> {
    for (let at = node.first; at !== undefined; at = at.next) {
      // A canonical key is made from the owner name, so that no key needs to be kept.
      yield [at.key ?? (keyOfName(node.owner(), this.#prefix) as string), at.modRevision];
    }
    for (const child of node.children ?? []) yield* this.#registered(child);
  }

  #put({ key, value, modRevision, lease }: Entry): void {
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
    this.#invalid.delete(key);
    this.#nonServices.delete(key);
    const { family, address, target, attributes } = parsed.service;
    const node = insert(this.root, name.owner, {
      family,
      address,
      target,
      attributes: this.#pool.share(attributes),
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
    // Whoever writes the same fault again and again, as registrars do, is told of once.
    if (!isKnown) this.#onInvalid(key, reason);
  }

  #remove(key: string): void {
    this.#invalid.delete(key);
    this.#nonServices.delete(key);
    const name = nameOfKey(key, this.#prefix);
    if (name.kind === 'name')
      this.#removeRegistration(name.owner, name.canonical ? undefined : key);
  }

  #removeRegistration(owner: Name, key: string | undefined): void {
    const node = remove(this.root, owner, key);
    if (node !== undefined) this.#changed.push(node);
  }
}

/**
 * Equal attributes as one object: a million services with port 8080 need not hold it a million times. Bounded: when more
 * kinds come than are worth remembering, the pool forgets them and begins anew; what was given out stays valid.
 */

const MAX_KINDS = 4_096;

export class AttributePool {
  readonly #kinds = new Map<string, ServiceAttributes>();

  /** The same attributes, shared if equal ones were seen lately. Texts are mostly unique and are not shared. */
  share(attributes: ServiceAttributes): ServiceAttributes {
    const { port, priority, weight, text, mail, ttlSeconds, targetStrip, group } = attributes;
    if (text !== '') return attributes;
    const kind = `${port} ${priority} ${weight} ${mail} ${ttlSeconds} ${targetStrip} ${group}`;
    const known = this.#kinds.get(kind);
    if (known !== undefined) return known;
    if (this.#kinds.size >= MAX_KINDS) this.#kinds.clear();
    this.#kinds.set(kind, attributes);
    return attributes;
  }
}
