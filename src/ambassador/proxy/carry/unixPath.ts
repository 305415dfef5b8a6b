/**
 * Listens at the path of a Unix socket, and removes nothing there but what no process uses: a socket file that nothing
 * listens on, and at the end its own.
 *
 * The socket is bound under a temporary name in the same folder. A link then gives it its path, which fails if the path
 * exists, and only when it accepts connections and has its mode. libuv removes the name that it bound when it closes a
 * socket, even if another program's file has that name by then; it never learns the path.
 */
import { chmod, link, lstat, unlink } from 'node:fs/promises';
import net from 'node:net';
import { dirname, join } from 'node:path';

export type PathOutcome<S> =
  | { readonly kind: 'listening'; readonly socket: S; readonly remove: () => Promise<void> }
  /** A process listens there. */
  | { readonly kind: 'taken' }
  /** The path is not a socket's. */
  | { readonly kind: 'occupied' }
  | { readonly kind: 'failed'; readonly reason: string };

/** `sun_path` has 108 octets with its NUL (unix(7)), and older libuv cuts a longer path. */
const MAX_PATH_OCTETS = 107;
/** As with a port, everybody who can reach it may connect; the folder's mode decides who can. */
const MODE = 0o666;

let names = 0;

/** `bind` listens at a path; `close` closes that socket again. */
export async function listenAtPath<S>(
  path: string,
  bind: (path: string) => Promise<S>,
  close: (socket: S) => Promise<void>,
): Promise<PathOutcome<S>> {
  names += 1;
  const temporary = join(dirname(path), `.${process.pid.toString(36)}-${names.toString(36)}`);
  if (Math.max(Buffer.byteLength(path), Buffer.byteLength(temporary)) > MAX_PATH_OCTETS)
    return { kind: 'failed', reason: `the path is longer than ${MAX_PATH_OCTETS} octets` };
  let socket: S | undefined;
  try {
    const found = await removeUnused(path);
    if (found !== 'free') return { kind: found };
    await removeUnused(temporary); // of a process that had our id and was killed
    socket = await bind(temporary);
    await chmod(temporary, MODE);
    const { dev, ino } = await lstat(temporary);
    await link(temporary, path);
    await unlink(temporary);
    const remove = async (): Promise<void> => {
      const there = await lstat(path).catch(() => undefined);
      if (there?.dev === dev && there.ino === ino) await unlink(path);
    };
    return { kind: 'listening', socket, remove };
  } catch (error) {
    if (socket !== undefined) await close(socket);
    await unlink(temporary).catch(ignoreMissing); // libuv removes it when it closes the socket
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'EEXIST' ? { kind: 'taken' } : { kind: 'failed', reason: message };
  }
}

async function removeUnused(path: string): Promise<'free' | 'taken' | 'occupied'> {
  const before = await lstat(path).catch(ignoreMissing);
  if (before === undefined) return 'free';
  if (!before.isSocket()) return 'occupied';
  if (await isInUse(path)) return 'taken';
  const now = await lstat(path).catch(ignoreMissing);
  if (now === undefined) return 'free';
  if (now.ino !== before.ino || now.dev !== before.dev) return 'taken';
  await unlink(path);
  return 'free';
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}

/** Whether a process listens on the socket: a connection to an unused one is refused. */
function isInUse(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect({ path });
    probe.on('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED'));
  });
}
