/**
 * Starts the measured programs in the foreground, each in its own process group and optionally pinned to cores, and reads
 * their CPU time and memory from /proc. No program outlives the benchmark.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { processSeconds } from './cpuClock.ts';

export const SERVER_CORE = 0;
export const GENERATOR_CORE = 1;

/** Whether processes can be pinned: the machine has two cores and taskset. */
export const pinning: boolean = availableParallelism() > 1 && isInstalled('taskset');

const STOP_TIMEOUT_MS = 5000;
const OUTPUT_KEPT = 8192;

export interface Running {
  readonly pid: number;
  /** User and kernel CPU time of the process and its descendants, in seconds. */
  cpuSeconds(): number;
  /** Resident memory of the process and its descendants. */
  rssBytes(): number;
  /** The end of its output. */
  output(): string;
  hasEnded(): boolean;
  stop(): Promise<void>;
}

const groups = new Set<number>();
process.on('exit', () => {
  for (const pid of groups) killGroup(pid, 'SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

export function isInstalled(command: string): boolean {
  return spawnSync('which', [command], { stdio: 'ignore' }).status === 0;
}

/** A core, or several as `0,1`; undefined: any. */
export type Cores = number | string | undefined;

/** The command line that runs the command on these cores only, where pinning is possible. */
export function pinned(
  [program, ...args]: readonly [program: string, ...args: string[]],
  cores: Cores,
): [program: string, args: string[]] {
  if (!pinning || cores === undefined) return [program, args];
  return ['taskset', ['-c', String(cores), program, ...args]];
}

/** Starts a program. It is killed at the end of the benchmark at the latest. */
export function start(
  command: readonly [program: string, ...args: string[]],
  options: { cwd: string; core?: Cores },
): Running {
  const child = spawn(...pinned(command, options.core), {
    cwd: options.cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`cannot start ${command.join(' ')}`);
  groups.add(pid);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk).slice(-OUTPUT_KEPT);
    });
  }
  return {
    pid,
    cpuSeconds: () => treeOf(pid).reduce((sum, each) => sum + each.cpuSeconds, 0),
    rssBytes: () => treeOf(pid).reduce((sum, each) => sum + each.rssBytes, 0),
    output: () => output,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    stop: () => stop(child, pid),
  };
}

async function stop(child: ChildProcess, pid: number): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit');
    child.kill('SIGTERM'); // Not its group: the program ends its own children.
    await Promise.race([exited, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })]);
  }
  killGroup(pid, 'SIGKILL');
  groups.delete(pid);
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has already ended.
  }
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const pageBytes = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));

interface Usage {
  readonly pid: number;
  readonly parent: number;
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

/** A process and its descendants. */
function treeOf(root: number): Usage[] {
  const all = readdirSync('/proc').map(Number).filter(Number.isInteger).flatMap(usageOf);
  const tree = all.filter(({ pid }) => pid === root);
  for (const node of tree) tree.push(...all.filter(({ parent }) => parent === node.pid));
  return tree;
}

/**
 * Reads /proc/PID/stat (proc(5)) from behind the command name, which may contain any character. CPU time in clock ticks is
 * too coarse for short runs, so the process's CPU clock is used where it can be read.
 */
function usageOf(pid: number): Usage[] {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return [];
  }
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [, parent = 0] = fields;
  const [user = 0, kernel = 0] = fields.slice(11, 13);
  const [pages = 0] = fields.slice(21, 22);
  return [
    {
      ...{ pid, parent, rssBytes: pages * pageBytes },
      cpuSeconds: processSeconds(pid) ?? (user + kernel) / ticksPerSecond,
    },
  ];
}
