/**
 * The errors of etcd's v2 API as etcd 3.4 sends them: a number that clients branch on, the HTTP status that goes with
 * it, a fixed message, and a cause in free text.
 */
import type { StoreError } from '../../store/store.ts';
import { NeedsToken } from './configGuard.ts';
import type { Reply } from './exchange.ts';
import { jsonReply } from './exchange.ts';

const STATUS_AND_MESSAGE = {
  100: [404, 'Key not found'],
  101: [412, 'Compare failed'],
  102: [403, 'Not a file'],
  104: [400, 'Not a directory'],
  105: [412, 'Key already exists'],
  107: [400, 'Root is read only'],
  108: [403, 'Directory not empty'],
  110: [401, 'The request requires user authentication'],
  201: [400, 'PrevValue is Required in POST form'],
  202: [400, 'The given TTL in POST form is not a number'],
  203: [400, 'The given index in POST form is not a number'],
  209: [400, 'Invalid field'],
  210: [400, 'Invalid POST form'],
  211: [400, 'Value provided on refresh'],
  212: [400, 'A TTL must be provided on refresh'],
  300: [500, 'Raft Internal Error'],
  400: [400, 'watcher is cleared due to etcd recovery'],
  401: [400, 'The event in requested index is outdated and cleared'],
} as const satisfies Record<number, readonly [number, string]>;

export type V2ErrorCode = keyof typeof STATUS_AND_MESSAGE;

/** A request that came to nothing. `index` is the store's revision, or 0 when the store was not asked. */
export interface V2Failure {
  readonly kind: 'failure';
  readonly code: V2ErrorCode;
  readonly cause: string;
  readonly index: number;
  /** Where HTTP knows a better status than etcd's table (413, 503). */
  readonly status?: number;
}

export function failure(code: V2ErrorCode, cause: string, index = 0, status?: number): V2Failure {
  return { kind: 'failure', code, cause, index, ...(status === undefined ? {} : { status }) };
}

/** What a v2 client is told when the store itself failed; `compacted` and `invalid` are the client's to correct. */
export function failureOfStore(error: StoreError): V2Failure {
  if (error instanceof NeedsToken) return failure(110, error.message);
  switch (error.code) {
    case 'compacted':
    case 'replaced':
      return failure(401, error.message);
    case 'invalid':
      return failure(209, error.message);
    case 'denied':
      return failure(300, `the store refuses this server: ${error.message}`);
    case 'unavailable':
      return failure(300, `the store cannot be reached: ${error.message}`, 0, 503);
  }
}

/** etcdctl sends the token as a password when it is asked like this. */
const CHALLENGE = { 'WWW-Authenticate': 'Basic realm="soradns"' };

/** The error as etcd writes it: `{"errorCode","message","cause","index"}`, and `more` beside that. */
export function failureReply({ code, cause, index, status }: V2Failure, more = {}): Reply {
  const [usualStatus, message] = STATUS_AND_MESSAGE[code];
  return jsonReply(
    status ?? usualStatus,
    { errorCode: code, message, cause, index, ...more },
    { 'X-Etcd-Index': String(index), ...(code === 110 ? CHALLENGE : {}) },
  );
}
