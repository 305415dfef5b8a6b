/** Responses by what they mean. */
import { Ede, type Response } from './message.ts';
import { Rcode, type Rr } from './rr.ts';

/** An answer out of our own data (AA). */
export function authoritative(
  rcode: number,
  answer: readonly Rr[],
  authority: readonly Rr[] = [],
  additional: readonly Rr[] = [],
): Response {
  return {
    rcode,
    authoritative: true,
    recursionAvailable: false,
    answer,
    authority,
    additional,
  };
}

/** A response without rrs, and why, for those who can read it (RFC 8914). */
function withoutRrs(rcode: number, ede: number, text: string): Response {
  return {
    ...authoritative(rcode, []),
    authoritative: false,
    extendedError: { code: ede, text },
  };
}

export function refused(text: string, ede: number = Ede.PROHIBITED): Response {
  return withoutRrs(Rcode.REFUSED, ede, text);
}

export function servfail(ede: number, text: string): Response {
  return withoutRrs(Rcode.SERVFAIL, ede, text);
}
