/**
 * How long one upstream takes to answer: a smoothed time, by which upstreams are compared, and the time within which 19
 * of 20 recent answers came, after which the next upstream gets the question as well.
 */

/** As in TCP's smoothed round-trip time (RFC 6298 §2). */
const WEIGHT = 1 / 8;

const RECENT = 256;
/** With fewer answers their largest times say little. */
const FEWEST = 8;
/** The recent answers are sorted again only after this many new ones. */
const SORTED_EVERY = 16;
const PART = 0.95;
/** Of answers that take nearly the same time, half would otherwise be a moment late. */
const MARGIN = 1.125;

/**
 * Until an upstream has answered a few times. A name that a resolver has to look up itself takes some 20 to 300 ms, so a
 * shorter wait would double the first questions; TCP's 1 s is what a user notices.
 */
const UNKNOWN_MS = 300;
/** Below it a pause of this process looks like a slow upstream. */
const LEAST_MS = 20;

export class AnswerTimes {
  readonly #recent = new Float64Array(RECENT);
  #answers = 0;
  #sortedAtAnswers = 0;
  #slowMs = UNKNOWN_MS;
  #smoothedMs: number | undefined;

  /** Undefined before the first answer. */
  get smoothedMs(): number | undefined {
    return this.#smoothedMs;
  }

  /** Within this time, at least 20 ms, nearly all answers came. */
  get slowMs(): number {
    const isDue = this.#answers - this.#sortedAtAnswers >= SORTED_EVERY;
    const isFirst = this.#sortedAtAnswers === 0 && this.#answers >= FEWEST;
    if (isDue || isFirst) this.#sort();
    return this.#slowMs;
  }

  /** The upstream gave a usable answer. */
  answered(tookMs: number): void {
    this.#recent[this.#answers % RECENT] = tookMs;
    this.#answers++;
    this.#smooth(tookMs);
  }

  /**
   * The upstream gave no answer, or none that is usable. Only the smoothed time counts this, as a long time: otherwise
   * an upstream that refuses every question at once would be the fastest.
   */
  failed(lostMs: number): void {
    this.#smooth(lostMs);
  }

  #smooth(ms: number): void {
    const before = this.#smoothedMs ?? ms;
    this.#smoothedMs = before + WEIGHT * (ms - before);
  }

  #sort(): void {
    const known = Math.min(this.#answers, RECENT);
    const sorted = this.#recent.slice(0, known).sort();
    const usualMs = sorted[Math.ceil(known * PART) - 1] ?? UNKNOWN_MS;
    this.#slowMs = Math.max(LEAST_MS, usualMs * MARGIN);
    this.#sortedAtAnswers = this.#answers;
  }
}
