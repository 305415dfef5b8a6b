/** What the measurements of the part `ambassador` return, and what they share. */
import type { Finding } from '../dataplane/compare.ts';

export interface Ambassador {
  /** Markdown. */
  readonly text: string;
  readonly findings: readonly Finding[];
}

export const NOT_MEASURED = '–';

/** Measures again and again, at most so many rounds, and after the time is over only until there are `least` results. */
export async function roundsWithin<T>(
  { rounds, least, seconds }: { rounds: number; least: number; seconds: number },
  measure: (round: number) => Promise<T>,
): Promise<T[]> {
  const endMs = performance.now() + seconds * 1000;
  const results: T[] = [];
  while (results.length < rounds && (results.length < least || performance.now() < endMs))
    results.push(await measure(results.length));
  return results;
}
