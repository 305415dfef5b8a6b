/** Which refusals were told already, so that each is told once; in bounded memory, as strangers write what is refused. */
import type { Refusal } from './description.ts';

const MAX_REMEMBERED = 10_000;

export class ToldRefusals {
  readonly #told = new Set<string>();

  /** Those of a container that were not told before; from now on they were. */
  news(containerId: string, refusals: readonly Refusal[]): readonly Refusal[] {
    return refusals.filter(({ about, reason }) => {
      const id = `${containerId} ${about} ${reason}`;
      if (this.#told.has(id)) return false;
      if (this.#told.size >= MAX_REMEMBERED) this.#told.clear();
      this.#told.add(id);
      return true;
    });
  }
}
