/**
 * The directory of a store: created for its owner alone, checked for free space, and reported if other users can write
 * to it.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { access, chmod, constants, mkdir, open, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The mode of a file that only its owner reads and writes. */
export const PRIVATE_FILE = 0o600;
const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';
const FILES = [DATA_FILE, LOCK_FILE];
/** lmdb's files take about 48 KiB before the first key is in them. */
const FIRST_OCTETS = 64 * 1024;
/** A smaller data.mdb has its meta pages at most, and the first transaction still needs space. */
const LEAST_DATA_OCTETS = 16 * 1024;
const BLOCK_OCTETS = 64 * 1024;
const BY_GROUP = 0o020;
const BY_OTHERS = 0o002;

/** Rejects with the reason if the directory does not exist and cannot be created. */
export async function makeFolder(dir: string): Promise<void> {
  try {
    await makeFolders(dir);
  } catch (error) {
    // The system's own message would be that the directory does not exist.
    throw (await isReadOnly(dirname(dir))) ? new Error('its volume is read-only') : error;
  }
}

/**
 * Creates the directory and the directories above it. Node's `recursive` retries for ever if a directory exists but
 * accepts no new ones, such as /proc.
 */
async function makeFolders(dir: string): Promise<void> {
  const made = await tryMake(dir);
  const parent = dirname(dir);
  if (made !== 'noParent') return;
  if (parent === dir) throw new Error(`${dir} does not exist`);
  await makeFolders(parent);
  if ((await tryMake(dir)) === 'noParent') throw new Error(`no folder can be made in ${parent}`);
}

async function tryMake(dir: string): Promise<'exists' | 'noParent'> {
  try {
    await mkdir(dir, { mode: 0o700 });
    return 'exists';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'noParent';
    if (code === 'EEXIST' && (await stat(dir)).isDirectory()) return 'exists';
    throw error;
  }
}

/** Whether the directory's file system is read-only for every user. */
export function isReadOnly(dir: string): Promise<boolean> {
  return access(dir, constants.W_OK).then(
    () => false,
    ({ code }: NodeJS.ErrnoException) => code === 'EROFS',
  );
}

/** Removes the permissions of other users on files that an older version, or another umask, made accessible. */
export async function restrictFiles(dir: string): Promise<void> {
  for (const file of FILES) {
    const path = join(dir, file);
    const { mode } = (await stat(path).catch(() => undefined)) ?? { mode: 0 };
    // The process may not change the mode of another user's file; such a failure is ignored.
    if ((mode & 0o077) !== 0) await chmod(path, PRIVATE_FILE).catch(() => undefined);
  }
}

/**
 * Rejects when lmdb would create a file and the disk has no space for it: lmdb would end the process (SIGBUS, SIGSEGV).
 * A store whose files exist opens without more space.
 */
export async function assertRoomToOpen(dir: string): Promise<void> {
  const [data, lock] = [join(dir, DATA_FILE), join(dir, LOCK_FILE)];
  const areMade = (await isOnDisk(data, LEAST_DATA_OCTETS)) && (await isOnDisk(lock, 1));
  if (!areMade) await assertRoom(dir, FIRST_OCTETS);
}

/** After a kill a file may have a size without blocks on the disk. */
async function isOnDisk(path: string, leastOctets: number): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return found !== undefined && found.size >= leastOctets && found.blocks > 0;
}

/** Rejects when a file of this size cannot be written. Quotas and reserved blocks show only when a file is written. */
export async function assertRoom(dir: string, octets: number): Promise<void> {
  const path = join(dir, `.room-${randomUUID()}`);
  try {
    const file = await open(path, 'wx', PRIVATE_FILE);
    try {
      // Unlinked at once, so that a kill leaves no file.
      await unlink(path);
      const block = randomBytes(BLOCK_OCTETS); // no file system can compress random octets
      for (let at = 0; at < octets; at += BLOCK_OCTETS) await file.appendFile(block);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    const reason = diskFullReason(error);
    if (reason === undefined) throw error;
    const kibibytes = Math.ceil(octets / BLOCK_OCTETS) * (BLOCK_OCTETS / 1024);
    throw new Error(`${reason}, and the store needs ${kibibytes} KiB of free space`, {
      cause: error,
    });
  }
}

/** The reason in one line, whether the system, a quota or lmdb caused the error. */
export function plainReason(error: unknown): string {
  const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  return diskFullReason(error) ?? reason;
}

/** Node reports a full disk by the error's code, lmdb by the system's message. Undefined for any other error. */
function diskFullReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || message.startsWith('No space left')) return 'the disk is full';
  if (code === 'EDQUOT' || message.startsWith('Disk quota')) return 'the disk quota is used up';
  return undefined;
}

/** A warning if other users can replace the store; undefined if they cannot. */
export async function exposureWarning(dir: string): Promise<string | undefined> {
  const { mode, gid } = await stat(dir);
  const isOurGroup = gid === process.getegid?.() || process.getgroups?.().includes(gid) === true;
  const others =
    (mode & BY_OTHERS) !== 0
      ? 'every user of this host'
      : (mode & BY_GROUP) !== 0 && !isOurGroup
        ? `every user of the group ${gid}`
        : undefined;
  if (others === undefined) return undefined;
  return `${others} can replace the store, because ${dir} is writable for them: chmod 700 ${dir}`;
}
