/** Runs the README: its server, started as `npm start` does, and every example of its `console` blocks against it. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../support/freePort.ts';
import { type Example, examplesOf, matches, optionsOf } from '../support/readme.ts';
import { projectRoot } from './sources.ts';

const READY_TIMEOUT_MS = 30_000;
/** How long a question may still get the answer from before the last write. */
const SETTLE_TIMEOUT_MS = 5000;

const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8');
const program = join(projectRoot, 'dist/main.js');
const examples = examplesOf(readme);

/** Port in the README -> port in this run. */
const ports = new Map<string, string>();
const folder = mkdtempSync(join(tmpdir(), 'soradns-readme-'));
let server: ChildProcess | undefined;
let serverOutput = '';

before(async () => {
  for (const port of ['5300', '4001']) ports.set(port, String(await freePort()));
  writeFileSync(
    join(folder, 'soradns'),
    `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`,
  );
  chmodSync(join(folder, 'soradns'), 0o755);
  server = startServer();
  await ready();
});

after(async () => {
  if (server !== undefined && server.exitCode === null && server.signalCode === null) {
    const exited = once(server, 'exit');
    server.kill('SIGTERM');
    const stuck = setTimeout(() => server?.kill('SIGKILL'), 10_000);
    await exited;
    clearTimeout(stuck);
  }
  rmSync(folder, { recursive: true, force: true });
});

test('the README sets up with two commands and shows the main job', () => {
  assert.match(readme, /^npm ci && npm start$/m);
  assert.match(readme, /^npm ci && npm test$/m);
  const commands = examples.map(({ command }) => command).join('\n');
  for (const wanted of [/^curl .*-XPUT/m, /^dig .*SRV/m, /^soradns /m])
    assert.match(commands, wanted);
});

test('every example prints what the README says', async () => {
  for (const example of examples) await play(example);
});

test('every option that the README writes is in the help of its command', async () => {
  const uses = optionsOf(readme);
  assert.ok(uses.size > 0);
  for (const [command, options] of uses) {
    const { code, printed } = await shell(`soradns ${command} --help`);
    assert.equal(code, 0, `soradns ${command} --help: ${printed}`);
    for (const option of options) {
      const known = printed.includes(option) || printed.includes(option.replace('--no-', '--'));
      assert.ok(known, `soradns ${command} has no ${option}`);
    }
  }
});

/** Runs an example. A question is asked again for a while: the answer follows the write, but not in the same instant. */
async function play({ command, expected, exitCode, line }: Example): Promise<void> {
  const deadline = performance.now() + (command.startsWith('dig ') ? SETTLE_TIMEOUT_MS : 0);
  for (;;) {
    const { code, printed } = await shell(command);
    const right = code === exitCode && matches(expected, printed);
    if (right) return;
    if (performance.now() < deadline) {
      await sleep(50);
      continue;
    }
    assert.fail(
      `README.md:${line}: ${command}\nexits ${code} and prints\n${printed}\ninstead of (${exitCode})\n${expected.join('\n')}\n\nthe server's output:\n${serverOutput.slice(-4000)}`,
    );
  }
}

/** Runs a command line with the README's ports mapped; what it printed has them mapped back. */
async function shell(command: string): Promise<{ code: number; printed: string }> {
  const env = {
    ...process.env,
    HOME: folder,
    PATH: `${folder}:${process.env.PATH}`,
    SORADNS_STORE: withPorts('http://127.0.0.1:4001'), // The default, which is not on its usual port here.
    NO_COLOR: '1',
  };
  const options = { cwd: folder, env, timeout: 30_000 };
  return new Promise((done) => {
    const args = ['-c', `exec 2>&1\n${withPorts(command)}`];
    execFile('bash', args, options, (error, stdout) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      done({ code, printed: withReadmePorts(stdout) });
    });
  });
}

function withPorts(text: string): string {
  return text.replace(/\b(5300|4001)\b/g, (port) => ports.get(port) ?? port);
}

function withReadmePorts(text: string): string {
  const readmePort = new Map([...ports].map(([readme, mapped]) => [mapped, readme]));
  return text.replace(/\b\d{4,5}\b/g, (port) => readmePort.get(port) ?? port);
}

/** `npm start` without the build, in an empty folder of its own. */
function startServer(): ChildProcess {
  assert.ok(existsSync(program), 'dist/ is not built: npm run build');
  const manifest = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'));
  const start: string = manifest.scripts.start;
  const args = withPorts(start.slice(start.indexOf('dist/main.js') + 'dist/main.js'.length));
  const http = args.includes('--http') ? '' : withPorts(' --http 127.0.0.1:4001');
  const words = `${args}${http}`.trim().split(/\s+/);
  const child = spawn(process.execPath, [program, ...words], {
    cwd: folder,
    env: { ...process.env, HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      serverOutput += chunk;
    });
  }
  return child;
}

async function ready(): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadline && server?.exitCode === null) {
    const response = await fetch(withPorts('http://127.0.0.1:4001/readyz')).catch(() => undefined);
    if (response?.status === 200) return;
    await sleep(50);
  }
  assert.fail(`the README's server did not become ready:\n${serverOutput}`);
}
