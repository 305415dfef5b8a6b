/** `soradns` as a process that runs until a signal ends it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { childEnv, MAIN } from './cli.ts';
import { until } from './until.ts';

export interface CliProcess {
  readonly pid: number;
  readonly isRunning: boolean;
  stdout(): string;
  stderr(): string;
  /** The log lines so far. */
  lines(): readonly Readonly<Record<string, unknown>>[];
  /** Waits for a log line with this message; returns it. */
  logged(message: string): Promise<Readonly<Record<string, unknown>>>;
  /** Sends the signal and waits; returns the exit code, `undefined` when the signal itself ended the process. */
  end(signal?: NodeJS.Signals): Promise<number | undefined>;
}

/** Options of a server that uses free loopback ports, forwards nothing, and stops at once. */
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
  program: readonly [string, ...string[]] = [process.execPath, MAIN],
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
      const isLogged = () => find(message) !== undefined || !isRunning();
      await until(`soradns ${args[0]} logs "${message}"`, isLogged, START_TIMEOUT_MS);
      const line = find(message);
      if (line === undefined) throw new Error(`soradns exited: ${texts.stderr}${texts.stdout}`);
      return line;
    },
    end(signal = 'SIGINT') {
      child.kill(signal);
      return exited;
    },
  };
}
