/**
 * Who keeps an engine's records, in the store: `/registrar/<engine id>/<host part>/holder` names the registrar and the
 * lease of all its records, and lives with that lease itself. `challenge` stands beside it for a moment while another
 * registrar asks whether the holder is alive: a holder that is deletes it. Versions without a host part had both keys
 * directly below the engine's id.
 */
import type { Entry } from '../../service/change.ts';
import { asList, asObject, asText, parseJson } from '../engine/json.ts';
import type { Holder, Identity, Lock, Profile, RegistrarWork } from './identity.ts';

/** Where all engines' are. */
export const LOCKS = '/registrar/';
const MAX_VALUE_OCTETS = 65_536;
/** Addresses or zones of one holder. */
const MAX_TEXTS = 1_000;

export interface LockKeys {
  readonly holder: string;
  readonly challenge: string;
}

/** Below which all locks of an engine's id are. Ids contain colons, and once escaped nothing that keys give a meaning. */
export function locksOf(engineId: string): string {
  return `${LOCKS}${encodeURIComponent(engineId)}/`;
}

export function lockKeys({ engineId, hostPart }: Identity): LockKeys {
  const folder = `${locksOf(engineId)}${hostPart === '' ? '' : `${hostPart}/`}`;
  return { holder: `${folder}holder`, challenge: `${folder}challenge` };
}

/** Where a holder whose key is that is asked whether it is alive. */
export function challengeBeside(holderKey: string): string {
  return holderKey.replace(/[^/]*$/, 'challenge');
}

export function holderValue(holder: Holder): Uint8Array {
  const { instance, host, bootKey: place, lease, isReleased, profile } = holder;
  const released = isReleased ? true : undefined;
  return new TextEncoder().encode(
    JSON.stringify({ instance, host, place, lease, released, profile }),
  );
}

/** `undefined` for what no registrar has written. Never throws. */
export function parseHolder(value: Uint8Array): Holder | undefined {
  if (value.length > MAX_VALUE_OCTETS) return undefined;
  const json = asObject(parseJson(Buffer.from(value).toString()));
  const [instance, host, lease] = [json.instance, json.host, json.lease];
  if (typeof instance !== 'string' || typeof host !== 'string' || typeof lease !== 'string')
    return undefined;
  const isReleased = json.released === true;
  const place = asText(json.place) || undefined;
  return { instance, host, bootKey: place, lease, isReleased, profile: parseProfile(json.profile) };
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

/** The lock that an entry is; `undefined` for a challenge, and for what no registrar has written. */
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

/** The identity whose holder has that key. */
function parseLockKey(key: string): Identity | undefined {
  const [, escaped, hostPart = ''] = /^\/registrar\/([^/]+)\/(?:([^/]+)\/)?holder$/.exec(key) ?? [];
  if (escaped === undefined) return undefined;
  try {
    return { engineId: decodeURIComponent(escaped), hostPart };
  } catch {
    return undefined;
  }
}
