/** What an errno means to us: a name for those who start listeners, a reason to count for those who send. */
import os from 'node:os';
import type { DropReason } from '../counters.ts';

const { errno } = os.constants;

export const EINTR: number = errno.EINTR;
export const EAGAIN: number = errno.EAGAIN;
export const EBADF: number = errno.EBADF;

/** As Node's own sockets report it: `code` says EADDRINUSE, EACCES … */
export function systemError(number: number, call: string): NodeJS.ErrnoException {
  const code = codeOf(number);
  return Object.assign(new Error(`${call} ${code}`), { code, errno: -number, syscall: call });
}

function codeOf(number: number): string {
  return Object.entries(errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
}

const REASONS: ReadonlyMap<number, DropReason> = new Map([
  ...[errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM].map(as('noRoom')),
  ...[errno.EPERM, errno.EACCES].map(as('forbidden')),
  ...[errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN].map(as('unreachable')),
  ...[errno.EADDRNOTAVAIL, errno.EINVAL].map(as('unreachable')),
  ...[errno.EMSGSIZE].map(as('tooLong')),
]);

function as(reason: DropReason) {
  return (number: number): [number, DropReason] => [number, reason];
}

/** Under which reason a reply is counted that did not leave because of this errno. */
export function sendDropReason(number: number): DropReason {
  return REASONS.get(number) ?? 'otherSendError';
}
