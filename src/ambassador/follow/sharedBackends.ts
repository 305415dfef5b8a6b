/**
 * The backends of routes that want the same: many containers of a host may link to one service. Its backends are computed
 * once for all of them, because the thread that computes also answers DNS.
 */
import type { BackendSet } from '../route.ts';

type OnBackends = (backends: BackendSet) => void;

interface Closable {
  close(): void;
}

interface Shared {
  readonly listeners: Set<OnBackends>;
  last: BackendSet | undefined;
  following: Closable | undefined;
}

export class SharedBackends {
  readonly #byWish = new Map<string, Shared>();

  /** Calls back with the backends, at once if they are known. `follow` is called for the first of equal wishes. */
  join(wish: string, follow: (onChange: OnBackends) => Closable, onBackends: OnBackends): Closable {
    const known = this.#byWish.get(wish);
    const shared = known ?? { listeners: new Set(), last: undefined, following: undefined };
    // Two routes may pass one function.
    const listener: OnBackends = (backends) => onBackends(backends);
    shared.listeners.add(listener);
    if (known === undefined) {
      this.#byWish.set(wish, shared);
      shared.following = follow((backends) => {
        shared.last = backends;
        // A route that ends because of an earlier one's change hears no more.
        for (const each of [...shared.listeners]) if (shared.listeners.has(each)) each(backends);
      });
    } else if (shared.last !== undefined) listener(shared.last);
    return {
      close: () => {
        if (!shared.listeners.delete(listener) || shared.listeners.size > 0) return;
        shared.following?.close();
        this.#byWish.delete(wish);
      },
    };
  }
}
