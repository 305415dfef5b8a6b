/**
 * What a start of the command line costs: the CPU time of each client command and of the image's health check, as a
 * multiple of Node's own start. On this Node and, where the tests have installed it, on the image's Node.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached } from '../test/support/cache.mjs';
import { imageNode, packageName } from '../test/support/nodes.mjs';
import { DOMAIN } from './names.ts';
import { isInstalled } from './process.ts';
import { untilQuietMachine } from './quiet.ts';
import { program, type Soradns, startSoradns, untilReady } from './soradns.ts';
import { figure, markdown, median } from './table.ts';

const HEALTH = fileURLToPath(new URL('../dist/health.js', import.meta.url));
const NAMES = 10;
/** The runs of one command in a round, one after the other. */
const RUNS = 3;
const QUIET_MS = 10_000;

type CommandLine = readonly [program: string, ...args: string[]];

/** The first command is the one that the others are compared with. */
interface NodeLines {
  readonly node: string;
  readonly version: string;
  readonly lines: ReadonlyMap<string, CommandLine>;
}

const TARGETS: ReadonlyMap<string, number> = new Map([
  ['`soradns version`', 1.5],
  ['health check', 1.5],
  ['`soradns ls`', 2],
]);

export async function benchCli(options: { folder: string; rounds: number }): Promise<string> {
  const args = ['--no-rec', '--lame-duck', '0'];
  const server = await startSoradns({ store: 'memory:', cwd: options.folder, args });
  try {
    await untilReady(server);
    const store = `http://127.0.0.1:${server.httpPort}`;
    for (let i = 1; i <= NAMES; i++)
      run([process.execPath, program, 'set', nameOf(i), '--host', `10.0.0.${i}`, '--store', store]);
    const nodes = nodePaths().map((node) => linesOn(node, server));
    const dig: CommandLine = ['dig', '+short', nameOf(1), '@127.0.0.1', '-p', `${server.port}`];
    const others = new Map(isInstalled('dig') ? [['`dig +short`', dig]] : []);
    return await measure(nodes, others, options.rounds);
  } finally {
    await server.stop();
  }
}

function nameOf(i: number): string {
  return `${i}.rails.${DOMAIN}`;
}

/** This Node, and the image's if it is another one and installed. */
function nodePaths(): readonly string[] {
  const version = imageNode();
  const image = join(cached(`node-${version}`), 'node_modules', packageName(), 'bin/node');
  const isOther = process.versions.node !== version && existsSync(image);
  return isOther ? [process.execPath, image] : [process.execPath];
}

function linesOn(node: string, { pid, port, httpPort }: Soradns): NodeLines {
  const store = ['--store', `http://127.0.0.1:${httpPort}`];
  const lines: readonly (readonly [string, CommandLine])[] = [
    ['`node -e 0`', [node, '-e', '0']],
    ['`soradns version`', [node, program, 'version']],
    ['health check', [node, HEALTH, String(pid)]],
    ['`soradns ls`', [node, program, 'ls', ...store]],
    ['`soradns get`', [node, program, 'get', nameOf(1), ...store]],
    ['`soradns query`', [node, program, 'query', nameOf(1), `@127.0.0.1:${port}`]],
    ['`soradns set`', [node, program, 'set', nameOf(1), '--host', '10.0.0.1', ...store]],
    ['help of `ls`', [node, program, 'ls', '--help']],
    ['help', [node, program, '--help']],
  ];
  const version = run([node, '--version']).stdout.trim().slice(1);
  return { node, version, lines: new Map(lines) };
}

async function measure(
  nodes: readonly NodeLines[],
  others: ReadonlyMap<string, CommandLine>,
  rounds: number,
): Promise<string> {
  const samples = new Map<CommandLine, number[]>();
  const all = [...nodes.flatMap(({ lines }) => [...lines.values()]), ...others.values()];
  for (let round = 0; round < rounds; round++) {
    await untilQuietMachine(QUIET_MS);
    for (const line of all) samples.set(line, [...(samples.get(line) ?? []), cpuMs(line)]);
  }
  const of = (line: CommandLine | undefined) => (line && samples.get(line)) ?? [];
  const ratio = ({ lines }: NodeLines, name: string): number => {
    const own = of([...lines.values()][0]);
    return median(of(lines.get(name)).map((ms, i) => ms / (own[i] ?? Number.NaN)));
  };
  return [
    `## The command line\n`,
    costTable(nodes, others, of, ratio, rounds),
    '',
    targetTable(nodes, ratio),
  ].join('\n');
}

function costTable(
  nodes: readonly NodeLines[],
  others: ReadonlyMap<string, CommandLine>,
  of: (line: CommandLine | undefined) => readonly number[],
  ratio: (node: NodeLines, name: string) => number,
  rounds: number,
): string {
  const head = nodes.flatMap(({ version }) => [`Node ${version}, ms`, '÷ `node -e 0`']);
  const names = [...(nodes[0]?.lines.keys() ?? [])];
  const rows = names.map((name) => [
    name,
    ...nodes.flatMap((node) => [
      figure(median(of(node.lines.get(name))), 1),
      figure(ratio(node, name), 2),
    ]),
  ]);
  const more = [...others].map(([name, line]) => [
    name,
    figure(median(of(line)), 1),
    ...nodes.flatMap((_, i) => (i === 0 ? ['–'] : ['–', '–'])),
  ]);
  return markdown([[`CPU of a run, ${rounds} rounds of ${RUNS}`, ...head], ...rows, ...more]);
}

function targetTable(
  nodes: readonly NodeLines[],
  ratio: (node: NodeLines, name: string) => number,
): string {
  const rows = [...TARGETS].flatMap(([name, target]) =>
    nodes.map((node) => {
      const measured = ratio(node, name);
      const words = [`${name} ÷ \`node -e 0\`, Node ${node.version}`, `≤ ${figure(target, 1)}`];
      return [...words, figure(measured, 2), measured <= target ? 'met' : 'missed'];
    }),
  );
  return markdown([['ratio, median of the rounds', 'target', 'measured', ''], ...rows]);
}

/** User and kernel CPU milliseconds of a run, from the accounting of the shell that waits for it. */
function cpuMs(line: CommandLine): number {
  const script = `for i in $(seq ${RUNS}); do "$@" 2>/dev/null; done`;
  const timed = `TIMEFORMAT='cpu %3U %3S'; time { ${script}; }`;
  const { stderr } = run(['bash', '-c', timed, 'bash', ...line]);
  const [, user, kernel] = /^cpu ([0-9.]+) ([0-9.]+)$/m.exec(stderr) ?? [];
  const seconds = Number(user) + Number(kernel);
  if (!Number.isFinite(seconds)) throw new Error(`bash measured no time: ${stderr}`);
  return (seconds * 1000) / RUNS;
}

/** Runs a program that must succeed. */
function run([command, ...args]: CommandLine): { stdout: string; stderr: string } {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return { stdout, stderr };
  throw new Error(`${command} ${args.join(' ')}: ${error ?? stderr}`);
}
