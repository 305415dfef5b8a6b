/**
 * Bounded numbers of places for requests that hold on to something: a wait, a long reply. A client has a share of them,
 * and clients that are not trusted have three quarters of them between them, so that no crowd of strangers keeps the
 * servers and registrars out that rely on this one.
 */

/** Leaves the place. */
export type Leave = () => void;

/** Who wants a place. */
export interface Asker {
  readonly share: string;
  /** Asked only when its share is used up. */
  isTrusted(): Promise<boolean>;
}

export interface Places {
  /** Takes a place; undefined when there is none for this one. */
  take(asker: Asker): Promise<Leave | undefined>;
}

export function shares(total: number, perClient: number): Places {
  const forStrangers = Math.ceil((total * 3) / 4);
  const taken = new Map<string, number>();
  let all = 0;
  let byStrangers = 0;

  function enter(share: string | undefined): Leave {
    all++;
    if (share !== undefined) {
      byStrangers++;
      taken.set(share, (taken.get(share) ?? 0) + 1);
    }
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      all--;
      if (share === undefined) return;
      byStrangers--;
      const left = (taken.get(share) ?? 1) - 1;
      if (left === 0) taken.delete(share);
      else taken.set(share, left);
    };
  }

  return {
    async take(asker) {
      const { share } = asker;
      if (all >= total) return undefined;
      const hasRoom = (taken.get(share) ?? 0) < perClient && byStrangers < forStrangers;
      if (hasRoom) return enter(share);
      return (await asker.isTrusted()) && all < total ? enter(undefined) : undefined;
    },
  };
}
