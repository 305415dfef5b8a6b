/** Where the tests keep what costs minutes to get: shared by all checkouts on a machine, and safe to delete. */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const FOLDER = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'soradns-tests');

/** The path of a cached folder; the name says what is in it, and which version of it. */
export function cached(name) {
  return join(FOLDER, name);
}

/**
 * Fills a cached folder. `fill` gets an empty folder, which takes its place only when `fill` has ended: others never
 * see a part of it. Throws what `fill` throws.
 */
export function fillCached(name, fill) {
  mkdirSync(FOLDER, { recursive: true });
  const folder = mkdtempSync(`${cached(name)}.`);
  try {
    fill(folder);
    putInPlace(folder, cached(name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function putInPlace(folder, place) {
  try {
    renameSync(folder, place);
  } catch (error) {
    // Another run was faster.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  }
}
