/**
 * The pages of documentation: every block says how it is tested, every session prints what the page shows, options and
 * links exist. The sessions run against one server, which is started as `npm start` does; each page finds it empty.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import test, { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { COMMANDS } from '../support/commands.ts';
import { freePort } from '../support/freePort.ts';
import {
  allPages,
  anchorsOf,
  type Block,
  blocksOf,
  examplesOf,
  HOSTS,
  linksOf,
  optionsOf,
} from '../support/pages.ts';
import { AFTER_A_WRITE, playSession, type Shell, shellIn } from '../support/session.ts';
import { projectRoot } from './sources.ts';

const READY_TIMEOUT_MS = 30_000;
const COMMAND_TIMEOUT_MS = 30_000;
const MAX_README_BYTES = 9 * 1024;
const README_HEADINGS = [
  ...['Why', 'Try it in a minute', 'Two hosts', 'Linking', 'Compared with others'],
  ...['When not to use it', 'When a name is not found', 'Links'],
];
/** Blocks that no test runs. */
const MAX_UNRUN = 4;

const pages = allPages().map((page) => ({ ...page, blocks: blocksOf(page.text) }));
const readme = pages.find(({ path }) => path === 'README.md')?.text ?? '';
const program = join(projectRoot, 'dist/main.js');

/** Port in the pages -> port in this run. */
const ports = new Map<string, string>();
const folder = mkdtempSync(join(tmpdir(), 'soradns-docs-'));
let server: ChildProcess | undefined;
let serverOutput = '';
let run: Shell;

before(async () => {
  for (const port of ['5300', '5301', '4001', '4002']) ports.set(port, String(await freePort()));
  writeFileSync(
    join(folder, 'soradns'),
    `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`,
  );
  chmodSync(join(folder, 'soradns'), 0o755);
  run = shellIn({ folder, env: pageEnv(), timeoutMs: COMMAND_TIMEOUT_MS });
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

test('The README begins with the two commands that set soradns up, shows its main use, and fits into 9 KB', () => {
  const [start, tests] = blocksOf(readme).filter(({ language }) => language !== 'text');
  assert.equal(start?.text, 'npm ci && npm start\n');
  assert.equal(tests?.text, 'npm ci && npm test\n');
  const sessions = blocksOf(readme).filter(({ language }) => language === 'console');
  const commands = sessions.flatMap(examplesOf).map(({ command }) => command);
  for (const wanted of [/^curl .*-XPUT/, /^dig .*SRV/, /^soradns /])
    assert.ok(
      commands.some((command) => wanted.test(command)),
      String(wanted),
    );
  const headings = [...readme.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  assert.deepEqual(headings, README_HEADINGS);
  assert.ok(Buffer.byteLength(readme) <= MAX_README_BYTES, `${Buffer.byteLength(readme)} bytes`);
});

test('Every block of every page says how it is tested', () => {
  const faults = pages.flatMap(({ path, blocks }) =>
    blocks.flatMap((block) => {
      const fault = faultOf(block);
      return fault === undefined ? [] : [`${path}:${block.line}: ${fault}`];
    }),
  );
  assert.deepEqual(faults, []);
});

/** What is wrong with the words behind a block's language. */
function faultOf({ language, attributes, text }: Block): string | undefined {
  if (language === 'text') return undefined;
  const on = attributes.get('on');
  const isHost = on !== undefined && HOSTS.includes(on);
  if (language === 'console') {
    return on === undefined || isHost ? undefined : `there is no host ${on}`;
  }
  const isStarted = attributes.has('background') && (isHost || on === undefined);
  if (attributes.has('file') || isStarted) return undefined;
  const by = attributes.get('test');
  if (by !== undefined) {
    const isSetUp =
      by === 'test/meta/docs.test.ts' && /^npm ci && npm (?:start|test)\n$/.test(text);
    return isSetUp || isRunBy(by, text) ? undefined : `${by} names no page with this block`;
  }
  return attributes.has('unrun') ? undefined : `no test runs this ${language || 'plain'} block`;
}

/** Whether the test runs the blocks under a heading with this block. Another page may repeat the block. */
function isRunBy(test: string, text: string): boolean {
  const file = join(projectRoot, test);
  const code = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return pages.some(({ path, blocks }) =>
    blocks.some(
      (block) => block.text === text && code.includes(`shellBlocks('${path}', '${block.heading}'`),
    ),
  );
}

test('Only a few blocks are not run, each for a reason', () => {
  const reasons = pages.flatMap(({ path, blocks }) =>
    blocks.flatMap(({ attributes, line }) => {
      const reason = attributes.get('unrun');
      return reason === undefined ? [] : [`${path}:${line}: ${reason}`];
    }),
  );
  assert.ok(reasons.every((reason) => /: \S+ \S+/.test(reason)));
  assert.ok(reasons.length <= MAX_UNRUN, reasons.join('\n'));
});

for (const { path, blocks } of pages) {
  const here = blocks.filter(({ attributes }) => attributes.get('on') === undefined);
  if (!here.some(({ language }) => language === 'console')) continue;
  test(`Every session of ${path} prints what the page shows`, async () => {
    await run('soradns rm -rq local');
    const started: ChildProcess[] = [];
    try {
      for (const block of here) {
        const file = block.attributes.get('file');
        if (file !== undefined) writeFileSync(join(folder, file), block.text);
        if (block.attributes.has('background')) started.push(startBlock(block));
        if (block.language === 'console')
          await playSession(path, block, shell, AFTER_A_WRITE, recentOutput);
      }
    } finally {
      for (const { pid } of started) if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    }
  });
}

test('Every option that a page gives to a command is one of that command', () => {
  const uses = optionsOf(pages.map(({ text }) => text).join('\n'));
  assert.ok(uses.size > 5);
  for (const [name, options] of uses) {
    if (options.size === 0) continue; // perhaps a sentence: "soradns is a server"
    const command = COMMANDS.find((each) => each.name === name);
    assert.ok(command, `there is no command ${name}`);
    const shown = command.options.filter(({ hidden }) => hidden !== true).map((each) => each.name);
    for (const option of options) {
      const isKnown = [option.slice(2), option.replace('--no-', '')].some((each) =>
        shown.includes(each),
      );
      assert.ok(isKnown, `soradns ${name} has no ${option}`);
    }
  }
});

test('No page gives a switch its value behind a blank, and the page about commands has each command', () => {
  const switches = COMMANDS.flatMap(({ options }) => options).filter(
    ({ form }) => form === 'switch',
  );
  const names = new Set(switches.map(({ name }) => name));
  const faults = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/--([a-z][a-z-]*) (?:true|false)\b/g)].flatMap(([found, name = '']) =>
      names.has(name) ? [`${path}: ${found}`] : [],
    ),
  );
  assert.deepEqual(faults, []);
  const table = pages.find(({ path }) => path === 'docs/commands.md')?.text ?? '';
  for (const { name } of COMMANDS)
    assert.match(table, new RegExp(`^\\|.*\`(soradns )?${name}\\b`, 'm'), name);
});

