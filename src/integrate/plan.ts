/** What an integration would do to a host's files, decided before anything is written. Pure. */

/** `undefined`: there is no such file. */
export interface FileChange {
  readonly path: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export type Plan =
  | {
      readonly kind: 'plan';
      /** In the order in which they are to be made; none: all is as it should be. */
      readonly changes: readonly FileChange[];
      /** What else has to hold on the host, one line each. */
      readonly notes: readonly string[];
    }
  /** `foreign`: somebody else's file is in the way. `unreadable`: it is not what it should be. `unfit`: this server. */
  | {
      readonly kind: 'refused';
      readonly why: 'foreign' | 'unreadable' | 'unfit';
      readonly problem: string;
      readonly fix: string;
    };

/** The files as they are. */
export type ReadHostFile = (path: string) => string | undefined;

export function planOf(changes: readonly FileChange[], notes: readonly string[] = []): Plan {
  return { kind: 'plan', changes: changes.filter(({ before, after }) => before !== after), notes };
}
