/** Answers that wait for somebody else's, which a server that stops owes to their clients. */
export class Pending {
  readonly #answers = new Set<Promise<unknown>>();

  /** `answer` settles once it was sent, and never rejects. */
  add(answer: Promise<unknown>): void {
    this.#answers.add(answer);
    void answer.then(() => this.#answers.delete(answer));
  }

  /** Settles when all are sent, those too that are added meanwhile, and after `limitMs` at the latest. */
  async sent(limitMs: number): Promise<void> {
    let isOver = false;
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        isOver = true;
        resolve();
      }, limitMs);
    });
    while (this.#answers.size > 0 && !isOver) {
      await Promise.race([Promise.all(this.#answers), limit]);
    }
    clearTimeout(timer);
  }
}
