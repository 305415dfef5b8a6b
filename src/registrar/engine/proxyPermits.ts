/**
 * A limited number of permits for clients. When no permit is free, a client takes one from the user with the most
 * permits: the newest permit of that user's process with the most. If no other user has enough, the client takes one
 * from the process of its own user that has the most. In either case the loser must keep at least as many permits as
 * the taker then has. So no client can take all permits.
 */

/** The process at the other end of a connection. Where the system does not report it, all processes count as one. */
export interface ProxyPeer {
  readonly uid: number | undefined;
  /** 0 for a process that is not visible, for example in another container. */
  readonly pid: number | undefined;
}

interface PermitHolder {
  readonly peer: ProxyPeer;
  /** Called when another client takes the permit. */
  readonly evict: () => void;
}

export class ProxyPermits {
  readonly #max: number;
  /** The newest last. */
  readonly #holders = new Set<PermitHolder>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Returns the function that releases the permit; `undefined` if no permit is available. */
  acquire(peer: ProxyPeer, evict: () => void): (() => void) | undefined {
    if (this.#holders.size >= this.#max) {
      const victim = this.#victimFor(peer);
      if (victim === undefined) return undefined;
      this.#holders.delete(victim);
      victim.evict();
    }
    const holder = { peer, evict };
    this.#holders.add(holder);
    return () => void this.#holders.delete(holder);
  }

  /** The permit to take for a client; `undefined` if every other user and process has too few. */
  #victimFor({ uid, pid }: ProxyPeer): PermitHolder | undefined {
    const holders = [...this.#holders].reverse();
    const own = holders.filter(({ peer }) => peer.uid === uid);
    const user = largest(holders, ({ peer }) => peer.uid);
    if (user.length > own.length + 1) return largest(user, ({ peer }) => peer.pid)[0];
    const ofProcess = own.filter(({ peer }) => peer.pid === pid);
    const busiest = largest(own, ({ peer }) => peer.pid);
    return busiest.length > ofProcess.length + 1 ? busiest[0] : undefined;
  }
}

/** The largest group of holders with equal keys. */
function largest(
  holders: readonly PermitHolder[],
  keyOf: (holder: PermitHolder) => number | undefined,
): readonly PermitHolder[] {
  const groups = new Map<number | undefined, PermitHolder[]>();
  for (const holder of holders) {
    const group = groups.get(keyOf(holder));
    if (group === undefined) groups.set(keyOf(holder), [holder]);
    else group.push(holder);
  }
  return [...groups.values()].reduce((a, b) => (b.length > a.length ? b : a), []);
}
