/** The changes of an integration to a host's files, decided before any is made. Pure. */

/** An undefined text means no file. */
export interface FileChange {
  readonly path: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export type IntegrationPlan =
  | {
      readonly kind: 'plan';
      /** In the order to make them; empty if nothing needs to change. */
      readonly changes: readonly FileChange[];
      /** Further conditions on the host, one line each. */
      readonly notes: readonly string[];
    }
  /**
   * `foreign`: another author's file has the path. `unreadable`: the file is not valid. `unfit`: the target cannot use
   * this server.
   */
  | {
      readonly kind: 'refused';
      readonly why: 'foreign' | 'unreadable' | 'unfit';
      readonly problem: string;
      readonly fix: string;
    };

/** Reads a file of the host. */
export type ReadHostFile = (path: string) => string | undefined;

export function planOf(
  changes: readonly FileChange[],
  notes: readonly string[] = [],
): IntegrationPlan {
  return { kind: 'plan', changes: changes.filter(({ before, after }) => before !== after), notes };
}

const CONTEXT_LINES = 2;

/** A unified diff with one block: from the first line that differs to the last. */
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
    ...around(head - CONTEXT_LINES, head),
    ...old.slice(head, oldEnd).map((line) => `-${line}`),
    ...now.slice(head, now.length - tail).map((line) => `+${line}`),
    ...around(oldEnd, Math.min(old.length, oldEnd + CONTEXT_LINES)),
  ].join('\n');
}

function linesOf(text: string | undefined): readonly string[] {
  if (text === undefined || text === '') return [];
  return text.replace(/\n$/, '').split('\n');
}

export const TARGET_NAMES = ['systemd-resolved', 'networkmanager', 'dnsmasq', 'docker'] as const;

export type TargetName = (typeof TARGET_NAMES)[number];
