/**
 * Selects the tests that depend on the version of Node and therefore run on a second version in CI. These use more of
 * Node, themselves or in their imports, than the language and a few modules that only compute. Sockets, TLS, HTTP,
 * threads, files, processes and native packages count as more.
 */
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';

/**
 * Files and folders (with `/`) that use more of Node but do not test it: tests of the project's texts, tests of the
 * image, which has its own Node, and tests of soradns with other programs (engines, resolvers, shells), with the kernel's
 * connections, with damaged files and with a parser. Other tests, with one dockerd, cover what these need of Node. CI
 * runs the examples of the pages in a separate step.
 */
export const INDEPENDENT_OF_NODE = [
  'test/bench/',
  'test/ambassador/nft/flows.test.ts',
  'test/cli/completion.test.ts',
  'test/cli/plainLine.test.ts',
  'test/tools/integrate.test.ts',
  'test/deploy/',
  'test/registrar/engine/dockerd.test.ts',
  'test/registrar/engine/podman.test.ts',
  'test/registrar/engine/podmanNewer.test.ts',
  'test/e2e/ambassadorContainers.test.ts',
  'test/e2e/ambassadorLinks.test.ts',
  'test/e2e/compose.test.ts',
  'test/e2e/composeHosts.test.ts',
  'test/e2e/conflictsReal.test.ts',
  'test/e2e/dockerLinks.test.ts',
  'test/e2e/docs.test.ts',
  'test/e2e/docsForwarding.test.ts',
  'test/e2e/docsTwoHosts.test.ts',
  'test/e2e/drainingReal.test.ts',
  'test/e2e/engineIds.test.ts',
  'test/e2e/equalZones.test.ts',
  'test/e2e/explainedReal.test.ts',
  'test/e2e/familiesReal.test.ts',
  'test/e2e/hosts.test.ts',
  'test/e2e/hostsEtcd.test.ts',
  'test/e2e/hostsFailures.test.ts',
  'test/e2e/hostsRestart.test.ts',
  'test/e2e/image.test.ts',
  'test/e2e/kernelLinks.test.ts',
  'test/e2e/leaders.test.ts',
  'test/e2e/linkingSoak.test.ts',
  'test/e2e/newerDocker.test.ts',
  'test/e2e/newerSwarm.test.ts',
  'test/e2e/policyReal.test.ts',
  'test/e2e/registerReal.test.ts',
  'test/e2e/resolversInFront.test.ts',
  'test/e2e/secondaries.test.ts',
  'test/e2e/staleAnswers.test.ts',
  'test/e2e/swarmReal.test.ts',
  'test/e2e/validators.test.ts',
  'test/e2e/vipChurn.test.ts',
  'test/e2e/vipEngines.test.ts',
  'test/e2e/vipFailures.test.ts',
  'test/e2e/vipIpv6.test.ts',
  'test/e2e/vipMatrix.test.ts',
  'test/e2e/wildcardPeers.test.ts',
  'test/forward/oracle.test.ts',
  'test/meta/deploy.test.ts',
  'test/meta/hygiene.test.ts',
  'test/meta/imports.test.ts',
  'test/meta/options.test.ts',
  'test/meta/docs.test.ts',
  'test/registrar/registrarHostReal.test.ts',
  'test/store/file-damage.test.ts',
  'test/store/manyHosts.test.ts',
  'test/support/hosts.test.ts',
  'test/tools/doctor/ambassador/dockerReal.test.ts',
];

/** Tests of what Node provides without an import, such as its timers. */
export const DEPENDENT_ON_NODE = ['test/timing/clock.test.ts'];

/** Modules that give the same results on every version of Node. */
const COMPUTING = new Set([
  ...['node:assert/strict', 'node:buffer', 'node:crypto', 'node:events', 'node:path'],
  ...['node:test', 'node:timers/promises', 'node:url', 'node:util'],
  ...['dns-packet', 'fast-check', 'sorted-btree'],
]);

const IMPORT =
  /^(?:import|export)\s+(?!type\s)(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;

const known = new Map();

/** Whether the result of a test file may differ from one version of Node to another. */
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

/** The specifiers as written, without type-only imports, which do not exist at run time. */
function importsOf(file) {
  const before = known.get(file);
  if (before !== undefined) return before;
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const imports = [...text.matchAll(IMPORT)].map(([, by, dynamic]) => by ?? dynamic);
  known.set(file, imports);
  return imports;
}
