/** Waiting for others on this machine to be done: what they do in between is in every figure. */
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_MS = 150;
const QUIET_SHARE = 0.15;

/** Waits for a moment in which the machine has little to do, for so long at most. */
export async function untilQuietMachine(timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  do {
    const before = cpuTimes();
    await sleep(LOOK_MS);
    if (busyShare(before, cpuTimes()) <= QUIET_SHARE) return;
  } while (performance.now() < deadline);
}

export interface CpuTimes {
  readonly busy: number;
  readonly idle: number;
}

/** Of all cores together; 0 if no time went by. */
export function busyShare(before: CpuTimes, after: CpuTimes): number {
  const busy = after.busy - before.busy;
  const all = busy + after.idle - before.idle;
  return all > 0 ? busy / all : 0;
}

function cpuTimes(): CpuTimes {
  const times = cpus().map((cpu) => cpu.times);
  const idle = times.reduce((sum, each) => sum + each.idle, 0);
  const all = times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0);
  return { busy: all, idle };
}
