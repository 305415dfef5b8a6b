/** Finds the record of an owner name: the readers' side of the index (`nameIndex.ts`). */
import { MAX_NAME_OCTETS } from '../../dns/name.ts';
import { Control, GONE, INDEX_HEAD_WORDS, RECORD_HEAD_WORDS } from '../table/layout.ts';

/** Memory for a folded name in wire form, with room for the zeros that fill its last word. */
export class NameBuffer {
  readonly octets: Uint8Array = new Uint8Array(MAX_NAME_OCTETS + 5);
  readonly words: Int32Array = new Int32Array(this.octets.buffer, 0, 64);
}

export class NameFinder {
  readonly #words: Int32Array;
  /** The word of the control block that has the index's address. */
  readonly #control: number;
  // Read once per batch.
  #firstPair = 0;
  #mask = 0;

  constructor(words: Int32Array, control: number = Control.INDEX) {
    this.#words = words;
    this.#control = control;
  }

  /** Call it before each batch, while there is an index. */
  beginBatch(): void {
    const index = Atomics.load(this.#words, this.#control);
    this.#mask = this.#words[index] as number;
    this.#firstPair = index + INDEX_HEAD_WORDS;
  }

  /** Address of the record of a name of that length and hash; 0 if there is none. */
  find(hash: number, nameOctets: number, nameWords: Int32Array): number {
    const words = this.#words;
    let pair = hash & this.#mask;
    for (;;) {
      const at = this.#firstPair + pair * 2;
      const record = Atomics.load(words, at + 1);
      if (record === 0) return 0;
      if (record !== GONE && words[at] === hash && this.#isNameOf(record, nameOctets, nameWords)) {
        return record;
      }
      pair = (pair + 1) & this.#mask;
    }
  }

  #isNameOf(record: number, nameOctets: number, nameWords: Int32Array): boolean {
    const words = this.#words;
    if (words[record] !== nameOctets) return false;
    const start = record + RECORD_HEAD_WORDS;
    const count = (nameOctets + 3) >>> 2;
    for (let i = 0; i < count; i++) if (words[start + i] !== nameWords[i]) return false;
    return true;
  }
}
