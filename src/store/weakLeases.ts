/**
 * One shared lease object for each lease id, for stores whose leases another process keeps (etcd, another soradns). All
 * entries of a lease have the same object, so an update after a renewal reaches all of them. The table drops an id
 * after its object was garbage-collected.
 */
export class WeakLeases<L extends { readonly id: string }> {
  readonly #byId = new Map<string, WeakRef<L>>();
  readonly #collected = new FinalizationRegistry<string>((id) => this.#forget(id));
  readonly #onForget: (id: string) => void;

  /** `onForget` runs after the table has dropped an id. */
  constructor(onForget: (id: string) => void = () => undefined) {
    this.#onForget = onForget;
  }

  /** The number of ids, with those whose objects are garbage that is not collected yet. */
  get size(): number {
    return this.#byId.size;
  }

  get(id: string): L | undefined {
    return this.#byId.get(id)?.deref();
  }

  /** Adds the object, which replaces any other object of the same id. Returns it. */
  add(lease: L): L {
    this.#byId.set(lease.id, new WeakRef(lease));
    this.#collected.register(lease, lease.id);
    return lease;
  }

  #forget(id: string): void {
    // A newer object may have the same id.
    if (this.get(id) !== undefined) return;
    this.#byId.delete(id);
    this.#onForget(id);
  }
}
