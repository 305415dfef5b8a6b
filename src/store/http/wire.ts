/**
 * The store's types as JSON, for the API between soradns servers (`httpStore.ts` here, `server/http/api/storeApi.ts`
 * there). Values travel as base64. A lease's expiry travels as the remaining time, because clocks differ.
 */
import type { Change, Entry, Lease } from '../../service/change.ts';
import type {
  Condition,
  DeleteResult,
  EntryFingerprint,
  FollowedHistory,
  PutResult,
  StoreErrorCode,
} from '../store.ts';
import { jsonNumber, jsonObject, jsonString, Malformed, optionalJson } from './json.ts';

/** Returns the lease object for an entry, from the lease that the server sent with its key. */
export type LeaseOf = (lease: Lease, key: string) => Lease;

export interface PutCall {
  readonly key: string;
  readonly value: Uint8Array;
  readonly ttlSeconds: number | undefined;
  readonly lease: string | undefined;
  readonly condition: Condition | undefined;
}

export interface DeleteCall {
  readonly key: string;
  readonly condition: Condition | undefined;
}

export function entryToJson(entry: Entry, monotonicMs: number) {
  const { key, value, createRevision, modRevision, lease } = entry;
  return {
    key,
    value: toBase64(value),
    createRevision,
    modRevision,
    lease: lease && leaseToJson(lease, monotonicMs),
  };
}

export function leaseToJson({ id, ttlSeconds, expiresAtMs }: Lease, monotonicMs: number) {
  return {
    id,
    ttlSeconds,
    leftMs: expiresAtMs === undefined ? undefined : expiresAtMs - monotonicMs,
  };
}

export function entryFromJson(json: unknown, monotonicMs: number, leaseOf: LeaseOf): Entry {
  const fields = jsonObject(json);
  const key = jsonString(fields.key);
  return {
    key,
    value: fromBase64(fields.value),
    createRevision: jsonNumber(fields.createRevision),
    modRevision: jsonNumber(fields.modRevision),
    lease: optionalJson(fields.lease, (lease) => leaseOf(leaseFromJson(lease, monotonicMs), key)),
  };
}

export function leaseFromJson(json: unknown, monotonicMs: number): Lease {
  const fields = jsonObject(json);
  return {
    id: jsonString(fields.id),
    ttlSeconds: optionalJson(fields.ttlSeconds, jsonNumber),
    expiresAtMs: optionalJson(fields.leftMs, (leftMs) => monotonicMs + jsonNumber(leftMs)),
  };
}

export function changeToJson(change: Change, monotonicMs: number) {
  const previous = change.previous && entryToJson(change.previous, monotonicMs);
  return change.kind === 'put'
    ? { kind: 'put', entry: entryToJson(change.entry, monotonicMs), previous }
    : {
        kind: 'delete',
        key: change.key,
        modRevision: change.modRevision,
        previous,
        ranOut: change.ranOut,
      };
}

export function changeFromJson(json: unknown, monotonicMs: number, leaseOf: LeaseOf): Change {
  const fields = jsonObject(json);
  const entry = (one: unknown) => entryFromJson(one, monotonicMs, leaseOf);
  // The lease of a former entry needs no updates.
  const previous = optionalJson(fields.previous, (one) =>
    entryFromJson(one, monotonicMs, (l) => l),
  );
  switch (fields.kind) {
    case 'put':
      return { kind: 'put', entry: entry(fields.entry), previous };
    case 'delete': {
      const modRevision = jsonNumber(fields.modRevision);
      const ranOut = optionalJson(fields.ranOut, (one) => one === true);
      return { kind: 'delete', key: jsonString(fields.key), modRevision, previous, ranOut };
    }
    default:
      throw new Malformed('a change is a put or a delete');
  }
}

export function conditionToJson(condition: Condition | undefined) {
  return condition?.kind === 'value'
    ? { kind: 'value', value: toBase64(condition.value) }
    : condition;
}

