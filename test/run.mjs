/**
 * `npm test`: provides the real programs that the tests need, builds dist/, runs test/ in parallel, and leaves nothing
 * running.
 *
 *   npm test                            everything
 *   npm test -- test/dns test/store     only these folders or files
 *   npm test -- --only 'round robin'    only tests whose name matches
 *   npm test -- --timeout 900           time limit of one file in seconds (600)
 *   npm test -- --node image            on the Dockerfile's Node version, or on the `oldest` that package.json allows;
 *                                       installs it if it is missing
 *   npm test -- --runtime               only tests that depend on the version of Node
 *
 * Exits with 0 only if the build succeeds, no test fails, and no test leaves a process running. With CI set, a skipped
 * test counts as a failure unless its reason begins with "optional:", which marks tests that not every machine can run.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { provideComponents } from './support/components.mjs';
import { buildEtcds, needBuiltEtcds } from './support/etcdBuilds.mjs';
import { testFiles } from './support/files.mjs';
import { endLeftovers, MARK } from './support/leftovers.mjs';
import { imageNode, oldestNode, provideNode } from './support/nodes.mjs';

process.chdir(new URL('..', import.meta.url).pathname);
process.env.PATH += ':/usr/local/sbin:/usr/sbin:/sbin';

const { values: options, positionals: paths } = parseArgs({
  allowPositionals: true,
  options: {
    node: { type: 'string' },
    only: { type: 'string' },
    runtime: { type: 'boolean', default: false },
    timeout: { type: 'string', default: '600' },
  },
});

process.on('SIGINT', () => {}); // the terminal interrupts the children too; this process stays to clean up
if (options.node !== undefined) process.exit(await runOn(options.node));

const files = testFiles(paths, { onlyRuntime: options.runtime });
if (files.length === 0) fail(`no test file at ${paths.join(' ')}`);
if (!provideComponents()) process.exit(1);
if (!options.runtime && needBuiltEtcds(files)) buildEtcds();
console.error(`on Node ${process.versions.node}`);

/** Runs node with the arguments; returns its exit code. */
async function node(args, env = {}, command = process.execPath) {
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}

/** Runs this script with another Node, which is also `node` in its PATH; returns the exit code. */
async function runOn(which) {
  const versions = { image: imageNode, oldest: oldestNode };
  if (!Object.hasOwn(versions, which)) fail(`--node must be image or oldest, not ${which}`);
  try {
    const command = provideNode(versions[which]());
    const args = process.argv.slice(1).flatMap((arg, at, all) => {
      const isOurs = arg === '--node' || all[at - 1] === '--node' || arg.startsWith('--node=');
      return isOurs ? [] : [arg];
    });
    const PATH = `${dirname(command)}:${process.env.PATH}`;
    return await node(args, { PATH, SORADNS_TEST_NODE: which }, command);
  } catch (error) {
    return fail(error.message);
  }
}

function fail(message) {
  console.error(`test/run.mjs: ${message}`);
  process.exit(1);
}

const mark = `${process.pid}-${Date.now()}`;
const built = await node(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json']);
const tested = await node(['--import', 'tsx', 'test/support/runFiles.mjs', ...files], {
  [MARK]: mark,
  SORADNS_TEST_ONLY: options.only ?? '',
  SORADNS_TEST_ONLY_RUNTIME: options.runtime ? '1' : '',
  SORADNS_TEST_FILE_TIMEOUT_MS: String(Number(options.timeout) * 1000),
});
const leftovers = await endLeftovers(mark);
if (built !== 0) console.error('the build failed; see its errors above the tests');
for (const process of leftovers) console.error(`a test left this running: ${process}`);
process.exitCode = built === 0 && tested === 0 && leftovers.length === 0 ? 0 : 1;
