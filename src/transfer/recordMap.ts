/**
 * The records of a zone by owner name. A snapshot takes a moment, whatever the zone's size: the map is divided into
 * parts, and a part that a snapshot has is copied before it changes. So a transfer sends one version of the zone, while
 * others are made.
 */

export interface RecordSnapshot {
  /** Owner and records of each name. */
  entries(): Iterable<readonly [owner: string, records: string]>;
}

const PARTS = 4_096;

type Part = Map<string, string>;

export class RecordMap {
  #parts: (Part | undefined)[] = new Array<Part | undefined>(PARTS).fill(undefined);
  /** For each part the number of the snapshots before which it was copied. */
  readonly #copiedAt = new Uint32Array(PARTS);
  #snapshots = 0;

  /** The records of a name; empty if it has none. */
  get(owner: string): string {
    return this.#parts[partOf(owner)]?.get(owner) ?? '';
  }

  /** Replaces the records of a name. */
  set(owner: string, records: string): void {
    const part = this.#ownPart(partOf(owner));
    if (records === '') part.delete(owner);
    else part.set(owner, records);
  }

  /** The map as it is now. */
  snapshot(): RecordSnapshot {
    this.#snapshots++;
    const parts = this.#parts;
    this.#parts = [...parts];
    return {
      *entries() {
        for (const part of parts) if (part !== undefined) yield* part;
      },
    };
  }

  #ownPart(at: number): Part {
    const part = this.#parts[at];
    if (part !== undefined && this.#copiedAt[at] === this.#snapshots) return part;
    const own = new Map(part);
    this.#parts[at] = own;
    this.#copiedAt[at] = this.#snapshots;
    return own;
  }
}

/** FNV-1a. */
function partOf(owner: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < owner.length; i++) {
    hash = Math.imul(hash ^ owner.charCodeAt(i), 0x01000193);
  }
  return (hash ^ (hash >>> 15)) & (PARTS - 1);
}
