/** What a measurement gives: a text for the reader, and what it says about the targets. */
import type { Finding } from './compare.ts';
import type { Lab } from './lab.ts';

export interface Measured {
  /** Markdown. */
  readonly text: string;
  readonly findings: readonly Finding[];
}

export type Measure = (lab: Lab) => Promise<Measured>;
