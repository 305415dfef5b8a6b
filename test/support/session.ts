/** Runs the commands of the sessions in the pages in a shell, and compares what the commands print. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Block, type Example, examplesOf, matches } from './pages.ts';

/** Runs a command line; returns its exit code and its output, including standard error. */
export type Shell = (command: string) => Promise<{ code: number; printed: string }>;

export interface Retries {
  /** Commands that may be repeated until they print what is expected. */
  readonly of: RegExp;
  readonly timeoutMs: number;
}

/** A DNS answer follows a write after a moment. */
export const AFTER_A_WRITE: Retries = { of: /^dig /, timeoutMs: 5000 };

/** Runs a `console` block. `context` returns more text for the message when an example fails. */
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

/** The fault of the example; undefined when its command prints what the page shows. */
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
  /** Returns the command line that runs bash on another host. */
  readonly onHost?: (...command: readonly string[]) => readonly [string, ...string[]];
  readonly timeoutMs: number;
}

/** docker-compose moves the cursor to overwrite its own lines, even where it does not write to a terminal. */
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
