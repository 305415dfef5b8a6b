/** The log in a process of its own: its output on stdout, and the effect of a slow or absent reader. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Secret } from '../../src/config/options/valueForms.ts';
import { type Log, openLog } from '../../src/observability/log.ts';

const directory = mkdtempSync(join(tmpdir(), 'soradns-log-'));
after(() => rmSync(directory, { recursive: true }));
let files = 0;

/** The text that a log writes into a file. */
async function written(use: (log: Log) => void, pretty = false): Promise<string> {
  const path = join(directory, String(files++));
  const log = await openLog({ level: 'info', pretty, fd: openSync(path, 'w') });
  use(log);
  log.close();
  return readFileSync(path, 'utf8');
}

function parsed(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

const HOSTILE = '\u001b[2J\u009b31m\r\n{"level":"fake"}\u2028\u2029\u0000\u0085';
// biome-ignore lint/suspicious/noControlCharactersInRegex: the expression finds characters that must not occur
const ACTIVE = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]/;

describe('lines', () => {
  it('Log lines are JSON with level, time, fields and message', async () => {
    const [line] = parsed(await written((log) => log.warn({ key: '/a' }, 'value skipped')));
    assert.ok(line !== undefined);
    const { time, ...rest } = line;
    assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.deepEqual(rest, { level: 'warn', key: '/a', msg: 'value skipped' });
  });

  it('The log leaves out lines below its level', async () => {
    const text = await written((log) => {
      log.debug({}, 'no');
      log.error({}, 'yes');
    });
    assert.deepEqual(
      parsed(text).map(({ msg }) => msg),
      ['yes'],
    );
  });

  it('The log escapes hostile text in every field', async () => {
    const text = await written((log) => {
      const err = new Error(HOSTILE, { cause: new Error(HOSTILE) });
      log.info({ [HOSTILE]: HOSTILE, list: [HOSTILE], deep: { er: HOSTILE }, err }, HOSTILE);
    });
    assert.doesNotMatch(text, ACTIVE);
    assert.equal(text.split('\n').length, 2, 'one line');
    const [line = {}] = parsed(text);
    assert.doesNotMatch(JSON.stringify(Object.values(line)), /\\u|\\n|\\r/);
    assert.match(String(line.msg), /^\\027\[2J\\194\\15531m\\013\\010/);
    assert.match(JSON.stringify(line.err), /\\\\027\[2J/);
  });

  it('The log escapes hostile text in its format for terminals too', async () => {
    const text = await written((log) => log.info({ key: HOSTILE }, HOSTILE), true);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: pino-pretty's own colours
    const plain = text.replace(/\u001b\[[0-9]+m/g, '');
    assert.doesNotMatch(plain, ACTIVE);
    assert.match(plain, /INFO.*\\027\[2J/);
  });

  it('The log contains no secret', async () => {
    const secret = new Secret('s3cr3t');
    const text = await written((log) => log.info({ secret, in: { list: [secret] } }, `${secret}`));
    assert.doesNotMatch(text, /s3cr3t/);
    assert.match(text, /\[secret\]/);
  });

  it('The log prints durations with three decimals', async () => {
    const text = await written((log) => log.info({ tookMs: 4.934601999999927, n: [12] }, 'read'));
    const [{ tookMs, n } = {}] = parsed(text);
    assert.deepEqual({ tookMs, n }, { tookMs: 4.935, n: [12] });
  });

  it('The log prints unusual values without failing', async () => {
    const loop: Record<string, unknown> = { n: 1n };
    loop.self = loop;
    const text = await written((log) => log.info({ loop, __proto__: null, u: undefined }, 'odd'));
    assert.equal(parsed(text)[0]?.msg, 'odd');
  });
});

/** Logs `LINES` lines of about 330 octets, 200 a tick, then closes; reports on stderr. */
const FLOOD = `
import { openLog } from ${JSON.stringify(new URL('../../src/observability/log.ts', import.meta.url).href)};
const log = await openLog({ level: 'info', pretty: false });
process.stdout.on('error', () => {});
let worstMs = 0;
for (let i = 0; i < Number(process.env.LINES) / 200; i++) {
  const startMs = performance.now();
  for (let j = 0; j < 200; j++) log.info({ pad: 'x'.repeat(250), n: i * 200 + j }, 'flood');
  await new Promise((resolve) => setTimeout(resolve, 1));
  worstMs = Math.max(worstMs, performance.now() - startMs);
}
log.close();
process.stderr.write(JSON.stringify({ worstMs, rss: process.memoryUsage.rss() }));
process.exit(0);
`;

function startFlood(lines: number): ChildProcess {
  const args = ['--import', 'tsx', '--input-type=module', '-e', FLOOD];
  const env = { ...process.env, LINES: String(lines) };
  const stdio = ['ignore', 'pipe', 'pipe'] as const;
  return spawn(process.execPath, args, { env, stdio: [...stdio], timeout: 30_000 });
}

async function finish(child: ChildProcess): Promise<{ code: number | null; worstMs: number }> {
  let report = '';
  child.stderr?.on('data', (text) => {
    report += text;
  });
  const code = await new Promise<number | null>((resolve) => child.on('exit', resolve));
  return { code, ...JSON.parse(report) };
}

describe('readers', () => {
  it('A reader of the log gets every line, including the last', async () => {
    // All lines fit into the buffer, so even a slow machine drops none.
    const child = startFlood(2_000);
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    const ended = new Promise((resolve) => child.stdout?.on('end', resolve));
    const { code } = await finish(child);
    await ended;
    assert.equal(code, 0);
    assert.deepEqual(
      parsed(text).map(({ n }) => n),
      Array.from({ length: 2_000 }, (_, n) => n),
    );
  });

  it('A full pipe that no process reads delays neither the work nor the exit of the process that logs', async () => {
    const child = startFlood(20_000);
    const { code, worstMs } = await finish(child);
    child.stdout?.destroy();
    assert.equal(code, 0);
    assert.ok(worstMs < 5000, `a batch took ${worstMs} ms`);
  });

  it('The process exits with 0 when the reader of its log closes the pipe', async () => {
    const child = startFlood(20_000);
    child.stdout?.destroy();
    assert.equal((await finish(child)).code, 0);
  });
});
