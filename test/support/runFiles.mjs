/**
 * Runs the given test files in order with node's test runner, a few at a time and each as its own process. test/run.mjs
 * starts it with `--import tsx`; the runner passes that on to the files, together with testProcess.mjs.
 */
import { resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { limitFiles } from './fileTimeout.mjs';
import { compact } from './reporter.mjs';

process.execArgv.push('--import', new URL('testProcess.mjs', import.meta.url).href);

/** Twice the cores of a small machine, because the slow files wait most of the time. */
const CONCURRENT_FILES = 4;

const files = process.argv.slice(2).map((file) => resolve(file));
const only = process.env.SORADNS_TEST_ONLY;
const stream = run({
  files,
  concurrency: CONCURRENT_FILES,
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
