/** Removes what planes of former processes have left in the kernel: the tables of both families, and Docker's rules. */
import { setTimeout as pause } from 'node:timers/promises';
import { removal } from './contents.ts';
import { removeCrossBridgeRules } from './crossBridge.ts';
import { NEEDS_CAPABILITY, openKernelAccess } from './nftThread.ts';
import { TABLE_NAME, tableId } from './tableText.ts';

export type ClearOutcome =
  /** `tables` as in `ip soradns`; `rules`: how many rules in DOCKER-USER. */
  | { readonly kind: 'cleared'; readonly tables: readonly string[]; readonly rules: number }
  /** Another process has written a table again. */
  | { readonly kind: 'kept' }
  /** It needs the capability NET_ADMIN. */
  | { readonly kind: 'forbidden' }
  /** `reason` has no full stop. */
  | { readonly kind: 'failed'; readonly reason: string };

const FAMILIES = [4, 6] as const;
const LOOK_EVERY_MS = 50;

/** `watchMs`: how long to watch whether another process writes a removed table again. */
export async function clearKernel({ watchMs }: { watchMs: number }): Promise<ClearOutcome> {
  const opened = openKernelAccess({ forms: [] });
  if (opened.kind === 'unsupported')
    return opened.reason === NEEDS_CAPABILITY
      ? { kind: 'forbidden' }
      : { kind: 'failed', reason: opened.reason };
  const { nft, ruleset, conntrack } = opened.access;
  const exists = (family: 4 | 6): boolean => {
    const parts = ruleset.parts({ family, name: TABLE_NAME });
    return parts.kind === 'failed' || parts.entries.length > 0;
  };
  try {
    const found = FAMILIES.filter(exists);
    for (const family of found) {
      const outcome = nft.run(removal(family));
      if (outcome.kind === 'refused') return { kind: 'failed', reason: outcome.reason };
    }
    const counts = await Promise.all(FAMILIES.map(removeCrossBridgeRules));
    const untilMs = performance.now() + (found.length === 0 ? 0 : watchMs);
    while (performance.now() < untilMs) {
      await pause(LOOK_EVERY_MS);
      if (found.some(exists)) return { kind: 'kept' };
    }
    const rules = counts.reduce((sum, count) => sum + count, 0);
    return { kind: 'cleared', tables: found.map(tableId), rules };
  } finally {
    for (const each of [nft, ruleset, conntrack]) each.close();
  }
}
