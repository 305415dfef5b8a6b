/**
 * Which names a message being written holds already, and where (RFC 1035 §4.1.4).
 *
 * A trie over labels from the root down, kept as one hash table of (label, offset of the name to its right) → offset,
 * so a name costs its own octets only, however many names there are. The octets themselves are compared, case and all,
 * so that a pointer never changes a name's case; except against the question, which clients write in random case (0x20)
 * and which must not change what the reply looks like behind it. Entries are taken back in the reverse of the order they
 * came in, which is what keeps linear probing sound without tombstones, and what truncation needs.
 */
import { foldOctet, type Label } from './name.ts';

/** A pointer has 14 bits. */
const MAX_OFFSET = 0x4000;
const SLOTS = 16384;

/** Beyond so many collisions a name just stays uncompressed: chosen names cannot make the table slow. */
const MAX_PROBES = 8;

export class CompressionTable {
  readonly #octets: Uint8Array;
  /** Offset of the label, 0 for a free slot; no name stands at 0. */
  readonly #offsets = new Uint16Array(SLOTS);
  /** Offset of the name that follows the label, 0 for the root. */
  readonly #parents = new Uint16Array(SLOTS);
  /** Slots in use, oldest first. A label takes two octets at least, so half as many slots as offsets. */
  readonly #used = new Uint16Array(MAX_OFFSET / 2);
  #count = 0;
  /** Names that stand below are of the question. */
  #questionEnd = 0;

  /** The table reads labels back from the octets of the message. */
  constructor(octets: Uint8Array) {
    this.#octets = octets;
  }

  /** Where the name `label`.`parent` stands, 0 if nowhere; `parent` is the offset of a name found before, 0 the root. */
  find(label: Label, parent: number): number {
    let slot = slotOf(label, parent);
    for (let probes = 0; probes < MAX_PROBES; probes++) {
      const offset = this.#offsets[slot] as number;
      if (offset === 0) return 0;
      if (this.#parents[slot] === parent && this.#isLabelAt(offset, label)) return offset;
      slot = (slot + 1) % SLOTS;
    }
    return 0;
  }

  /** Notes that `label`.`parent`, not found before, stands at `offset`; false if it cannot be pointed at. */
  add(label: Label, parent: number, offset: number): boolean {
    if (offset >= MAX_OFFSET) return false;
    let slot = slotOf(label, parent);
    for (let probes = 0; probes < MAX_PROBES; probes++) {
      if (this.#offsets[slot] === 0) {
        this.#offsets[slot] = offset;
        this.#parents[slot] = parent;
        this.#used[this.#count++] = slot;
        return true;
      }
      slot = (slot + 1) % SLOTS;
    }
    return false;
  }

  /** Names before `offset` are found in any case of their letters. */
  foldBelow(offset: number): void {
    this.#questionEnd = offset;
  }

  /** Forgets every name at `offset` and behind it. */
  forgetFrom(offset: number): void {
    while (this.#count > 0) {
      const slot = this.#used[this.#count - 1] as number;
      if ((this.#offsets[slot] as number) < offset) return;
      this.#offsets[slot] = 0;
      this.#count--;
    }
  }

  #isLabelAt(offset: number, label: Label): boolean {
    const octets = this.#octets;
    if (octets[offset] !== label.length) return false;
    const folds = offset < this.#questionEnd;
    for (let i = 0; i < label.length; i++) {
      const there = octets[offset + 1 + i] as number;
      const here = label.charCodeAt(i);
      if (there !== here && !(folds && foldOctet(there) === foldOctet(here))) return false;
    }
    return true;
  }
}

function slotOf(label: Label, parent: number): number {
  let hash = parent ^ 0x811c9dc5;
  for (let i = 0; i < label.length; i++) {
    hash = Math.imul(hash ^ foldOctet(label.charCodeAt(i)), 0x01000193);
  }
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}
