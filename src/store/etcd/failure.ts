/**
 * The meaning of a failed gRPC call: the StoreError for its status code and etcd's text, a message in plain words, and
 * whether the request can have reached the store (which decides whether to try another member).
 */
import { StoreError, type StoreErrorCode } from '../store.ts';

/** The status codes that have a meaning here. */
export const GRPC = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** The end of a stream, in the form of grpc-js's errors. */
export class GrpcFailure extends Error {
  readonly code: number;
  readonly details: string;
  constructor(code: number, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}

/** The login before a call failed, so the call was not sent. */
export class LoginFailure extends Error {
  readonly code: number | undefined;
  readonly details: string;
  constructor(cause: unknown) {
    const details = textOf(cause);
    super(details, { cause });
    this.code = codeOf(cause);
    this.details = details;
  }
}

const TOO_LARGE = /larger than max|request is too large/i;
const BAD_CERTIFICATE = /certificate|altname|self.signed|alert unknown ca/i;
const NO_LOGIN = /authentication failed|user name is empty|permission denied|invalid auth token/i;
const NO_LEASE = /requested lease not found/i;
/** etcd 3.4 gives this error no code of its own. */
const OLD_TOKEN = /invalid auth token|revision of auth store is old/i;
/** grpc-js's messages for a call without a connection: it sent no request. */
const NEVER_SENT = /^(No connection established|Name resolution failed|Channel closed before)/i;

const codeOf = (error: unknown): number | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'number'
    ? error.code
    : undefined;

const textOf = (error: unknown): string => {
  if (error instanceof Error && 'details' in error && typeof error.details === 'string') {
    return error.details;
  }
  return error instanceof Error ? error.message : String(error);
};

function storeCodeOf(code: number | undefined, text: string): StoreErrorCode {
  if (NO_LOGIN.test(text)) return 'denied';
  switch (code) {
    case GRPC.permissionDenied:
    case GRPC.unauthenticated:
      return 'denied';
    case GRPC.unavailable:
      return BAD_CERTIFICATE.test(text) ? 'denied' : 'unavailable';
    case GRPC.resourceExhausted:
      return TOO_LARGE.test(text) ? 'invalid' : 'unavailable';
    case GRPC.invalidArgument:
    case GRPC.notFound:
      return 'invalid';
    case GRPC.outOfRange:
      return /compacted/.test(text) ? 'compacted' : 'invalid';
    default:
      return 'unavailable';
  }
}

/** The StoreError for any failure of a call or stream; a StoreError stays as it is. */
export function storeErrorOf(error: unknown, what: string): StoreError {
  if (error instanceof StoreError) return error;
  const text = textOf(error);
  const message = `${what}: ${plainGrpcReason(text)}`;
  return new StoreError(storeCodeOf(codeOf(error), text), message, { cause: error });
}

/** The call did not begin because its channel had been closed; this error has no code. */
export const isShutDown = (error: unknown): boolean =>
  codeOf(error) === undefined && /^Channel has been shut down/i.test(textOf(error));

/** No answer arrived before the deadline. */
export const isTimeout = (error: unknown): boolean => codeOf(error) === GRPC.deadlineExceeded;

/** The lease in the call does not exist. */
export const isNoSuchLease = (error: unknown): boolean => NO_LEASE.test(textOf(error));

/** etcd refuses the token; the password may still be valid. */
export const isTokenRefused = (error: unknown): boolean => OLD_TOKEN.test(textOf(error));

/** etcd has authentication disabled, so it refuses a login that it does not need. */
export const isAuthDisabled = (error: unknown): boolean =>
  codeOf(error) === GRPC.failedPrecondition && /not enabled/.test(textOf(error));

/** The request has certainly not reached the store. */
export const isNeverSent = (error: unknown): boolean =>
  error instanceof LoginFailure ||
  (codeOf(error) === GRPC.unavailable && NEVER_SENT.test(textOf(error)));

/** A message was larger than one side accepts. */
export const isTooLarge = (error: unknown): boolean =>
  codeOf(error) === GRPC.resourceExhausted && TOO_LARGE.test(textOf(error));

/** The error for an answer without a part that etcd's protocol promises. */
export const malformed = (what: string): StoreError =>
  new StoreError('unavailable', `etcd answered without ${what}`);

/** Message pattern -> plain words. The first match wins, and `$1` is the match's first group. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/certificate has expired/i, 'its certificate has expired'],
  [/certificate is not yet valid/i, 'its certificate is not yet valid; are both clocks right?'],
  [
    /certificate's altnames: IP: (\S+) is not/i,
    'its certificate is not for $1: its subjectAltName does not list IP:$1',
  ],
  [
    /certificate's altnames: Host: (\S+?)\.? is not/i,
    'its certificate is not for $1: its subjectAltName does not list DNS:$1',
  ],
  [
    /certificate's altnames: Cert does not contain a DNS name/i,
    'its certificate is not for this host: its subjectAltName lists no DNS name',
  ],
  [
    /certificate's altnames: Host is a non-canonical IP address/i,
    'its certificate is not for an address in this form: write all four numbers of the address',
  ],
  [
    /verify the (?:first|leaf)|self.signed|local issuer/i,
    'its certificate is signed by no CA that we trust',
  ],
  [
    /alert (?:bad certificate|certificate|unknown ca)/i,
    'it requires a client certificate of its own CA',
  ],
  [/before secure TLS connection/i, 'it ended the TLS handshake; does it speak TLS?'],
  [/SSL routines:[^:]*:(wrong version number)/i, 'it does not speak TLS'],
  [
    /^No connection established\. Last error: Failed to connect/,
    'it ended the connection; does it require TLS?',
  ],
  [/invalid user ID or password/, 'it refuses the user or the password'],
  [/user name is empty/, 'it requires a user and a password'],
  [/permission denied/, "permission denied: the user's role does not cover our keys"],
  [/^Name resolution failed/, 'its host name cannot be resolved'],
  [/^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note:/, '$1'],
];

/** The reason in one line. A text without a matching pattern stays as it is. */
function plainGrpcReason(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  for (const [pattern, words] of PHRASES) {
    const match = pattern.exec(line);
    if (match !== null) return words.replaceAll('$1', match[1] ?? '');
  }
  return line;
}
