/** The test runner: when a run fails, what its log shows, and that it leaves no process behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { after } from 'node:test';
import { endLeftovers, MARK } from '../support/leftovers.mjs';
import { projectRoot } from './sources.ts';

const folder = mkdtempSync(join(tmpdir(), 'soradns-runner-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Time for a file that hangs: more than a process needs to start on a busy machine. */
const HANG_MS = '8000';

let runs = 0;

/** Runs one test file with that body, as test/run.mjs does. */
async function runFile(body: string, env: Record<string, string> = {}) {
  const mark = `${process.pid}-${runs++}`;
  const file = join(folder, `${mark}.test.ts`);
  writeFileSync(file, `import test from 'node:test';\n${body}`);
  const { NODE_TEST_CONTEXT: _, CI: __, ...inherited } = process.env;
  const timeout = { SORADNS_TEST_FILE_TIMEOUT_MS: '60000', ...env };
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/support/runFiles.mjs', file], {
    cwd: projectRoot,
    env: { ...inherited, ...timeout, [MARK]: mark },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { mark, code, stdout, stderr };
}

test('A run that passes ends with the counts', async () => {
  const { code, stdout } = await runFile("test('a', () => {}); test('b', () => {});");
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^ok .*\.test\.ts \(2 passed\) \d+ s\n# tests 2\n[\s\S]*^# pass 2\n# fail 0$/m,
  );
});

test('The log shows each file with the seconds that it took', async () => {
  const { stdout } = await runFile("test('a', () => new Promise((end) => setTimeout(end, 1600)));");
  const [, seconds] = /^ok .*\.test\.ts \(1 passed\) (\d+) s$/m.exec(stdout) ?? [];
  assert.ok(Number(seconds) >= 2, stdout);
});

test('The log shows the figures that a passing test measured, and none of its other output', async () => {
  const body =
    "test('a', () => { console.log('hosts: cut off: 4123 ms'); console.log('noise'); });";
  const { stdout } = await runFile(body);
  assert.match(
    stdout,
    /^ok .*\.test\.ts \(1 passed\) \d+ s\n {7}hosts: cut off: 4123 ms\n# tests 1$/m,
  );
});

test('A failed test fails the run, and the log shows its error in full', async () => {
  const { code, stdout } = await runFile(
    "test('good', () => {}); test('outer', (t) => t.test('inner', () => { throw new Error('x', { cause: new Error('why') }); }));",
  );
  assert.equal(code, 1);
  assert.match(stdout, /^FAIL .*\n {2}inner\n[\s\S]*Error: x[\s\S]*\[cause\]: Error: why/m);
  assert.match(stdout, /^FAIL .* \(1 passed, 1 failed\) \d+ s$/m);
});

test('A bare assert.ok that fails in a long file is reported at once', async () => {
  const lines = Array.from({ length: 800 }, (_, i) => `const text${i} = '${')]}'.repeat(9)}';`);
  lines[600] = "test('fails', () => { assert.ok(text1.length < 0); });";
  const body = `import assert from 'node:assert/strict';\n${lines.join('\n')}`;
  const { code, stdout } = await runFile(body, { SORADNS_TEST_FILE_TIMEOUT_MS: '20000' });
  assert.equal(code, 1);
  assert.match(stdout, /^FAIL .*\n {2}fails\n +AssertionError .*[\s\S]*\.test\.ts:603:/m);
});

test('A file that cannot be loaded fails the run, and the log says why', async () => {
  const { code, stdout } = await runFile("throw new Error('at load');");
  assert.equal(code, 1);
  assert.match(stdout, /its output:[\s\S]*Error: at load/);
});

test('The runner ends a file that hangs, and names the test that hung', async () => {
  for (const hang of [
    'await new Promise(() => setInterval(() => {}, 1e6))',
    'await new Promise((resolve) => setTimeout(resolve, 500)); for (;;);',
  ]) {
    const { code, stdout, stderr } = await runFile(
      `test('quick', () => {}); test('the slow one', async () => { ${hang} });`,
      { SORADNS_TEST_FILE_TIMEOUT_MS: HANG_MS },
    );
    assert.equal(code, 1);
    assert.match(stderr, /\.test\.ts timed out after 8000 ms$/m);
    assert.match(stdout, /while running: the slow one$/m);
  }
});

test('The runner ends and fails a file that stays alive after its tests have passed', async () => {
  const { code, stderr } = await runFile("test('a', () => void setInterval(() => {}, 1e6));", {
    SORADNS_TEST_FILE_TIMEOUT_MS: HANG_MS,
  });
  assert.equal(code, 1);
  assert.match(stderr, /\.test\.ts timed out after 8000 ms$/m);
});

test('A file ends with its tests although Node cannot close its sockets', async () => {
  // Node never closes a socket that is reset while its FIN is being sent, and waits for it without a limit.
  const body = `import net from 'node:net';
    test('resets', async () => {
      const server = net.createServer((socket) => socket.resume().on('error', () => {}));
      await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
      const client = net.connect(server.address().port, '127.0.0.1').on('error', () => {});
      await new Promise((connected) => client.once('connect', connected));
      client.end();
      await new Promise((sent) => process.nextTick(() => process.nextTick(sent)));
      client.resetAndDestroy();
      server.close();
    });
    process.on('exit', () => console.error('at: its end: 1 ms'));`;
  const { code, stdout } = await runFile(body, { SORADNS_TEST_FILE_TIMEOUT_MS: '20000' });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^ok .*\.test\.ts \(1 passed\) \d+ s\n {7}at: its end: 1 ms\n# tests 1$/m);
});

test('A skipped test fails a run only in CI, and not when its reason is optional', async () => {
  const skipped = "test('a', { skip: 'needs a unicorn' }, () => {});";
  assert.equal((await runFile(skipped)).code, 0);
  const inCi = await runFile(skipped, { CI: 'true' });
  assert.equal(inCi.code, 1);
  assert.match(inCi.stderr, /a skipped test is a failure: a \(needs a unicorn\)/);
  assert.equal(
    (await runFile(skipped.replace('needs', 'optional: needs'), { CI: 'true' })).code,
    0,
  );
});

test('The runner finds a process that a test left running by its mark, and ends it', async () => {
  const { mark, code, stdout } = await runFile(
    "import { spawn } from 'node:child_process'; import { writeSync } from 'node:fs'; test('leaks', () => { spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).unref(); });",
  );
  assert.equal(code, 0, stdout);
  const left = await endLeftovers(mark);
  assert.equal(left.length, 1);
  assert.match(left[0] ?? '', /^\d+ sleep 600$/);
  assert.deepEqual(await endLeftovers(mark), []);
});
