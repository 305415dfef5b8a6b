/** `soradns` as a process that goes on until it is told to stop. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { childEnv, NODE_ARGUMENTS } from './cli.ts';
import { until } from './until.ts';

export interface CliProcess {
  readonly pid: number;
  readonly isRunning: boolean;
  stdout(): string;
  stderr(): string;
  /** The lines of its log so far. */
  lines(): readonly Readonly<Record<string, unknown>>[];
  /** Waits for a line of the log with this message and gives it. */
  logged(message: string): Promise<Readonly<Record<string, unknown>>>;
  /** Ends it; gives its exit code, `undefined` when the signal itself ended it. */
  end(signal?: NodeJS.Signals): Promise<number | undefined>;
}

/** Options of a server that takes free ports of this host, asks nobody, and ends as soon as it is told. */
export const ON_FREE_PORTS: readonly string[] = [
  ...['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0'],
  ...['--no-rec', '--lame-duck', '0'],
];

const START_TIMEOUT_MS = 30_000;

const running = new Set<() => void>();
process.on('exit', () => {
  for (const kill of running) kill();
});

export function startCli(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  program: readonly [string, ...string[]] = [process.execPath, ...NODE_ARGUMENTS],
): CliProcess {
  const [command, ...fixed] = program;
  const child = spawn(command, [...fixed, ...args], { env: childEnv(env) });
  const kill = () => void child.kill('SIGKILL');
  running.add(kill);
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
    });
  }
  const exited = once(child, 'close').then(([code]) => {
    running.delete(kill);
    return (code as number | null) ?? undefined;
  });
  const lines = () =>
    texts.stdout
      .split('\n')
      .slice(0, -1)
      .map((line): Record<string, unknown> => JSON.parse(line));
  const find = (message: string) => lines().find(({ msg }) => msg === message);
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid ?? 0,
    get isRunning() {
      return isRunning();
    },
    stdout: () => texts.stdout,
    stderr: () => texts.stderr,
    lines,
    async logged(message) {
      const isSaid = () => find(message) !== undefined || !isRunning();
      await until(`soradns ${args[0]} says "${message}"`, isSaid, START_TIMEOUT_MS);
      const line = find(message);
      if (line === undefined) throw new Error(`it ended: ${texts.stderr}${texts.stdout}`);
      return line;
    },
    end(signal = 'SIGINT') {
      child.kill(signal);
      return exited;
    },
  };
}
