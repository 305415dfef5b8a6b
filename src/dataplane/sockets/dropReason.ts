/** Why the kernel refused to send a reply, as the counters distinguish it. */
import os from 'node:os';
import type { DropReason } from '../table/counters.ts';

const { errno } = os.constants;

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

/** The drop reason of a reply that the kernel refused with this errno. */
export function sendDropReason(number: number): DropReason {
  return REASONS.get(number) ?? 'otherSendError';
}
