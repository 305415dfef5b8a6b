/**
 * How a command fails: a message for the operator, and an exit code for scripts. `failureOf` turns every error that
 * escapes a command into this form.
 */
import type { StoreLocation } from '../../config/storeLocation.ts';
import { StoreError, type StoreErrorCode } from '../../store/store.ts';

/** 0 is success, 128 + n a signal. The codes are documented, so they never change. */
export const EXIT_CODES = {
  failure: 1,
  usage: 2,
  not_found: 3,
  unreachable: 4,
  conflict: 5,
  not_permitted: 6,
  bad_data: 7,
  no_reply: 9,
  /**
   * Docker replaced its socket, and this container's mount still leads to the old one: restart the container
   * (EX_TEMPFAIL).
   */
  socket_replaced: 75,
  /** An uncaught exception (EX_SOFTWARE). */
  broken: 70,
} as const;

export type FailureCode = keyof typeof EXIT_CODES;

/** One line that says what went wrong and, if there is a fix, one line that names it. */
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
  EADDRINUSE: ['unreachable', 'stop the program that uses the address, or choose another'],
  EADDRNOTAVAIL: ['unreachable', 'choose an address of this host'],
  ECONNREFUSED: ['unreachable', 'is the server running? start it with: soradns serve'],
  ECONNRESET: ['unreachable', undefined],
  EHOSTUNREACH: ['unreachable', undefined],
  ENETUNREACH: ['unreachable', undefined],
  ENOTFOUND: ['unreachable', 'check the host name'],
  ETIMEDOUT: ['unreachable', undefined],
  EACCES: ['not_permitted', 'ports below 1024 and other users’ files need more rights'],
  EPERM: ['not_permitted', undefined],
};

/**
 * Any thrown value as a `Failure`; an unexpected error keeps its text and gets code 1. `store` selects the hint for
 * that kind of store.
 */
export function failureOf(error: unknown, store?: StoreLocation['kind']): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof StoreError) {
    return new Failure(STORE_FAILURES[error.code], error.message, storeHint(error, store));
  }
  if (!(error instanceof Error)) return new Failure('failure', String(error));
  const [code, hint] = ('code' in error && SYSTEM_FAILURES[String(error.code)]) || ['failure'];
  return new Failure(code as FailureCode, error.message, hint);
}

function storeHint({ code, cause }: StoreError, store?: StoreLocation['kind']): string | undefined {
  if (code === 'denied') return DENIED_HINTS[store ?? 'memory'];
  if (code !== 'unavailable') return undefined;
  switch (store) {
    case 'etcd':
      return `is etcd running there? ${ANOTHER_STORE}`;
    case 'http':
      // A failure of the server's own store has no cause in this process.
      return cause === undefined
        ? `the server there cannot use its own store; ${ANOTHER_STORE}`
        : `is a server running there? start one here with: soradns serve; ${ANOTHER_STORE}`;
    default:
      return `is the store running? start a server here with: soradns serve; ${ANOTHER_STORE}`;
  }
}

const ANOTHER_STORE = '--store chooses another store';
const BOTH_DENIED = 'check --token-file (http) or --username and --password-file (etcd)';

const DENIED_HINTS: Record<StoreLocation['kind'], string> = {
  memory: BOTH_DENIED,
  file: BOTH_DENIED,
  etcd: 'check --username and --password-file',
  http: 'check --token-file',
};
