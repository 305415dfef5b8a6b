/** What `soradns doctor` says of one thing: how it is and, where it could be better, the line that makes it so. Pure. */

export type Level = 'ok' | 'warning' | 'problem';

export interface Finding {
  /** What was looked at: `port`, `server`, `docker` ... */
  readonly check: string;
  readonly level: Level;
  /** One line, without a full stop. */
  readonly message: string;
  /** A line for a shell, to be copied as it stands; absent where nothing is to be done. */
  readonly fix?: string;
}

/** Makes the findings of one check. */
export function findings(check: string) {
  return {
    ok: (message: string): Finding => ({ check, level: 'ok', message }),
    /** It works, but not for all, or not as well as it could. */
    warning: (message: string, fix: string): Finding => ({ check, level: 'warning', message, fix }),
    /** Somebody does not get an answer. */
    problem: (message: string, fix: string): Finding => ({ check, level: 'problem', message, fix }),
  };
}

/** How many of the findings are of a level. */
export function countOf(level: Level, found: readonly Finding[]): number {
  return found.filter((finding) => finding.level === level).length;
}
