/** The latencies of a run: every one of them, so that percentiles are exact. */

export interface LatencySummary {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Room for so many values; more are not recorded. Recording allocates nothing. */
export class Latencies {
  readonly #micros: Float64Array;
  #count = 0;

  constructor(capacity: number) {
    this.#micros = new Float64Array(capacity);
  }

  record(micros: number): void {
    if (this.#count < this.#micros.length) this.#micros[this.#count++] = micros;
  }

  /** In microseconds. Each of the `lost` counts as longer than all others: null is "never". */
  summary(lost: number): Record<keyof LatencySummary, number | null> {
    const sorted = this.#micros.subarray(0, this.#count).sort();
    const total = sorted.length + lost;
    const at = (share: number): number | null =>
      sorted[Math.max(0, Math.ceil(total * share) - 1)] ?? null;
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
  }
}
