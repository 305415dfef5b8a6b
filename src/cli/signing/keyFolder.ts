/** The files of the keys of one domain in a folder: reads them, and writes each of them atomically. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readKeys, type StoredKey } from '../../app/answering/keyFiles.ts';
import { Failure } from '../../app/process/failure.ts';
import type { Arguments, FlagValue } from '../../config/settings.ts';
import { equalNames, type Name, printName } from '../../dns/name.ts';
import type { KeyDates } from '../../sign/keyDates.ts';
import { withDates } from '../../sign/keyFile.ts';

export function folderOf({ keys }: Arguments['flags']): string {
  return typeof keys === 'string' ? keys : '.';
}

/** The keys of all domains in the folder. Throws a `Failure` if one of them cannot be used. */
export function keysInFolder(flags: Arguments['flags']): readonly StoredKey[] {
  const { keys, problems } = readKeys([folderOf(flags)]);
  if (problems.length > 0) throw new Failure('failure', problems.join('; '));
  return keys;
}

/** The domain's keys, at least one. */
export function keysOfDomain(zone: Name, flags: Arguments['flags']): readonly StoredKey[] {
  const own = keysInFolder(flags).filter(({ key }) => equalNames(key.zone, zone));
  if (own.length === 0)
    throw new Failure('not_found', `${folderOf(flags)} has no key of ${printName(zone)}`);
  return own;
}

/** Sets dates of a key in both of its files. */
export function writeDates(path: string, dates: KeyDates): void {
  const [publicPath, privatePath] = [`${path}.key`, `${path}.private`];
  const texts = {
    publicText: readFileSync(publicPath, 'utf8'),
    privateText: readFileSync(privatePath, 'utf8'),
  };
  const { publicText, privateText } = withDates(texts, dates);
  // The dates that count are in the private file.
  writeKeyFile(privatePath, privateText, privatePath);
  writeKeyFile(publicPath, publicText, publicPath);
}

/**
 * Writes a file in one step, so that a server that reads the folder sees the old one or the new one. It gets the owner
 * and the mode of `like`, since the server may run as another user; without that only the owner may read it.
 */
export function writeKeyFile(path: string, text: string, like?: string): void {
  const temporary = join(dirname(path), `.${basename(path)}-${process.pid}`);
  try {
    mkdirSync(dirname(path), { recursive: true });
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      if (like !== undefined) adopt(fd, like);
      writeFileSync(fd, text); // `writeSync` may write only a part
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new Failure('failure', `${path}: ${(error as Error).message}`);
  }
}

function adopt(fd: number, like: string): void {
  const { uid, gid, mode } = statSync(like);
  fchmodSync(fd, mode & 0o777);
  if (process.getuid?.() === 0) fchownSync(fd, uid, gid);
}

/** The only one of these switches that is given; undefined without any. */
export function wantedKind(flags: Arguments['flags']): 'ksk' | 'zsk' | 'csk' | undefined {
  const given = (['ksk', 'zsk', 'csk'] as const).filter((kind) => flags[kind] === true);
  if (given.length > 1)
    throw new Failure(
      'usage',
      `${given.map((kind) => `--${kind}`).join(' and ')} exclude each other`,
    );
  return given[0];
}

/** The value of an option that takes one of these words. */
export function wordOf<Word extends string>(
  flag: FlagValue | undefined,
  words: readonly Word[],
  option: string,
): Word | undefined {
  if (flag === undefined) return undefined;
  const word = words.find((each) => each === flag);
  if (word !== undefined) return word;
  throw new Failure('usage', `--${option}: ${JSON.stringify(flag)} is not ${words.join(' or ')}`);
}
