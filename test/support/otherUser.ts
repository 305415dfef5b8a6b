/** Runs programs as another user; only root can do this. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Uid of `nobody` on every Linux. */
export const NOBODY = 65534;

/** The reason to skip tests with other users; undefined where they can run. */
export const noOtherUsers: string | undefined =
  process.platform === 'linux' && process.getuid?.() === 0
    ? undefined
    : 'optional: only root on Linux can run programs as another user';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function startAs(uid: number, command: readonly string[]): ChildProcessWithoutNullStreams {
  const [program = '', ...args] = command;
  const env = { PATH: process.env.PATH };
  return spawn(program, args, { uid, gid: uid, cwd: '/', env });
}

export async function runAs(uid: number, ...command: readonly string[]): Promise<CommandResult> {
  const child = startAs(uid, command);
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
    });
  }
  child.stdin.end();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...texts };
}

let nodePath: Promise<string> | undefined;

/**
 * Path of a Node that every user can run: a temporary copy where this one is in a closed folder such as root's home.
 */
export function nodeForAll(): Promise<string> {
  nodePath ??= findNodeForAll();
  return nodePath;
}

async function findNodeForAll(): Promise<string> {
  const result = await runAs(NOBODY, process.execPath, '--version').catch(() => undefined);
  if (result?.code === 0) return process.execPath;
  const folder = mkdtempSync(join(tmpdir(), 'soradns-node-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const copy = join(folder, 'node');
  copyFileSync(process.execPath, copy);
  chmodSync(copy, 0o755);
  return copy;
}

/** Returns curl's output, followed by a line with the status. */
export async function curlAs(uid: number, ...args: readonly string[]): Promise<string> {
  const { stdout, stderr, code } = await runAs(
    uid,
    ...['curl', '-sS', '-m', '10', '-w', '\n%{http_code}', ...args],
  );
  if (code !== 0) throw new Error(`curl ${args.join(' ')}: ${stderr}`);
  return stdout;
}
