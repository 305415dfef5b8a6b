/**
 * The form of a lock in the store. `/registrar/<engine id>/<host part>/holder` names the registrar that keeps an
 * engine's records, and the lease of these records, to which the key itself is attached. Another registrar writes the
 * key `challenge` beside this key to find out whether the holder is alive; a live holder deletes the challenge. Older
 * versions have no host part: their keys are directly below the engine's id.
 */
import type { Entry } from '../../service/change.ts';
import { asList, asObject, asText, parseJson } from '../engine/json.ts';
import type { Identity, Lock, LockHolder, Profile, RegistrarWork } from './identity.ts';

/** The prefix of the locks of all engines. */
export const LOCKS = '/registrar/';
const MAX_VALUE_OCTETS = 65_536;
/** Addresses, or zones, of one holder. */
const MAX_TEXTS = 1_000;

export interface LockKeys {
  readonly holder: string;
  readonly challenge: string;
}

/** The prefix of the locks of an engine's id. The id is escaped, because a slash would have a meaning in a key. */
export function locksOf(engineId: string): string {
  return `${LOCKS}${encodeURIComponent(engineId)}/`;
}

export function lockKeys({ engineId, hostPart }: Identity): LockKeys {
  const folder = `${locksOf(engineId)}${hostPart === '' ? '' : `${hostPart}/`}`;
  return { holder: `${folder}holder`, challenge: `${folder}challenge` };
}

/** The key of a challenge to the holder with that key. */
export function challengeBeside(holderKey: string): string {
  return holderKey.replace(/[^/]*$/, 'challenge');
}

export function holderValue(holder: LockHolder): Uint8Array {
  const { runId, host, bootKey, lease, isReleased, profile } = holder;
  const released = isReleased ? true : undefined;
  const json = { instance: runId, host, place: bootKey, lease, released, profile };
  return new TextEncoder().encode(JSON.stringify(json));
}

/** `undefined` if no registrar wrote the value. Never throws. */
export function parseHolder(value: Uint8Array): LockHolder | undefined {
  if (value.length > MAX_VALUE_OCTETS) return undefined;
  const json = asObject(parseJson(Buffer.from(value).toString()));
  const [runId, host, lease] = [json.instance, json.host, json.lease];
  if (typeof runId !== 'string' || typeof host !== 'string' || typeof lease !== 'string')
    return undefined;
  const isReleased = json.released === true;
  const bootKey = asText(json.place) || undefined;
  return { runId, host, bootKey, lease, isReleased, profile: parseProfile(json.profile) };
}

function parseProfile(value: unknown): Profile | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { name, rootDir, bootId, endpoint, addresses, bridgeId, work } = asObject(value);
  return {
    name: asText(name) || undefined,
    rootDir: asText(rootDir) || undefined,
    bootId: asText(bootId) || undefined,
    endpoint: asText(endpoint) || undefined,
    addresses: textsIn(addresses),
    bridgeId: asText(bridgeId) || undefined,
    work: parseWork(work),
  };
}

function parseWork(value: unknown): RegistrarWork {
  const { prefix, zones, metadata } = asObject(value);
  return { prefix: asText(prefix), zones: textsIn(zones), metadata: asText(metadata) };
}

function textsIn(value: unknown): readonly string[] {
  return asList(value)
    .filter((each) => typeof each === 'string')
    .slice(0, MAX_TEXTS);
}

/** `undefined` for a challenge, and if no registrar wrote the entry. */
export function parseLock(entry: Entry, nowMs: number): Lock | undefined {
  const identity = parseLockKey(entry.key);
  const holder = identity && parseHolder(entry.value);
  if (identity === undefined || holder === undefined) return undefined;
  const { createRevision, modRevision, lease } = entry;
  const { ttlSeconds, expiresAtMs } = lease ?? {};
  const renewedAgoMs =
    ttlSeconds === undefined || expiresAtMs === undefined
      ? undefined
      : ttlSeconds * 1000 - (expiresAtMs - nowMs);
  return { identity, holder, createRevision, modRevision, renewedAgoMs };
}

/** Whether a key below `/registrar/` is a lock, not a challenge. */
export function isLockKey(key: string): boolean {
  return key.endsWith('/holder');
}

/** The identity in a holder's key. */
function parseLockKey(key: string): Identity | undefined {
  const [, escaped, hostPart = ''] = /^\/registrar\/([^/]+)\/(?:([^/]+)\/)?holder$/.exec(key) ?? [];
  if (escaped === undefined) return undefined;
  try {
    return { engineId: decodeURIComponent(escaped), hostPart };
  } catch {
    return undefined;
  }
}
