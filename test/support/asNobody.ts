/** Programs that run as another user than root, as only root can have them do. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';

/** `nobody` on every Linux. */
export const NOBODY = 65534;

/** Why tests with other users cannot run here; undefined: they can. */
export const noOtherUsers: string | undefined =
  process.platform === 'linux' && process.getuid?.() === 0
    ? undefined
    : 'optional: only root on Linux can run programs as another user';

export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function startAs(uid: number, command: readonly string[]): ChildProcessWithoutNullStreams {
  const [program = '', ...args] = command;
  const env = { PATH: process.env.PATH };
  return spawn(program, args, { uid, gid: uid, cwd: '/', env });
}

export async function runAs(uid: number, ...command: readonly string[]): Promise<Said> {
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

/** What curl prints, then the status in a line of its own. */
export async function curlAs(uid: number, ...args: readonly string[]): Promise<string> {
  const { stdout, stderr, code } = await runAs(
    uid,
    ...['curl', '-sS', '-m', '10', '-w', '\n%{http_code}', ...args],
  );
  if (code !== 0) throw new Error(`curl ${args.join(' ')}: ${stderr}`);
  return stdout;
}
