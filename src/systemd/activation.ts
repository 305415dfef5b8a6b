/** Socket activation (sd_listen_fds(3)): which descriptors were handed to this process. Pure. */

export interface HandedOver {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit. */
  readonly name: string;
}

export type Activation =
  | { readonly kind: 'none' }
  /** At least one. */
  | { readonly kind: 'descriptors'; readonly descriptors: readonly HandedOver[] };

type Env = Readonly<Record<string, string | undefined>>;

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
const MAX_FDS = 1_024;

/** What LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES say to the process `pid`; variables for another one are not for us. */
export function readActivation(env: Env, pid: number): Activation {
  const count = Number(env.LISTEN_FDS ?? '0');
  const isOurs = env.LISTEN_PID === undefined || env.LISTEN_PID === String(pid);
  if (!isOurs || !Number.isInteger(count) || count < 1 || count > MAX_FDS) return { kind: 'none' };
  const names = (env.LISTEN_FDNAMES ?? '').split(':');
  const descriptors = Array.from({ length: count }, (_, index) => ({
    fd: FIRST_FD + index,
    name: names[index] || 'unknown',
  }));
  return { kind: 'descriptors', descriptors };
}
