/** CPU time of any process on this machine, in nanosecond resolution where the kernel provides it. */
import { createRequire } from 'node:module';

/** User and kernel seconds of all threads of the process, ended ones included; undefined: read /proc instead. */
export const processSeconds: (pid: number) => number | undefined = bind() ?? (() => undefined);

/** Clock id of a process on Linux (clock_getcpuclockid(3)): the complement of the pid, then three bits for the kind of clock. */
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