test('Every link between the pages leads to a file and a heading that exist', () => {
  const broken = pages.flatMap(({ path, text }) =>
    linksOf(text).flatMap((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : posix.join(dirname(path), file);
      if (!existsSync(join(projectRoot, target))) return [`${path}: ${link}: no such file`];
      const there = anchor === undefined ? '' : readFileSync(join(projectRoot, target), 'utf8');
      const isThere = anchor === undefined || anchorsOf(there).has(anchor);
      return isThere ? [] : [`${path}: ${link}: no such heading`];
    }),
  );
  assert.deepEqual(broken, []);
});

test('Every page of docs/ is linked from the README', () => {
  const linked = linksOf(readme).map((link) => link.split('#')[0]);
  const missing = pages.filter(({ path }) => path.startsWith('docs/') && !linked.includes(path));
  assert.deepEqual(
    missing.map(({ path }) => path),
    [],
  );
});

function pageEnv(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    HOME: folder,
    PATH: `${folder}:${process.env.PATH}`,
    SORADNS_STORE: withPorts('http://127.0.0.1:4001'), // The default, which is not on its usual port here.
    NO_COLOR: '1',
  };
}

/** Starts the commands of a block in a process group, which the caller ends. */
function startBlock({ text }: Block): ChildProcess {
  const options = { cwd: folder, env: pageEnv(), detached: true } as const;
  return spawn('bash', ['-c', withPorts(text)], { ...options, stdio: 'ignore' });
}

/** Runs a command line with the pages' ports mapped; what it printed has them mapped back. */
const shell: Shell = async (command) => {
  const { code, printed } = await run(withPorts(command));
  const original = new Map([...ports].map(([inPages, mapped]) => [mapped, inPages]));
  return { code, printed: printed.replace(/\b\d{4,5}\b/g, (port) => original.get(port) ?? port) };
};

function withPorts(text: string): string {
  return text.replace(/\b(530[01]|400[12])\b/g, (port) => ports.get(port) ?? port);
}

function recentOutput(): string {
  return `The server's output:\n${serverOutput.slice(-4000)}`;
}

/** Runs `npm start` without the build, in a new empty folder. */
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
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadlineMs && server?.exitCode === null) {
    const response = await fetch(withPorts('http://127.0.0.1:4001/readyz')).catch(() => undefined);
    if (response?.status === 200) return;
    await sleep(50);
  }
  assert.fail(`the server of the pages did not become ready:\n${serverOutput}`);
}
