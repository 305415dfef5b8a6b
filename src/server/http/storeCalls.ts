/** What the calls of /v1/store share: reading their arguments, and saying what went wrong. */
import { Malformed } from '../../store/http/wire.ts';
import { checkPath, checkPrefixPath } from '../../store/limits.ts';
import { StoreError, type StoreErrorCode } from '../../store/store.ts';
import { NeedsToken } from './configGuard.ts';
import { jsonReply, type Reply } from './exchange.ts';

const STATUS: Readonly<Record<StoreErrorCode, number>> = {
  unavailable: 503,
  compacted: 410,
  replaced: 410,
  denied: 403,
  invalid: 400,
};

/** Refused here, whatever the store would make of it: a prefix that is none may be a range of all keys. */
export function prefixOf(text: string): string {
  checkPrefixPath(text);
  return text;
}

export function keyOf(text: string): string {
  checkPath(text);
  return text;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Malformed('what was sent is no JSON');
  }
}

export function errorLine(error: unknown): string {
  return `${JSON.stringify({ error: describe(error) })}\n`;
}

export function errorReply(error: unknown): Reply {
  const { code, message } = describe(error);
  const status = error instanceof NeedsToken ? 401 : STATUS[code];
  return jsonReply(status, { error: { code, message } });
}

/** Errors of the store and of the request, as their sender is told them; any other is a bug and goes on up. */
function describe(error: unknown): { code: StoreErrorCode; message: string } {
  if (error instanceof Malformed) return { code: 'invalid', message: error.message };
  if (error instanceof StoreError) return { code: error.code, message: error.message };
  throw error;
}

export function tooManyLong(): StoreError {
  return new StoreError(
    'unavailable',
    'too many long replies at once, or too many of this address',
  );
}
