/**
 * A file in another program's configuration folder. Its first line names soradns as its author; other files are not
 * touched. Pure.
 */
import { type IntegrationPlan, planOf, type ReadHostFile, type TargetName } from './plan.ts';

export interface DropIn {
  readonly path: string;
  /** The lines below the marker. */
  readonly lines: readonly string[];
  readonly notes: readonly string[];
}

const MARKER = '# Written by soradns';

/** Writes the file, unless another author's file has its path. */
export function planDropIn(
  target: TargetName,
  { path, lines, notes }: DropIn,
  read: ReadHostFile,
): IntegrationPlan {
  const before = read(path);
  if (isForeign(before)) return foreign(path);
  const head = `${MARKER}; soradns integrate ${target} --undo removes it.`;
  return planOf([{ path, before, after: `${[head, ...lines].join('\n')}\n` }], notes);
}

/** Removes the file if soradns wrote it. */
export function planDropInUndo({ path }: DropIn, read: ReadHostFile): IntegrationPlan {
  const before = read(path);
  return isForeign(before) ? foreign(path) : planOf([{ path, before, after: undefined }]);
}

function isForeign(text: string | undefined): boolean {
  return text !== undefined && !text.startsWith(MARKER);
}

function foreign(path: string): IntegrationPlan {
  const problem = `${path} was not written by soradns, as its first line shows`;
  return {
    kind: 'refused',
    why: 'foreign',
    problem,
    fix: `move it away: sudo mv ${path} ${path}.old`,
  };
}
