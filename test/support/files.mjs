/** Which test files run, and in which order: the folders that wait most come first, so that they end with the rest. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SLOW_FIRST = ['test/store/', 'test/e2e/', 'test/conformance/', 'test/cli/', 'test/fuzz/'];

/**
 * What CI does not run on a second Node, as files and folders (with `/`): tests of the project's texts, of the image,
 * which brings its own Node, and long plays on several hosts or several engines. What those need of Node, such as its
 * HTTP client, its sockets and its signals, other tests show with one real engine.
 */
export const NOT_OF_RUNTIME = [
  'test/bench/',
  'test/deploy/',
  'test/docker/podmanNewer.test.ts',
  'test/e2e/compose.test.ts',
  'test/e2e/hosts.test.ts',
  'test/e2e/hostsEtcd.test.ts',
  'test/e2e/hostsFailures.test.ts',
  'test/e2e/hostsRestart.test.ts',
  'test/e2e/image.test.ts',
  'test/e2e/newerDocker.test.ts',
  'test/e2e/newerSwarm.test.ts',
  'test/meta/deploy.test.ts',
  'test/meta/hygiene.test.ts',
  'test/meta/imports.test.ts',
  'test/meta/options.test.ts',
];

/**
 * All *.test.ts below the given paths (default: test/), slow ones first. A path that is not there gives none.
 * `onlyRuntime` leaves out what is in `NOT_OF_RUNTIME`.
 */
export function testFiles(paths, { onlyRuntime = false } = {}) {
  const found = new Set((paths.length > 0 ? paths : ['test']).flatMap(filesBelow));
  return [...found]
    .filter((file) => !onlyRuntime || !NOT_OF_RUNTIME.some((path) => file.startsWith(path)))
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
