/** A writer of random operations on a small set of keys: puts, deletes, leases, conditions and whole trees. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Store } from '../../src/store/store.ts';

export interface RandomWriter {
  writes(): number;
  /** Stops the writer; returns the revision of its last write. */
  stop(): Promise<number>;
}

const KEYS = 40;

/** Starts writing below the prefix. `random` returns numbers from 0 to below 1. */
export function startRandomWriter(
  store: Store,
  prefix: string,
  random: () => number,
): RandomWriter {
  let stopped = false;
  let writes = 0;
  const pick = (): string => `${prefix}${Math.floor(random() * 4)}/${Math.floor(random() * KEYS)}`;
  const running = (async () => {
    while (!stopped) {
      await writeOnce(store, prefix, pick(), Buffer.from(`${writes++}`), random());
      if (random() < 0.2) await sleep(random() * 5);
    }
  })();
  running.catch(() => undefined);
  return {
    writes: () => writes,
    async stop() {
      stopped = true;
      await running;
      const last = await store.put(`${prefix}last`, Buffer.from('the end'));
      return last.done ? last.entry.modRevision : Number.NaN;
    },
  };
}

async function writeOnce(
  store: Store,
  prefix: string,
  key: string,
  value: Buffer,
  dice: number,
): Promise<void> {
  if (dice < 0.55) await store.put(key, value);
  else if (dice < 0.6) await store.put(key, value, { ttlSeconds: 2 });
  else if (dice < 0.65) await store.put(key, value, { ttlSeconds: 600 });
  else if (dice < 0.7) await store.put(key, value, { if: { kind: 'absent' } });
  else if (dice < 0.72) await store.put(key, Buffer.alloc(20_000, value));
  else if (dice < 0.99) await store.delete(key);
  else await store.deleteTree(`${prefix}${value.length % 4}/`);
}

/** A generator of reproducible numbers from 0 to below 1 (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
