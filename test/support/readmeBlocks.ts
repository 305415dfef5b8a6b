/** The README's blocks of shell commands that people copy as a whole. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from './standIns.ts';

/** The `sh` blocks of the README's section with this heading, in order. */
export function shellBlocks(heading: string): readonly string[] {
  const readme = readFileSync(join(PROJECT, 'README.md'), 'utf8');
  const section = readme.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(/^```sh\n((?:.*\n)*?)```/gm)].map(([, block]) => block as string);
}
