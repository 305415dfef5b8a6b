/**
 * Checks the relations between a store's rows: the index of deadlines has exactly the deadlines of the rows, each
 * lease's list has exactly the keys that name the lease, and each named lease exists. The check compares sums of hashes
 * instead of sets, so it needs no memory for a large store.
 */
import { isUtf8 } from 'node:buffer';
import { leaseIdOf } from '../embedded/leases.ts';
import { Damage } from './format.ts';
import { ROW_HEADER_OCTETS, unpackState } from './rowCodec.ts';
import type { TreeEntry } from './walk.ts';

const MEMBER = /^leased\/(\d+)\/(\/.*)$/s;
const FNV_PRIME = 0x01000193;

/** A sum that does not depend on the order of its elements. Adding an element twice gives another sum. */
class SetSum {
  #a = 0;
  #b = 0;
  #count = 0;

  add(octets: Uint8Array): void {
    let a = 0x811c9dc5;
    let b = 0x1b873593;
    for (const octet of octets) {
      a = Math.imul(a ^ octet, FNV_PRIME);
      b = Math.imul(b ^ octet, 0x85ebca6b) ^ (b >>> 13);
    }
    this.#a = (this.#a + a) | 0;
    this.#b = (this.#b + b) | 0;
    this.#count++;
  }

  equals(other: SetSum): boolean {
    return this.#a === other.#a && this.#b === other.#b && this.#count === other.#count;
  }
}

export class RowCheck {
  readonly #deadlines = { inRows: new SetSum(), inIndex: new SetSum() };
  readonly #members = { inRows: new SetSum(), inLists: new SetSum() };
  readonly #leases = new Set<number>();
  readonly #named = new Set<number>();
  #newest = 0;
  #revision: number | undefined;

  /** Throws `Damage`. */
  add(tree: string, entry: TreeEntry): void {
    if (tree === 'rows') this.#addRow(entry);
    else if (tree === 'state') this.#addState(entry);
    else if (tree === 'deadlines') this.#addDeadline(entry);
  }

  /** Throws `Damage`. */
  finish(): void {
    if (!this.#deadlines.inRows.equals(this.#deadlines.inIndex)) {
      throw new Damage('its keys and their deadlines do not match');
    }
    if (!this.#members.inRows.equals(this.#members.inLists)) {
      throw new Damage('its keys and the lists of its leases do not match');
    }
    for (const lease of this.#named) {
      if (!this.#leases.has(lease))
        throw new Damage(`a key has the lease ${lease}, which does not exist`);
    }
    if (this.#newest > (this.#revision ?? 0)) throw new Damage('a key is newer than the store');
  }

  #addRow(entry: TreeEntry): void {
    const fault = rowFault(entry);
    if (fault !== undefined) throw new Damage(fault);
    const octets = entry.key;
    const key = octets.toString('utf8');
    const header = entry.value(ROW_HEADER_OCTETS);
    const modified = header.readDoubleBE(8);
    const ttlSeconds = header.readDoubleBE(16);
    const deadlineOrLease = header.readDoubleBE(24);
    this.#newest = Math.max(this.#newest, modified);
    if (ttlSeconds > 0) {
      this.#deadlines.inRows.add(Buffer.concat([header.subarray(24, 32), octets]));
      const lease = leaseIdOf(key);
      if (lease !== undefined) this.#leases.add(lease);
    } else if (deadlineOrLease > 0) {
      this.#named.add(deadlineOrLease);
      this.#members.inRows.add(Buffer.from(`${deadlineOrLease}${key}`));
    } else this.#addMember(key);
  }

  #addMember(key: string): void {
    const [, lease, of] = MEMBER.exec(key) ?? [];
    if (lease !== undefined) this.#members.inLists.add(Buffer.from(`${lease}${of}`));
  }

  #addDeadline({ key }: TreeEntry): void {
    if (key.length < 9) throw new Damage('a deadline has no key');
    this.#deadlines.inIndex.add(key);
  }

  #addState(entry: TreeEntry): void {
    if (entry.key.toString() !== 'state') return;
    try {
      this.#revision = unpackState(entry.value())?.revision;
    } catch {
      throw new Damage('its revision and time cannot be read');
    }
  }
}

/** Why an entry is not a valid row of a store; undefined if it is valid. */
export function rowFault(entry: TreeEntry): string | undefined {
  const key = entry.key.toString('utf8');
  const isKey = isUtf8(entry.key) && (key.startsWith('/') || leaseIdOf(key) || MEMBER.test(key));
  if (isKey && entry.octets >= ROW_HEADER_OCTETS && isHeader(entry.value(ROW_HEADER_OCTETS))) {
    return undefined;
  }
  return `the entry of the key ${JSON.stringify(key.slice(0, 80))} is not a row`;
}

function isHeader(header: Buffer): boolean {
  const created = header.readDoubleBE(0);
  const modified = header.readDoubleBE(8);
  return (
    isWhole(created) &&
    isWhole(modified) &&
    created <= modified &&
    isNonNegative(header.readDoubleBE(16)) &&
    isNonNegative(header.readDoubleBE(24))
  );
}

function isWhole(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0;
}

function isNonNegative(number: number): boolean {
  return Number.isFinite(number) && number >= 0;
}
