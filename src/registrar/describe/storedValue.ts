/**
 * A stored record: SkyDNS's JSON with the owner's stamp, which says which registrar may change it. Only this file
 * prints a registrar's values, always with the same order of members, so that equal content gives equal octets and
 * needs no write.
 */
import { MAX_VALUE_OCTETS, parseService } from '../../service/service.ts';
import { asShortId, type ContainerId, type ShortId, shortIdOf } from '../engine/containerId.ts';
import type { Inspection } from '../engine/engine.ts';
import { asObject } from '../engine/json.ts';
import type { Port } from './container.ts';
import type { Description, DesiredRecord, FamilyLabel, StoredPort } from './description.ts';

/** The author of a value: a registrar, and the life of a container that the registrar wrote it for. */
export interface OwnerStamp {
  /** The registrar's id, as `ownerId` returns it. */
  readonly id: string;
  readonly shortId: ShortId;
  /** The start of the container's life, as Docker writes it. */
  readonly startedAt: string;
}

/** The stamp in a stored value. */
export interface StoredOwner extends OwnerStamp {
  /** The revision since which the container has the name, if it had the name at another key before. */
  readonly since?: number;
}

/** The limit of ids and times in a stamp. */
const MAX_STAMP_CHARACTERS = 256;

/** The value to store. */
export function recordValue({ fields, meta }: DesiredRecord, owner: StoredOwner): Uint8Array {
  const { host, port, priority, weight, text, mail, ttl, targetstrip, group, rr } = fields;
  const { aggregate, near, expose, tags, vip, vipName, vipPort, leader, proxyProtocol } = fields;
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
      rr,
      aggregate,
      near,
      expose,
      tags,
      vip,
      vipName,
      vipPort,
      leader,
      proxyProtocol,
      owner: stamp,
    }),
  );
}

export function storedPort({ number, protocol }: Port): StoredPort {
  return protocol === 'tcp' ? number : `${number}/udp`;
}

/** A desired record with the owner stamp that it gets. */
export interface StampedRecord {
  readonly containerId: ContainerId;
  readonly owner: OwnerStamp;
  readonly record: DesiredRecord;
  /** `recordValue(record, owner)`. */
  readonly value: Uint8Array;
}

/** The desired records of a described container, stamped with the owner; none if the description has none. */
export function stampedRecordsOf(
  { id, description }: { readonly id: ContainerId; readonly description: Description | undefined },
  inspection: Inspection,
  ownerId: string,
): StampedRecord[] {
  if (description?.kind !== 'described') return [];
  const startedAt = inspection.State?.StartedAt || 'unknown';
  const owner = { id: ownerId, shortId: shortIdOf(id), startedAt };
  return description.records.map((record) => {
    return { containerId: id, owner, record, value: recordValue(record, owner) };
  });
}

/** The stamp of a value; `undefined` without a valid one: then no registrar may change the value. Never throws. */
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

/** The family of the address in a value; 0 without an address. Never throws. */
export function familyOf(value: Uint8Array): 0 | 4 | 6 {
  const parsed = parseService(value);
  return parsed.kind === 'service' ? parsed.service.family : 0;
}

function isStampText(json: unknown): json is string {
  return typeof json === 'string' && json !== '' && json.length <= MAX_STAMP_CHARACTERS;
}

export function familyLabel(family: 4 | 6): FamilyLabel {
  return family === 4 ? 'ipv4' : 'ipv6';
}

/** The key of a name's record. */
export function storedKey(name: string, family: FamilyLabel | undefined): string {
  return family === undefined ? name : `${name}/${family}`;
}

/** All keys at which a name may have a record: its own, and one below it for each family. */
export type NameKeys = readonly [own: string, v4: string, v6: string];

export function keysOfName(name: string): NameKeys {
  return [name, `${name}/ipv4`, `${name}/ipv6`];
}

/** The key of the name that a stored key belongs to: `/s/web` for `/s/web/ipv4`, the key itself for any other. */
export function nameKeyOf(key: string): string {
  return key.endsWith('/ipv4') || key.endsWith('/ipv6') ? key.slice(0, -'/ipv4'.length) : key;
}

/** The holder of a value, in words; `undefined`: no registrar wrote it. */
export function printHolder(value: Uint8Array): string | undefined {
  const owner = ownerOf(value);
  return owner && `container ${owner.shortId} of engine ${owner.id}`;
}
