/**
 * How a command ends badly: what the person sees, and the exit code by which a script tells the cases apart. Whatever
 * escapes a command is brought into this form once, by `failureOf`.
 */
import type { StoreLocation } from '../../config/storeLocation.ts';
import { StoreError, type StoreErrorCode } from '../../store/store.ts';

/** Exit codes; 0 is success, 128 + n a signal. They are documented, so they never change. */
export const EXIT_CODES = {
  failure: 1,
  usage: 2,
  not_found: 3,
  unreachable: 4,
  conflict: 5,
  not_permitted: 6,
  bad_data: 7,
  no_reply: 9,
  /** Docker's socket was replaced under a mount: only a new start gets the new one (sysexits' EX_TEMPFAIL). */
  socket_replaced: 75,
  /** An exception that nobody caught, which leaves nothing to rely on (sysexits' EX_SOFTWARE). */
  broken: 70,
} as const;

export type FailureCode = keyof typeof EXIT_CODES;

/** One line of what went wrong and, if there is something to do about it, one of what to do. */
export class Failure extends Error {
  readonly code: FailureCode;
  readonly hint: string | undefined;
  constructor(code: FailureCode, message: string, hint?: string) {
    super(message);
    this.name = 'Failure';
    this.code = code;
    this.hint = hint;
  }
}

const STORE_FAILURES: Record<StoreErrorCode, FailureCode> = {
  unavailable: 'unreachable',
  compacted: 'failure',
  replaced: 'failure',
  denied: 'not_permitted',
  invalid: 'bad_data',
};

const SYSTEM_FAILURES: Record<string, [FailureCode, string | undefined]> = {
  EADDRINUSE: ['unreachable', 'stop the program that has the address, or choose another'],
  EADDRNOTAVAIL: ['unreachable', 'choose an address that this host has'],
  ECONNREFUSED: ['unreachable', 'is the server running? start it with: soradns serve'],
  ECONNRESET: ['unreachable', undefined],
  EHOSTUNREACH: ['unreachable', undefined],
  ENETUNREACH: ['unreachable', undefined],
  ENOTFOUND: ['unreachable', 'check the host name'],
  ETIMEDOUT: ['unreachable', undefined],
  EACCES: ['not_permitted', 'ports below 1024 and other users’ files need more rights'],
  EPERM: ['not_permitted', undefined],
};

/** Any thrown thing as a `Failure`. An error that nobody expected keeps its text and is code 1. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof StoreError) return storeFailure(error);
  if (!(error instanceof Error)) return new Failure('failure', String(error));
  const known = 'code' in error ? SYSTEM_FAILURES[String(error.code)] : undefined;
  return known === undefined
    ? new Failure('failure', error.message)
    : new Failure(known[0], error.message, known[1]);
}

/** What a store says went wrong, with a hint that fits its kind where that is known. */
export function storeFailure(error: StoreError, store?: StoreLocation['kind']): Failure {
  const hint =
    error.code === 'unavailable'
      ? unreachableHint(error, store)
      : error.code === 'denied'
        ? 'check --token-file (http) or --username and --password-file (etcd)'
        : undefined;
  return new Failure(STORE_FAILURES[error.code], error.message, hint);
}

function unreachableHint({ cause }: StoreError, store: StoreLocation['kind'] | undefined) {
  const another = 'another store is chosen with --store';
  if (store === 'etcd') return `is etcd running there? ${another}`;
  // What a server says of its own store has no cause in this process.
  if (store === 'http' && cause === undefined) return `that server’s own store fails; ${another}`;
  return `is it running? a local server is started with: soradns serve; ${another}`;
}
