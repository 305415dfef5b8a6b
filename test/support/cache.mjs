/** A cache of programs that take minutes to get. All checkouts on a machine share it, and it is safe to delete. */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const FOLDER = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'soradns-tests');

/** The path of a cached folder, whose name gives its content and version. */
export function cached(name) {
  return join(FOLDER, name);
}

/**
 * Fills a cached folder. `fill` writes into an empty temporary folder, which is renamed when `fill` is done, so that
 * other processes never see a part of it. Throws what `fill` throws.
 */
export function fillCached(name, fill) {
  mkdirSync(FOLDER, { recursive: true });
  const folder = mkdtempSync(`${cached(name)}.`);
  try {
    fill(folder);
    moveTo(folder, cached(name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function moveTo(folder, path) {
  try {
    renameSync(folder, path);
  } catch (error) {
    // Another run has filled it meanwhile.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  }
}
