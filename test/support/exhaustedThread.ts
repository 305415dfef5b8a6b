/**
 * A program that runs the thread of a `SpliceCarrier` with so many descriptors left as its arguments say, and at once ends
 * it. It prints how each run ended, and how many descriptors more are open afterwards. Start it with a low limit.
 */
import { closeSync, openSync, readdirSync } from 'node:fs';
import { MessageChannel } from 'node:worker_threads';
import { SpliceMemory, type SpliceOrder } from '../../src/ambassador/proxy/carry/spliceMessages.ts';
import { runSpliceThread } from '../../src/ambassador/proxy/carry/spliceThread.ts';
import { loadStreamCalls, WakeSignal } from '../../src/kernel/streamCalls.ts';

const loaded = loadStreamCalls();
if (loaded.kind === 'missing') throw new Error(loaded.reason);
const { port1, port2 } = new MessageChannel();
const start = {
  memory: new SpliceMemory().memory,
  signal: new WakeSignal(loaded.libc, loaded.calls).fd,
  firstClient: 1,
};

for (const left of process.argv.slice(2).map(Number)) {
  port2.postMessage([{ kind: 'end' }] satisfies readonly SpliceOrder[]);
  const before = countDescriptors();
  const held = useUpDescriptors();
  for (const fd of held.splice(0, left)) closeSync(fd);
  const end = run();
  for (const fd of held) closeSync(fd);
  // The loader of TypeScript may close one of its own meanwhile.
  console.log(end, Math.max(0, countDescriptors() - before));
}
port1.close();

function run(): string {
  try {
    runSpliceThread(port1, start);
    return 'ended';
  } catch (error) {
    return `${error}`;
  }
}

function countDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function useUpDescriptors(): number[] {
  const held: number[] = [];
  for (;;) {
    try {
      held.push(openSync('/dev/null', 'r'));
    } catch {
      return held;
    }
  }
}
