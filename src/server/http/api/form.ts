/**
 * The parameters of a keys request, read from query string and form body as etcd reads them: the body takes precedence
 * over the query string, and the first of several fields with one name counts. The fields are checked in etcd's order,
 * so that the first mistake gets etcd's error.
 */
import { failure, type V2ErrorCode, type V2Failure } from './v2Responses.ts';

export interface KeyParameters {
  readonly kind: 'parameters';
  readonly value: string | undefined;
  /** 0 means "at once"; undefined: no TTL. */
  readonly ttlSeconds: number | undefined;
  readonly dir: boolean;
  readonly recursive: boolean;
  readonly wait: boolean;
  readonly stream: boolean;
  /** The reply omits the nodes. */
  readonly noValueOnSuccess: boolean;
  readonly refresh: boolean;
  /** 0: from now on. */
  readonly waitIndex: number;
  /** Undefined and 0 both mean that no index is compared. */
  readonly prevIndex: number | undefined;
  readonly prevValue: string | undefined;
  readonly prevExist: boolean | undefined;
}

type FormFields = ReadonlyMap<string, string>;

const TRUE = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE = ['0', 'f', 'F', 'FALSE', 'false', 'False'];
const MAX_UINT64 = 2n ** 64n - 1n;

/** Thrown and caught in this file only: the first wrong field ends the parsing. */
class Mistake extends Error {
  readonly code: V2ErrorCode;
  constructor(code: V2ErrorCode, cause: string) {
    super(cause);
    this.code = code;
  }
}

/** The request's parameters, or etcd's error for the first wrong field. `body` is '' if the request has no body. */
export function parseKeyParameters(
  method: string,
  query: string,
  body: string,
): KeyParameters | V2Failure {
  try {
    return readParameters(method, decodeForm(body, query));
  } catch (error) {
    if (error instanceof Mistake) return failure(error.code, error.message);
    throw error;
  }
}

function readParameters(method: string, fields: FormFields): KeyParameters {
  const prevIndex = indexField(fields, 'prevIndex');
  const waitIndex = indexField(fields, 'waitIndex') ?? 0;
  const recursive = flag(fields, 'recursive');
  // Listings are always sorted and every read is consistent, so these two parameters are only checked.
  flag(fields, 'sorted');
  const wait = flag(fields, 'wait');
  flag(fields, 'quorum');
  const stream = flag(fields, 'stream');
  const dir = flag(fields, 'dir');
  const noValueOnSuccess = flag(fields, 'noValueOnSuccess');
  if (wait && method !== 'GET') {
    throw new Mistake(209, '"wait" can only be used with GET requests');
  }
  const prevValue = fields.get('prevValue');
  if (prevValue === '') throw new Mistake(201, '"prevValue" cannot be empty');
  const ttlSeconds = ttlField(fields);
  const prevExist = optionalFlag(fields, 'prevExist', 'invalid value for prevExist');
  const value = fields.get('value');
  const refresh = optionalFlag(fields, 'refresh', 'invalid value for refresh') ?? false;
  if (refresh && (value ?? '') !== '') {
    throw new Mistake(211, 'A value was provided on a refresh');
  }
  if (refresh && ttlSeconds === undefined) throw new Mistake(212, 'No TTL value set');
  return {
    kind: 'parameters',
    ...{ value, ttlSeconds, dir, recursive, wait, stream, noValueOnSuccess },
    ...{ refresh, waitIndex, prevIndex, prevValue, prevExist },
  };
}

function flag(fields: FormFields, name: string): boolean {
  return optionalFlag(fields, name, `invalid value for "${name}"`) ?? false;
}

function optionalFlag(fields: FormFields, name: string, cause: string): boolean | undefined {
  const text = fields.get(name);
  if (text === undefined) return undefined;
  if (TRUE.includes(text)) return true;
  if (FALSE.includes(text)) return false;
  throw new Mistake(209, cause);
}

function indexField(fields: FormFields, name: string): number | undefined {
  const text = fields.get(name);
  return text === undefined ? undefined : uint64(text, 203, name);
}

function ttlField(fields: FormFields): number | undefined {
  const text = fields.get('ttl');
  return text === undefined || text === '' ? undefined : uint64(text, 202, 'ttl');
}

function uint64(text: string, code: V2ErrorCode, name: string): number {
  if (!/^\d{1,20}$/.test(text) || BigInt(text) > MAX_UINT64) {
    throw new Mistake(code, `invalid value for "${name}"`);
  }
  return Number(text);
}

/** The fields of `application/x-www-form-urlencoded` texts. The first of several fields with one name counts. */
function decodeForm(...texts: readonly string[]): FormFields {
  const fields = new Map<string, string>();
  for (const pair of texts.flatMap((text) => text.split('&'))) {
    if (pair === '') continue;
    if (pair.includes(';')) throw new Mistake(210, 'invalid semicolon separator in query');
    const equals = pair.indexOf('=');
    const name = decodeField(equals < 0 ? pair : pair.slice(0, equals));
    const value = decodeField(equals < 0 ? '' : pair.slice(equals + 1));
    if (!fields.has(name)) fields.set(name, value);
  }
  return fields;
}

function decodeField(text: string): string {
  const broken = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(text);
  if (broken !== null) throw new Mistake(210, `invalid URL escape ${JSON.stringify(broken[0])}`);
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    // etcd accepts octets that are not UTF-8. This server does not, because its JSON could not return them.
    throw new Mistake(209, 'the form holds octets that are not UTF-8');
  }
}
