/**
 * The times at which names come into the table and leave it. A reader that looks for a stored wildcard reads several
 * names, so it must know whether the set of names was the same all the time (`Control.NAMES_VERSION`).
 */
import type { AnswerTable } from '../table/table.ts';

export class NameChanges {
  readonly #table: AnswerTable;
  readonly #remove: (address: number) => void;
  /** Addresses of names that do not exist any more. A batch that began before may still look for them. */
  #dropped: readonly number[] = [];
  /** Readers know that they cannot tell which names exist. */
  #isOpen = false;

  /** `remove` removes the name at an address of the table. */
  constructor(table: AnswerTable, remove: (address: number) => void) {
    this.#table = table;
    this.#remove = remove;
  }

  /** Runs a change of the names. It lasts until no dropped name is left. */
  run(change: () => void): void {
    if (!this.#isOpen) this.#table.beginChange();
    this.#isOpen = true;
    try {
      change();
    } finally {
      this.#isOpen = this.#dropped.length > 0;
      if (!this.#isOpen) this.#table.endChange();
    }
  }

  /** Within a change: these names do not exist any more, and leave the table with the next `removeDropped`. */
  drop(addresses: readonly number[]): void {
    this.#dropped = [...this.#dropped, ...addresses];
  }

  /** Within a change: removes the names that an earlier change has dropped. */
  removeDropped(): void {
    for (const address of this.#dropped) this.#remove(address);
    this.#dropped = [];
  }
}
