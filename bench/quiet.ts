/** Other load on this machine, which changes every result: waits until it is low, and measures it. */
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const SAMPLE_MS = 150;
const QUIET_CORES = 0.3;

/** Waits until the machine is almost idle, at most `timeoutMs`. */
export async function untilQuietMachine(timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const before = machineSeconds();
    await sleep(SAMPLE_MS);
    const busyCores = (machineSeconds() - before) / (SAMPLE_MS / 1000);
    if (busyCores <= QUIET_CORES || performance.now() >= deadline) return;
  }
}

/** Busy CPU seconds of all cores together. */
export function machineSeconds(): number {
  const times = cpus().map((cpu) => cpu.times);
  return times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0) / 1000;
}

/**
 * Repeats a measurement that other processes disturb, at most `attempts` times in all, and returns the least disturbed
 * one. It compares the load of the others, not the results.
 */
export async function leastDisturbed<S extends { readonly othersBusy: number }>(
  attempts: number,
  measure: () => Promise<S>,
): Promise<S> {
  let best = await measure();
  for (let attempt = 1; attempt < attempts && best.othersBusy > DISTURBED_CORES; attempt++) {
    const next = await measure();
    if (next.othersBusy < best.othersBusy) best = next;
  }
  return best;
}

const DISTURBED_CORES = 0.1;
