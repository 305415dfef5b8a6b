/**
 * A record as the store holds it: SkyDNS's JSON with the owner's stamp, which says whose it is to change. Values are
 * written here only, always in the same order, so that two of equal content are equal octets and nothing is written
 * that already stands there.
 */
import { MAX_VALUE_OCTETS, parseService } from '../service/service.ts';
import type { DesiredRecord } from './description.ts';
import { asObject } from './json.ts';

/** Who wrote a value: a registrar under its identity, for one life of one container. */
export interface Owner {
  /** As `ownerId` gives it. */
  readonly id: string;
  /** The first 12 digits of its id. */
  readonly containerId: string;
  /** As Docker writes it. */
  readonly startedAt: string;
}

/** As a value has it. */
export interface StoredOwner extends Owner {
  /** The revision since which the container has the name, where it had it at another key before. */
  readonly since?: number;
}

/** Of ids and times in a stamp. */
const MAX_STAMP_CHARACTERS = 256;

/** The value to store. */
export function recordValue({ fields, meta }: DesiredRecord, owner: StoredOwner): Uint8Array {
  const { host, port, priority, weight, text, mail, ttl, targetstrip, group } = fields;
  const { id: r, containerId: c, startedAt: s, since } = owner;
  const stamp = { r, c, s, since, meta };
  // JSON leaves out what is undefined.
  return new TextEncoder().encode(
    JSON.stringify({
      host,
      port,
      priority,
      weight,
      text,
      mail,
      ttl,
      targetstrip,
      group,
      owner: stamp,
    }),
  );
}

/** Whose a value is; `undefined` when it has no stamp, so that no registrar may touch it. Never throws. */
export function ownerOf(value: Uint8Array): StoredOwner | undefined {
  if (value.length > MAX_VALUE_OCTETS) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
  } catch {
    return undefined;
  }
  const { r, c, s, since } = asObject(asObject(json).owner);
  if (!isStampText(r) || !isStampText(c) || !isStampText(s)) return undefined;
  const owner = { id: r, containerId: c, startedAt: s };
  return typeof since === 'number' && since > 0 ? { ...owner, since } : owner;
}

/** Of the address in a value; 0 when it has none. Never throws. */
export function familyOf(value: Uint8Array): 0 | 4 | 6 {
  const parsed = parseService(value);
  return parsed.kind === 'service' ? parsed.service.family : 0;
}

function isStampText(json: unknown): json is string {
  return typeof json === 'string' && json !== '' && json.length <= MAX_STAMP_CHARACTERS;
}
