/** Plays the sessions of the pages: runs their commands in a shell and compares what these print. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Block, type Example, examplesOf, matches } from './pages.ts';

/** Runs a command line and gives its exit code with what it printed, standard error included. */
export type Shell = (command: string) => Promise<{ code: number; printed: string }>;

export interface Retries {
  /** Commands that may be repeated until they print what is expected. */
  readonly of: RegExp;
  readonly timeoutMs: number;
}

/** A DNS answer follows a write, but not in the same instant. */
export const AFTER_A_WRITE: Retries = { of: /^dig /, timeoutMs: 5000 };

/** Plays a `console` block. `context`: what else to show when an example fails. */
export async function playSession(
  page: string,
  block: Block,
  shell: Shell,
  retries: Retries,
  context: () => string,
): Promise<void> {
  for (const example of examplesOf(block)) {
    const problem = await play(example, shell, retries);
    if (problem !== undefined) assert.fail(`${page}:${example.line}: ${problem}\n\n${context()}`);
  }
}

/** What is wrong with the example; undefined when its command prints what the page shows. */
async function play(
  { command, expected, exitCode }: Example,
  shell: Shell,
  retries: Retries,
): Promise<string | undefined> {
  const deadlineMs = performance.now() + (retries.of.test(command) ? retries.timeoutMs : 0);
  for (;;) {
    const { code, printed } = await shell(command);
    if (code === exitCode && matches(expected, printed)) return undefined;
    if (performance.now() >= deadlineMs) {
      return `${command}\nexits ${code} and prints\n${printed}\ninstead of (${exitCode})\n${expected.join('\n')}`;
    }
    await sleep(100);
  }
}

export interface ShellSetup {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  /** The command line that bash is run by; to run it elsewhere. */
  readonly onHost?: (...command: readonly string[]) => readonly [string, ...string[]];
  readonly timeoutMs: number;
}

/** docker-compose moves the cursor to write over its own lines, also where it does not write to a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are control characters.
const TERMINAL_CONTROLS = /\x1b\[[0-9;]*[A-Za-z]|\r/g;

export function shellIn({ folder, env, onHost, timeoutMs }: ShellSetup): Shell {
  return (command) =>
    new Promise((done) => {
      const line = ['bash', '-c', `exec 2>&1\ncd "${folder}"\n${command}`] as const;
      const [program, ...args] = onHost?.(...line) ?? line;
      execFile(program, args, { cwd: folder, env, timeout: timeoutMs }, (error, stdout) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        done({ code, printed: stdout.replaceAll(TERMINAL_CONTROLS, '') });
      });
    });
}
