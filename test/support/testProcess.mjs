/**
 * Loaded into each test file's process before the file, so that the process ends with its tests, even when they fail.
 */
import assert from 'node:assert/strict';
import { isMainThread } from 'node:worker_threads';

// The process ends by process.exit(), like the product's. Otherwise node closes open handles one by one and may loop
// for ever after every test has passed: it never closes a socket that was reset while its FIN was being sent. If
// something else keeps a process alive, the process still fails at its timeout. The listener is added at `beforeExit`,
// so that it runs after all other exit listeners.
if (isMainThread) process.once('beforeExit', () => process.on('exit', () => process.exit()));

// When `assert.ok(...)` fails, older Node versions search for its source code at a position in tsx's output. In a long
// file they parse for minutes, and the failure is never reported.
if (Number.parseInt(process.versions.node, 10) < 26) assert.ok = withoutSource(assert.ok);

function withoutSource(ok) {
  return function check(...args) {
    if (args.length !== 1 || args[0]) return ok(...args);
    const [actual] = args;
    const failure = { actual, expected: true, operator: '==', stackStartFn: check };
    throw new assert.AssertionError({ ...failure, message: `${String(actual)} is not truthy` });
  };
}
