/** What an integration would do to a host's files, decided before anything is written. Pure. */

/** `undefined`: there is no such file. */
export interface FileChange {
  readonly path: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export type IntegrationPlan =
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

export function planOf(
  changes: readonly FileChange[],
  notes: readonly string[] = [],
): IntegrationPlan {
  return { kind: 'plan', changes: changes.filter(({ before, after }) => before !== after), notes };
}

const AROUND = 2;

/** Lines with `-`, `+` or a blank in front, under two that name the file. Lines that differ are taken as one block. */
export function printChange({ path, before, after }: FileChange): string {
  const old = linesOf(before);
  const now = linesOf(after);
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head++;
  let tail = 0;
  const most = Math.min(old.length, now.length) - head;
  while (tail < most && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
  const around = (from: number, to: number) =>
    old.slice(Math.max(0, from), to).map((line) => ` ${line}`);
  const oldEnd = old.length - tail;
  return [
    `--- ${before === undefined ? '(no file)' : path}`,
    `+++ ${after === undefined ? '(no file)' : path}`,
    ...around(head - AROUND, head),
    ...old.slice(head, oldEnd).map((line) => `-${line}`),
    ...now.slice(head, now.length - tail).map((line) => `+${line}`),
    ...around(oldEnd, Math.min(old.length, oldEnd + AROUND)),
  ].join('\n');
}

function linesOf(text: string | undefined): readonly string[] {
  if (text === undefined || text === '') return [];
  return text.replace(/\n$/, '').split('\n');
}
