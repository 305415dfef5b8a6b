/**
 * The questions: files of questions for the bench's names, for names that do not exist, and for names outside the zone.
 */
import { BENCH_PARENT, type BenchName, questionText } from '../names.ts';

/** Lines of each file of made-up names. The generator replaces each `?` anew for every question. */
const LINES = 1000;
const ANY_LABEL = '????????????';

export const QUESTION_KINDS = ['hits', 'every', 'below', 'outside', 'wildcard'] as const;
export type QuestionKind = (typeof QUESTION_KINDS)[number];

/** The text of a file of questions, a line `name TYPE` for each. */
export function questionsOf(kind: QuestionKind, names: readonly BenchName[]): string {
  switch (kind) {
    /** Half of the names by SRV, the others by A. */
    case 'hits':
      return questionText(names, ['SRV', 'A']);
    /** Each name by SRV and by A. */
    case 'every':
      return names.map(({ name }) => `${name} SRV\n${name} A\n`).join('');
    case 'below':
      return lines((index) => `${ANY_LABEL}.service${index}.${BENCH_PARENT}`);
    case 'outside':
      return lines(() => `${ANY_LABEL}.example.com`);
    case 'wildcard':
      return lines((index) =>
        index % 2 === 0 ? `*.service${index}.${BENCH_PARENT}` : `*.${ANY_LABEL}.${BENCH_PARENT}`,
      );
  }
}

function lines(nameOf: (index: number) => string): string {
  return Array.from(
    { length: LINES },
    (_, index) => `${nameOf(index)} ${index % 4 < 2 ? 'SRV' : 'A'}\n`,
  ).join('');
}
