/** The start data of a thread that reads a table, and the shared counts that it keeps. */
import type { TableHandle } from '../../src/dataplane/table/layout.ts';

/** `LOST`: the answers in which the table denied a lasting name. */
export const Tally = { WHOLE: 0, TORN: 1, DONE: 2, LOST: 3, WORDS: 4 } as const;

export interface TableReading {
  readonly handle: TableHandle;
  /** From 1. */
  readonly thread: number;
  /** Names are numbered from 0. */
  readonly names: number;
  /** This many names, from 0, are always in the table. */
  readonly lasting: number;
  readonly reads: number;
  /** The questions set RD and are of a client that may recurse, so the cache answers them. */
  readonly outside?: boolean;
  /** `Tally.WORDS` words. */
  readonly tally: SharedArrayBuffer;
}
