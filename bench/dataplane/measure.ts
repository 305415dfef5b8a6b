/** The result of a measurement: a text for the reader, and its findings about the targets. */
import type { Finding } from './compare.ts';
import type { Lab } from './lab.ts';

export interface Measured {
  /** Markdown. */
  readonly text: string;
  readonly findings: readonly Finding[];
}

export type Measure = (lab: Lab) => Promise<Measured>;
