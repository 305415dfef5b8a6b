/**
 * A record as the store holds it: SkyDNS's JSON with the owner's stamp, which says whose it is to change. Values are
 * written here only, always in the same order, so that two of equal content are equal octets and nothing is written
 * that already stands there.
 */
import { MAX_VALUE_OCTETS, parseService } from '../../service/service.ts';
import { asShortId, type ShortId } from '../engine/containerId.ts';
import { asObject } from '../engine/json.ts';
import type { DesiredRecord } from './description.ts';

/** Who wrote a value: a registrar under its identity, for one life of one container. */
export interface OwnerStamp {
  /** As `ownerId` gives it. */
  readonly id: string;
  readonly shortId: ShortId;
  /** As Docker writes it. */
  readonly startedAt: string;
}

/** As a value has it. */
export interface StoredOwner extends OwnerStamp {
  /** The revision since which the container has the name, where it had it at another key before. */
  readonly since?: number;
}

/** Of ids and times in a stamp. */
const MAX_STAMP_CHARACTERS = 256;

/** The value to store. */
export function recordValue({ fields, meta }: DesiredRecord, owner: StoredOwner): Uint8Array {
  const { host, port, priority, weight, text, mail, ttl, targetstrip, group } = fields;
  const { id: r, shortId: c, startedAt: s, since } = owner;
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
  const owner = { id: r, shortId: asShortId(c), startedAt: s };
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

/**
 * One name is one claim, whether it has one address or two. A name with one address has its record at its own key. A
 * dual-stack name has none there, and one below it for each family: `web/ipv4` and `web/ipv6`. That is the shape that
 * external-dns writes: SkyDNS and CoreDNS answer A and AAAA at `web` from what is below it, and `targetstrip` makes
 * `web` the SRV target of both. So the three keys belong together: a container that has the name has all of them.
 */

/** The label of a family below its name. */
export type FamilyLabel = 'ipv4' | 'ipv6';

export function familyLabel(family: 4 | 6): FamilyLabel {
  return family === 4 ? 'ipv4' : 'ipv6';
}

/** Where the record of a name is stored. */
export function storedKey(name: string, family: FamilyLabel | undefined): string {
  return family === undefined ? name : `${name}/${family}`;
}

/** Every key at which a name may have a record: its own, and below it one for each family. */
export type NameKeys = readonly [own: string, v4: string, v6: string];

export function keysOfName(name: string): NameKeys {
  return [name, `${name}/ipv4`, `${name}/ipv6`];
}

/** The name that a stored key may belong to besides itself: `/s/web` for `/s/web/ipv4`, the key itself for others. */
export function nameKeyOf(key: string): string {
  return key.endsWith('/ipv4') || key.endsWith('/ipv6') ? key.slice(0, -'/ipv4'.length) : key;
}