function conditionFromJson(json: unknown): Condition {
  const fields = jsonObject(json);
  switch (fields.kind) {
    case 'absent':
    case 'present':
      return { kind: fields.kind };
    case 'modRevision':
      return { kind: 'modRevision', modRevision: jsonNumber(fields.modRevision) };
    case 'value':
      return { kind: 'value', value: fromBase64(fields.value) };
    default:
      throw new Malformed('unknown condition');
  }
}

export function putCallFromJson(json: unknown): PutCall {
  const fields = jsonObject(json);
  return {
    key: jsonString(fields.key),
    value: fromBase64(fields.value),
    ttlSeconds: optionalJson(fields.ttlSeconds, jsonNumber),
    lease: optionalJson(fields.lease, jsonString),
    condition: optionalJson(fields.if, conditionFromJson),
  };
}

export function deleteCallFromJson(json: unknown): DeleteCall {
  const fields = jsonObject(json);
  return { key: jsonString(fields.key), condition: optionalJson(fields.if, conditionFromJson) };
}

export function putResultToJson(result: PutResult, monotonicMs: number) {
  const json = (entry: Entry | undefined) => entry && entryToJson(entry, monotonicMs);
  return result.done
    ? { done: true, entry: json(result.entry), previous: json(result.previous) }
    : { done: false, current: json(result.current), revision: result.revision };
}

export function putResultFromJson(json: unknown, monotonicMs: number, leaseOf: LeaseOf): PutResult {
  const fields = jsonObject(json);
  const entry = (one: unknown) => entryFromJson(one, monotonicMs, leaseOf);
  return fields.done === true
    ? { done: true, entry: entry(fields.entry), previous: optionalJson(fields.previous, entry) }
    : {
        done: false,
        current: optionalJson(fields.current, entry),
        revision: jsonNumber(fields.revision),
      };
}

export function deleteResultToJson(result: DeleteResult, monotonicMs: number) {
  const json = (entry: Entry | undefined) => entry && entryToJson(entry, monotonicMs);
  return result.done
    ? { done: true, deleted: json(result.deleted), revision: result.revision }
    : { done: false, current: json(result.current), revision: result.revision };
}

export function deleteResultFromJson(
  json: unknown,
  monotonicMs: number,
  leaseOf: LeaseOf,
): DeleteResult {
  const fields = jsonObject(json);
  const entry = (one: unknown) => entryFromJson(one, monotonicMs, leaseOf);
  const revision = jsonNumber(fields.revision);
  return fields.done === true
    ? { done: true, deleted: entry(fields.deleted), revision }
    : { done: false, current: optionalJson(fields.current, entry), revision };
}

export function followedHistoryToJson({ history, fingerprint }: FollowedHistory) {
  return { history, witness: fingerprint };
}

export function followedHistoryFromJson(json: unknown): FollowedHistory {
  const { history, witness } = jsonObject(json);
  return { history: jsonString(history), fingerprint: optionalJson(witness, fingerprintFromJson) };
}

function fingerprintFromJson(json: unknown): EntryFingerprint {
  const fields = jsonObject(json);
  return {
    key: jsonString(fields.key),
    createRevision: jsonNumber(fields.createRevision),
    modRevision: jsonNumber(fields.modRevision),
    digest: jsonString(fields.digest),
    revision: jsonNumber(fields.revision),
  };
}

const ERROR_CODES: readonly StoreErrorCode[] = [
  'unavailable',
  'compacted',
  'replaced',
  'denied',
  'invalid',
];

/** The error in a reply or a line; undefined if it has none. */
export function errorFromJson(
  json: unknown,
): { code: StoreErrorCode; message: string } | undefined {
  if (typeof json !== 'object' || json === null || !('error' in json)) return undefined;
  const fields = jsonObject(json.error);
  const code = ERROR_CODES.find((one) => one === fields.code);
  return code && { code, message: jsonString(fields.message) };
}

function toBase64(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
}

function fromBase64(json: unknown): Uint8Array {
  return Buffer.from(jsonString(json), 'base64');
}
