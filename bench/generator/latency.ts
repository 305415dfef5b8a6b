/** All latencies of a run, so that the percentiles are exact. */

export interface LatencySummary {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Records at most `capacity` values and ignores the rest. Recording allocates nothing. */
export class Latencies {
  readonly #micros: Float64Array;
  #count = 0;

  constructor(capacity: number) {
    this.#micros = new Float64Array(capacity);
  }

  record(micros: number): void {
    if (this.#count < this.#micros.length) this.#micros[this.#count++] = micros;
  }

  /** Percentiles in microseconds. Each of the `lost` queries counts as slower than all others; null: lost. */
  summary(lost: number): Record<keyof LatencySummary, number | null> {
    const sorted = this.#micros.subarray(0, this.#count).sort();
    const total = sorted.length + lost;
    const at = (share: number): number | null =>
      sorted[Math.max(0, Math.ceil(total * share) - 1)] ?? null;
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
  }
}
