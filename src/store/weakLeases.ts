/**
 * One shared lease object for each lease id, for stores whose leases live elsewhere (etcd, another soradns). All entries
 * of a lease carry the same object, so a renewal that the store learns of reaches all of them. An id leaves the table
 * when nothing refers to its object any more.
 */
export class WeakLeases<L extends { readonly id: string }> {
  readonly #byId = new Map<string, WeakRef<L>>();
  readonly #collected = new FinalizationRegistry<string>((id) => this.#forget(id));
  readonly #onForget: (id: string) => void;

  /** `onForget` runs when an id has left the table. */
  constructor(onForget: (id: string) => void = () => undefined) {
    this.#onForget = onForget;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): L | undefined {
    return this.#byId.get(id)?.deref();
  }

  /** Adds the object, in place of any other of its id. Returns it. */
  add(lease: L): L {
    this.#byId.set(lease.id, new WeakRef(lease));
    this.#collected.register(lease, lease.id);
    return lease;
  }

  #forget(id: string): void {
    // A newer object may have the id by now.
    if (this.get(id) !== undefined) return;
    this.#byId.delete(id);
    this.#onForget(id);
  }
}
