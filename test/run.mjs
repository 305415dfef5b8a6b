/**
 * `npm test`: sees that the real components are there, builds dist/, runs test/ in parallel, leaves nothing running.
 *
 *   npm test                            everything
 *   npm test -- test/dns test/store     only these folders or files
 *   npm test -- --only 'round robin'    only tests whose name matches
 *   npm test -- --timeout 600           seconds that one file may take (300)
 *
 * Exit 0 only if every test ran and passed. With CI set, a skipped test counts as a failure, unless its reason begins
 * with "optional:" (what it needs cannot be had on every machine).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { provideComponents } from './support/components.mjs';
import { testFiles } from './support/files.mjs';
import { endLeftovers, MARK } from './support/leftovers.mjs';

process.chdir(new URL('..', import.meta.url).pathname);
process.env.PATH += ':/usr/local/sbin:/usr/sbin:/sbin';

const { values: options, positionals: paths } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    timeout: { type: 'string', default: '300' },
  },
});

const files = testFiles(paths);
if (files.length === 0) fail(`no test file at ${paths.join(' ')}`);
if (!provideComponents()) process.exit(1);

/** Runs node with the arguments; gives its exit code. */
async function node(args, env = {}) {
  const child = spawn(process.execPath, args, {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}

function fail(message) {
  console.error(`test/run.mjs: ${message}`);
  process.exit(1);
}

process.on('SIGINT', () => {}); // the terminal interrupts the children too; stay to clean up behind them
const mark = `${process.pid}-${Date.now()}`;
const built = await node(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json']);
const tested = await node(['--import', 'tsx', 'test/support/runFiles.mjs', ...files], {
  [MARK]: mark,
  SORADNS_TEST_ONLY: options.only ?? '',
  SORADNS_TEST_FILE_TIMEOUT_MS: String(Number(options.timeout) * 1000),
});
const leftovers = await endLeftovers(mark);
if (built !== 0) console.error('the build failed: see the top');
for (const process of leftovers) console.error(`a test left this running: ${process}`);
process.exitCode = built === 0 && tested === 0 && leftovers.length === 0 ? 0 : 1;
