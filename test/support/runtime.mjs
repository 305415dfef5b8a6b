/**
 * Which tests depend on the version of Node, and so run on a second one in CI: those that use more of Node, themselves or
 * in what they import, than the language and a few modules that only compute. Sockets, TLS, HTTP, threads, files,
 * processes and native packages count as more.
 */
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';

/**
 * Files and folders (with `/`) that use more, but show nothing of Node: tests of the project's texts, of the image, which
 * brings its own Node, and plays in which another program has the part that matters (an engine, a resolver, a shell).
 * Others show what those need of Node, with one dockerd. CI has a step of its own for the examples of the pages.
 */
export const INDEPENDENT_OF_NODE = [
  'test/bench/',
  'test/cli/completion.test.ts',
  'test/tools/integrate.test.ts',
  'test/deploy/',
  'test/registrar/engine/dockerd.test.ts',
  'test/registrar/engine/podman.test.ts',
  'test/registrar/engine/podmanNewer.test.ts',
  'test/e2e/compose.test.ts',
  'test/e2e/composeHosts.test.ts',
  'test/e2e/conflictsReal.test.ts',
  'test/e2e/docs.test.ts',
  'test/e2e/drainingReal.test.ts',
  'test/e2e/engineIds.test.ts',
  'test/e2e/explainedReal.test.ts',
  'test/e2e/familiesReal.test.ts',
  'test/e2e/hosts.test.ts',
  'test/e2e/hostsEtcd.test.ts',
  'test/e2e/hostsFailures.test.ts',
  'test/e2e/hostsRestart.test.ts',
  'test/e2e/image.test.ts',
  'test/e2e/newerDocker.test.ts',
  'test/e2e/newerSwarm.test.ts',
  'test/e2e/policyReal.test.ts',
  'test/e2e/registerReal.test.ts',
  'test/e2e/resolversInFront.test.ts',
  'test/e2e/swarmReal.test.ts',
  'test/meta/deploy.test.ts',
  'test/meta/hygiene.test.ts',
  'test/meta/imports.test.ts',
  'test/meta/options.test.ts',
  'test/meta/docs.test.ts',
  'test/support/hosts.test.ts',
];

/** Tests of what Node gives without an import, such as its timers. */
export const DEPENDENT_ON_NODE = ['test/timing/clock.test.ts'];

/** What gives the same results on every Node. */
const COMPUTING = new Set([
  ...['node:assert/strict', 'node:buffer', 'node:crypto', 'node:events', 'node:path'],
  ...['node:test', 'node:timers/promises', 'node:url', 'node:util'],
  ...['dns-packet', 'fast-check', 'sorted-btree', 'zod'],
]);

const IMPORT =
  /^(?:import|export)\s+(?!type\s)(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;

const known = new Map();

/** Whether a test file shows something that may differ from one version of Node to another. */
export function dependsOnNode(file) {
  if (INDEPENDENT_OF_NODE.some((path) => file.startsWith(path))) return false;
  return DEPENDENT_ON_NODE.includes(file) || !onlyComputes(file);
}

function onlyComputes(file) {
  const seen = new Set([file]);
  for (const each of seen) {
    for (const specifier of importsOf(each)) {
      if (COMPUTING.has(specifier)) continue;
      if (!specifier.startsWith('.')) return false;
      seen.add(posix.join(posix.dirname(each), specifier));
    }
  }
  return true;
}

/** As they are written. What is only a type is no import at run time. */
function importsOf(file) {
  const before = known.get(file);
  if (before !== undefined) return before;
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const imports = [...text.matchAll(IMPORT)].map(([, by, dynamic]) => by ?? dynamic);
  known.set(file, imports);
  return imports;
}
