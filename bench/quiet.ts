/** The rest of this machine: waiting for it to be done, and how much it did meanwhile, for that is in every figure. */
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const SAMPLE_MS = 150;
const QUIET_CORES = 0.3;

/** Waits for a moment in which the machine has little to do, for so long at most. */
export async function untilQuietMachine(timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const before = machineSeconds();
    await sleep(SAMPLE_MS);
    const busyCores = (machineSeconds() - before) / (SAMPLE_MS / 1000);
    if (busyCores <= QUIET_CORES || performance.now() >= deadline) return;
  }
}

/** CPU time that all cores together were busy. */
export function machineSeconds(): number {
  const times = cpus().map((cpu) => cpu.times);
  return times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0) / 1000;
}

/**
 * Measures again while others disturb, so many times at most, and keeps what they disturbed least. It goes by what the
 * others did, not by what came out.
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
