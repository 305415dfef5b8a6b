/**
 * Runs the files named on the command line with node's test runner, a few at a time and each in a process of its own, in
 * the given order. Started by test/run.mjs with `--import tsx`, which the runner hands on to the files, and testProcess.mjs
 * with it.
 */
import { resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { limitFiles } from './fileTimeout.mjs';
import { compact } from './reporter.mjs';

process.execArgv.push('--import', new URL('testProcess.mjs', import.meta.url).href);

/** One more than the cores of a small machine: most files that take long wait most of the time. */
const AT_ONCE = 3;

const files = process.argv.slice(2).map((file) => resolve(file));
const only = process.env.SORADNS_TEST_ONLY;
const stream = run({
  files,
  concurrency: AT_ONCE,
  ...(only && { testNamePatterns: [new RegExp(only)] }),
});

limitFiles(stream, Number(process.env.SORADNS_TEST_FILE_TIMEOUT_MS));
stream.on('test:fail', ({ todo }) => {
  if (todo === undefined || todo === false) process.exitCode = 1;
});
stream.on('test:pass', ({ skip, todo, name }) => {
  const optional = typeof skip === 'string' && skip.startsWith('optional:');
  if (!process.env.CI || optional || (skip === undefined && todo === undefined)) return;
  console.error(`with CI set, a skipped test is a failure: ${name} (${skip ?? todo})`);
  process.exitCode = 1;
});

if (process.stdout.isTTY) stream.compose(new spec()).pipe(process.stdout);
else stream.compose(compact).pipe(process.stdout);
