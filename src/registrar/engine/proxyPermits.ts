/**
 * A bounded number of places for clients, shared so that none can take them all from the others: when there is none
 * left, a client takes one from a client that still has as many as it has after that. Users count before processes.
 */

/** Who is at the other end of a connection; alike for all where the system does not tell. */
export interface ProxyPeer {
  readonly uid: number | undefined;
  /** 0 for a process that is not seen from here, as in another container. */
  readonly pid: number | undefined;
}

interface PermitHolder {
  readonly peer: ProxyPeer;
  /** Takes the place away. */
  readonly evict: () => void;
}

export class ProxyPermits {
  readonly #max: number;
  /** The newest last. */
  readonly #holders = new Set<PermitHolder>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Gives what gives the place back, `undefined` if there is none. `evict` is called when it is taken away. */
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

  /** The newest place of the user, or of the user's own process, that has the most. */
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

/** The largest group of those that are alike. */
function largest(
  holders: readonly PermitHolder[],
  of: (holder: PermitHolder) => number | undefined,
): readonly PermitHolder[] {
  const groups = new Map<number | undefined, PermitHolder[]>();
  for (const holder of holders) {
    const group = groups.get(of(holder));
    if (group === undefined) groups.set(of(holder), [holder]);
    else group.push(holder);
  }
  return [...groups.values()].reduce((a, b) => (b.length > a.length ? b : a), []);
}
