/** A change of a file as people read it: the lines that go and those that come, a little around them. Pure. */
import type { FileChange } from './plan.ts';

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
