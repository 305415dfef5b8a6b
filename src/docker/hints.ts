/** What the operator may want to know of a container though nothing is wrong: a bounded list of sentences. */
import { shown } from './refusals.ts';

const MAX_HINTS = 8;
const MAX_HINT = 300;

export class Hints {
  readonly #listed = new Set<string>();
  #unlisted = 0;

  /** Each is listed once. Text is made printable and cut. */
  add(hint: string): void {
    if (this.#listed.size < MAX_HINTS) this.#listed.add(shown(hint, MAX_HINT));
    else this.#unlisted++;
  }

  /** As a description has them: nothing where there are none. */
  all(): { readonly hints?: readonly string[] } {
    if (this.#listed.size === 0) return {};
    const more = this.#unlisted === 0 ? [] : [`and ${this.#unlisted} more`];
    return { hints: [...this.#listed, ...more] };
  }
}
