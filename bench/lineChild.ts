/** A program of the benchmark as a child process: one line of JSON in, one line of JSON out, until its input ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Cores, pinned } from './process.ts';

export interface LineChild<Request, Answer> {
  /** Requests are handled in order. Rejects with the child's error. */
  request(request: Request): Promise<Answer>;
  close(): Promise<void>;
}

/** Starts a program of this folder. It ends with the benchmark at the latest. */
export function startLineChild<Request, Answer>(
  program: string,
  cores: Cores,
): LineChild<Request, Answer> {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const command = pinned([process.execPath, '--import', 'tsx', path], cores);
  const child = spawn(...command, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (request: Request): Promise<Answer> => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${program} exited`);
    const { answer, error } = JSON.parse(value) as { answer: Answer; error?: string };
    if (error !== undefined) throw new Error(`${program}: ${error}`);
    return answer;
  };
  let last: Promise<unknown> = Promise.resolve();
  return {
    request: (request) => {
      const result = last.then(() => ask(request));
      last = result.catch(() => undefined);
      return result;
    },
    close: () => end(child),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.stdin?.end();
  await exited;
}

/** The child's side: answers each line of standard input. */
export async function serveLines<Request, Answer>(
  answer: (request: Request) => Answer | Promise<Answer>,
): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const reply = await answerTo(() => answer(JSON.parse(line) as Request));
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}

async function answerTo(answer: () => unknown): Promise<unknown> {
  try {
    return { answer: await answer() };
  } catch (error) {
    return { error: String(error) };
  }
}
