/** The CPU time of any process of this machine, to the nanosecond where the kernel tells it. */
import { createRequire } from 'node:module';

/** Seconds that all threads of the process ran, user and kernel, those that ended too; undefined: ask /proc. */
export const processSeconds: (pid: number) => number | undefined = bind() ?? (() => undefined);

/** clock_getcpuclockid(3) of a process on Linux: the pid's complement, three bits of kind behind it. */
const CPUCLOCK_SCHED = 2;

function bind(): typeof processSeconds | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const gettime = koffi.load(null).func('clock_gettime', 'int', ['int', 'uint64']);
    const timespec = new BigInt64Array(2);
    const at = Number(koffi.address(timespec.buffer));
    return (pid) => {
      if (gettime((~pid << 3) | CPUCLOCK_SCHED, at) !== 0) return undefined;
      return Number(timespec[0]) + Number(timespec[1]) / 1e9;
    };
  } catch {
    return undefined;
  }
}
