import type { WatchBatch } from '../../src/store/store.ts';

/** A watch's batches until `cut` rejects or `signal` ends it. The watch ends at the latest when its reader ends. */
export async function* untilCut(
  open: (signal: AbortSignal) => AsyncIterable<WatchBatch>,
  signal: AbortSignal,
  cut: Promise<never>,
): AsyncGenerator<WatchBatch> {
  cut.catch(() => undefined); // `cut` may reject while no reader waits for a batch
  const own = new AbortController();
  const batches = open(AbortSignal.any([signal, own.signal]))[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([batches.next(), cut]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    own.abort();
  }
}
