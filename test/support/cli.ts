/** Runs the `soradns` command line: as a process, or in this process where only output and exit code matter. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Output } from '../../src/app/process/process.ts';
import { runCli } from '../../src/cli/cli.ts';
import { COMMAND_TABLE } from '../../src/cli/commands/commands.ts';
import type { TextFileReader } from '../../src/config/settings.ts';

export interface CliResult {
  /** The exit code; `undefined` when a signal ended the process. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program that test/run.mjs has built. A start from source would take three times as long. */
export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

type Env = Readonly<Record<string, string>>;

/**
 * The environment of every run, without the caller's variables. A server gets no worker threads by default, because
 * each takes a while to start.
 */
export function childEnv(env: Env = {}): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: '/nonexistent', SORADNS_WORKERS: '0', ...env };
}

/** Runs a command as a process for at most 30 s. */
export function spawnCli(
  args: readonly string[],
  env: Env = {},
  program: readonly [string, ...string[]] = [process.execPath, MAIN],
): Promise<CliResult> {
  const [command, ...fixed] = program;
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...fixed, ...args], {
      env: childEnv(env),
      timeout: 30_000,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? undefined, stdout, stderr }));
  });
}

export interface CallOptions {
  readonly env?: Env;
  readonly isTty?: boolean;
  readonly readFile?: TextFileReader;
  readonly stop?: AbortSignal;
}

/** Runs a command in this process. */
export async function callCli(
  args: readonly string[],
  options: CallOptions = {},
): Promise<CliResult> {
  const texts = { stdout: '', stderr: '' };
  const output = (name: keyof typeof texts): Output => ({
    isTty: options.isTty ?? false,
    colour: false,
    write: (text) => {
      texts[name] += text;
    },
  });
  const code = await runCli(COMMAND_TABLE, args, {
    stdout: output('stdout'),
    stderr: output('stderr'),
    env: options.env ?? {},
    readFile: options.readFile ?? (() => ({ problem: 'ENOENT' })),
    stateDirectory: '/nonexistent',
    stop: options.stop ?? new AbortController().signal,
    handleSignals: () => {},
    onReload: () => {},
    outliveReaders: () => {},
  });
  return { code, ...texts };
}
