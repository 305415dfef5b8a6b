/** What clients of virtual addresses see while something fails, and for how long connections fail. */
import assert from 'node:assert/strict';
import type { FlowChange, WatchedFlow } from './flows.ts';
import { reportMs } from './measurement.ts';

/** How long attempts failed: from the first failed one to the first that succeeded after the last failed one. */
export function failedMs(changes: readonly FlowChange[]): number {
  const first = changes.find(({ error }) => error !== undefined);
  const last = changes.findLastIndex(({ error }) => error !== undefined);
  const next = changes[last + 1] ?? changes[last];
  return first === undefined || next === undefined ? 0 : next.atMs - first.atMs;
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
