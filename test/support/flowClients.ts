/** What clients of virtual addresses see while something fails, and for how long connections fail. */
import assert from 'node:assert/strict';
import type { FlowChange, WatchedFlow } from './flows.ts';
import { reportMs } from './measurement.ts';

/** For how many milliseconds attempts failed in all: from each failed one to the next that succeeded. */
export function failedMs(changes: readonly FlowChange[]): number {
  let sum = 0;
  let sinceMs: number | undefined;
  for (const { atMs, error } of changes) {
    if (error !== undefined) sinceMs ??= atMs;
    else if (sinceMs !== undefined) {
      sum += atMs - sinceMs;
      sinceMs = undefined;
    }
  }
  return sum;
}

/** Waits for the end of the attempts, prints for how long they failed, and limits that. */
export async function assertFailedFor(
  attempts: WatchedFlow,
  what: string,
  { atMostMs }: { readonly atMostMs: number },
): Promise<void> {
  await attempts.ended();
  const changes = attempts.seen().filter(({ end }) => !end);
  const seen = JSON.stringify(changes);
  assert.ok(changes.length > 0, `no attempt was made: ${attempts.stderr()}`);
  const ms = failedMs(changes);
  reportMs(`${what}: new connections fail`, ms);
  assert.ok(ms <= atMostMs, seen);
  assert.ok(changes.at(-1)?.reply !== undefined, seen);
}
