import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import test from 'node:test';

/** Without tsx, which itself opens the stream of stdout. */
const MODULE = new URL('../../dist/app/process/standardOutput.js', import.meta.url).href;

/** Starts a program that has `out`, its stdout, and ends it with the code 9 at the first error. */
function start(program: string, stdout: 'pipe' | number = 'pipe') {
  const source = `import { writeSync } from 'node:fs';
    import { StandardOutput } from '${MODULE}';
    const out = new StandardOutput(1, ({ code }) => { writeSync(2, code); process.exit(9); });
    ${program}`;
  const args = ['--input-type', 'module', '--eval', source];
  return spawn(process.execPath, args, { stdio: ['ignore', stdout, 'pipe'] });
}

async function printedBy(program: string): Promise<string> {
  const child = start(program);
  let printed = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    printed += text;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0);
  return printed;
}

test('The texts arrive whole and in order, those that need a stream behind those that need none', async () => {
  const program = `for (let i = 0; i < 2000; i++) out.write(i + ' ü\\n');
    out.flush(() => process.exit(0));`;
  const expected = Array.from({ length: 2000 }, (_, i) => `${i} ü\n`).join('');
  assert.equal(await printedBy(program), expected);
});

test('A text waits while the pipe is full and does not block', async () => {
  const program = `process.stdout;
    try { for (;;) writeSync(1, 'x'.repeat(1000)); } catch {}
    out.write('last\\n');
    out.flush(() => process.exit(0));`;
  const printed = await printedBy(program);
  assert.match(printed, /^x+last\n$/);
});

test('The process handles signals while its reader takes nothing from the full pipe', async () => {
  const child = start(`process.on('SIGTERM', () => process.exit(7));
    setInterval(() => {}, 1000);
    out.write('first\\n');
    out.write('x'.repeat(4_000_000));`);
  try {
    assert.ok(child.stdout);
    await once(child.stdout, 'readable');
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(20_000) });
    assert.equal(code, 7);
  } finally {
    child.kill('SIGKILL');
  }
});

for (const [text, program] of [
  ['text that needs no stream', "out.write('text');"],
  ['long text', "out.write('x'.repeat(10_000)); out.flush(() => process.exit(0));"],
] as const)
  test(`A write of a ${text} that fails calls back with the error`, async () => {
    const full = openSync('/dev/full', 'w');
    try {
      const child = start(program, full);
      let printed = '';
      child.stderr?.setEncoding('utf8').on('data', (text) => {
        printed += text;
      });
      const [code] = await once(child, 'close');
      assert.deepEqual({ code, printed }, { code: 9, printed: 'ENOSPC' });
    } finally {
      closeSync(full);
    }
  });
