/** How long an answer of the store is waited for: longer than the last ones took, as asking twice helps no slow store. */

/** More than etcd takes to have a new leader; what was said to the old one is never answered. */
const MIN_MS = 2_000;
/** By then a call to etcd has failed by itself. */
const MAX_MS = 10_000;
const TIMES_THE_ANSWERS = 2;
/** What is left of it after an answer that was quick. */
const KEPT = 0.9;

export class Patience {
  #ms = MIN_MS;

  get ms(): number {
    return this.#ms;
  }

  /** There was an answer, in time or not. */
  note(tookMs: number): void {
    const wishedMs = Math.max(tookMs * TIMES_THE_ANSWERS, this.#ms * KEPT);
    this.#ms = Math.min(MAX_MS, Math.max(MIN_MS, wishedMs));
  }
}
