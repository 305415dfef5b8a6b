/** What the process of each test file gets before the file, so that it ends: with its tests, and also when they fail. */
import assert from 'node:assert/strict';
import { isMainThread } from 'node:worker_threads';

// The process ends as the product ends its own, by process.exit(). Otherwise node closes what is open one by one, and may
// spin there for good after every test has passed: a socket that was reset while its FIN was being sent is never closed.
// What something else keeps alive still ends, and fails, by its timeout.
// As the last listener: by the time that nothing is left to wait for, all others are there.
if (isMainThread) process.once('beforeExit', () => process.on('exit', () => process.exit()));

// Older Nodes look for the source of `assert.ok(...)` when it fails, to show it, at a place in what tsx has made of the
// file. In a long file they parse for minutes, and the failure is never told.
if (Number.parseInt(process.versions.node, 10) < 26) assert.ok = withoutSource(assert.ok);

function withoutSource(ok) {
  return function check(...args) {
    if (args.length !== 1 || args[0]) return ok(...args);
    const [actual] = args;
    const failure = { actual, expected: true, operator: '==', stackStartFn: check };
    throw new assert.AssertionError({ ...failure, message: `${String(actual)} is not truthy` });
  };
}
