/** Selects and orders the test files: the folders with the longest waits come first, so that all end together. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { dependsOnNode } from './runtime.mjs';

const SLOW_FIRST = ['test/store/', 'test/e2e/', 'test/conformance/', 'test/cli/', 'test/fuzz/'];

/**
 * Returns all *.test.ts below the given paths (default: test/), slow ones first; none for a missing path. `onlyRuntime`
 * leaves out tests that do not depend on the version of Node.
 */
export function testFiles(paths, { onlyRuntime = false } = {}) {
  const found = new Set((paths.length > 0 ? paths : ['test']).flatMap(filesBelow));
  return [...found]
    .filter((file) => !onlyRuntime || dependsOnNode(file))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

function filesBelow(path) {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === false) return [join(path)];
  try {
    return readdirSync(path, { recursive: true })
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => join(path, name));
  } catch {
    return [];
  }
}

function rank(file) {
  const index = SLOW_FIRST.findIndex((folder) => file.startsWith(folder));
  return index === -1 ? SLOW_FIRST.length : index;
}
