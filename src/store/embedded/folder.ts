/** The folder of a store: made for us alone, and told of where others may get at it. */
import { access, chmod, constants, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Rejects, with the reason in its message, when it is not there and cannot be made. */
export async function makeFolder(dir: string): Promise<void> {
  try {
    await makeFolders(dir);
  } catch (error) {
    // The system would say that something is not there.
    throw (await isReadOnly(dirname(dir))) ? new Error('its volume is read-only') : error;
  }
}

/** With those above it. Node's own `recursive` tries for ever where a folder is there but takes none, as /proc. */
async function makeFolders(dir: string): Promise<void> {
  const made = await tryMake(dir);
  const parent = dirname(dir);
  if (made !== 'noParent') return;
  if (parent === dir) throw new Error(`there is no ${dir}`);
  await makeFolders(parent);
  if ((await tryMake(dir)) === 'noParent') throw new Error(`no folder can be made in ${parent}`);
}

async function tryMake(dir: string): Promise<'there' | 'noParent'> {
  try {
    await mkdir(dir, { mode: 0o700 });
    return 'there';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'noParent';
    if (code === 'EEXIST' && (await stat(dir)).isDirectory()) return 'there';
    throw error;
  }
}

/** Whether its file system takes no writes, whoever asks. */
export function isReadOnly(dir: string): Promise<boolean> {
  return access(dir, constants.W_OK).then(
    () => false,
    ({ code }: NodeJS.ErrnoException) => code === 'EROFS',
  );
}

/** What only its owner reads and writes. */
export const PRIVATE_FILE = 0o600;
const FILES = ['data.mdb', 'lock.mdb'];
const BY_GROUP = 0o020;
const BY_OTHERS = 0o002;

/** Takes away what others may do with files that an older version, or another umask, has left open to them. */
export async function closeFiles(dir: string): Promise<void> {
  for (const file of FILES) {
    const path = join(dir, file);
    const { mode } = (await stat(path).catch(() => undefined)) ?? { mode: 0 };
    // Of another owner's file we do not decide.
    if ((mode & 0o077) !== 0) await chmod(path, PRIVATE_FILE).catch(() => undefined);
  }
}

/** A line on others who may put another store in place of this one; undefined: nobody may. */
export async function exposureOf(dir: string): Promise<string | undefined> {
  const { mode, gid } = await stat(dir);
  const isOurGroup = gid === process.getegid?.() || process.getgroups?.().includes(gid) === true;
  const others =
    (mode & BY_OTHERS) !== 0
      ? 'every user of this host'
      : (mode & BY_GROUP) !== 0 && !isOurGroup
        ? `every user of the group ${gid}`
        : undefined;
  if (others === undefined) return undefined;
  return `${others} can replace the store, as ${dir} is writable for them: chmod 700 ${dir}`;
}
