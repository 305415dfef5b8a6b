/** Reads DNSSEC keys from the paths of `--dnssec`: base names of key files, or folders of them. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { nameKey, printName } from '../../dns/name.ts';
import { parseDnssecTime } from '../../dns/presentation/dnssecFields.ts';
import { parseKeyFile } from '../../sign/keyFile.ts';
import { type SigningKey, signingKeyOf } from '../../sign/signingKey.ts';
import { fileStamp } from '../../timing/fileStamp.ts';

const PAIR_ENDINGS = ['.key', '.private'];

/** A key, and the path of its files without their endings. */
export interface StoredKey {
  readonly path: string;
  readonly key: SigningKey;
}

export interface ReadKeys {
  readonly keys: readonly StoredKey[];
  /** One line each: keys that cannot be used. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

export function readKeys(paths: readonly string[]): ReadKeys {
  const keys: StoredKey[] = [];
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const path of paths) {
    const found = baseNamesAt(path);
    if (typeof found === 'string') {
      problems.push(found);
      continue;
    }
    for (const base of found) {
      const outcome = readKey(base);
      if ('problem' in outcome) {
        problems.push(`${base}: ${outcome.problem}`);
        continue;
      }
      if (outcome.warning !== undefined) warnings.push(`${base}: ${outcome.warning}`);
      if (keys.some((other) => isSameKey(other.key, outcome.key))) continue;
      keys.push({ path: base, key: outcome.key });
    }
  }
  return { keys, problems, warnings };
}

/** The keys of each zone, at least one, in the order of their first keys. */
export function byZone(keys: readonly StoredKey[]): readonly (readonly StoredKey[])[] {
  const zones = new Map<string, StoredKey[]>();
  for (const each of keys) {
    const name = nameKey(each.key.zone);
    const others = zones.get(name);
    if (others === undefined) zones.set(name, [each]);
    else others.push(each);
  }
  return [...zones.values()];
}

function isSameKey(a: SigningKey, b: SigningKey): boolean {
  return printName(a.zone) === printName(b.zone) && Buffer.compare(a.dnskey, b.dnskey) === 0;
}

/** The base names of the keys in a folder, or the path itself; a text if there are none. */
function baseNamesAt(path: string): readonly string[] | string {
  if (!isFolder(path)) return [path];
  try {
    const bases = readdirSync(path).flatMap((file) => {
      const base = /^(K.+\+\d{3}\+\d{5})\.private$/.exec(file)?.[1];
      return base === undefined ? [] : [join(path, base)];
    });
    return bases.length > 0
      ? bases.sort()
      : `${path}: the folder has no .private file of a key; see soradns dnssec keygen`;
  } catch (error) {
    return `${path}: ${reasonOf(error)}`;
  }
}

function readKey(
  base: string,
):
  | { readonly key: SigningKey; readonly warning?: string | undefined }
  | { readonly problem: string } {
  const texts: string[] = [];
  for (const ending of PAIR_ENDINGS) {
    try {
      texts.push(readFileSync(`${base}${ending}`, 'utf8'));
    } catch (error) {
      const reason = reasonOf(error);
      const isNothing =
        reason === 'ENOENT' && PAIR_ENDINGS.every((each) => !existsSync(`${base}${each}`));
      if (isNothing) return { problem: 'there is neither a folder nor a key of this name' };
      return { problem: `cannot read the ${ending} file (${reason})` };
    }
  }
  const [publicText = '', privateText = ''] = texts;
  const parsed = parseKeyFile(publicText, privateText);
  if (parsed.kind === 'refused') return { problem: parsed.reason };
  const made = signingKeyOf(parsed.file);
  if (made.kind === 'refused') return { problem: made.reason };
  const unsign = readUnsignDate(`${base}${UNSIGN_ENDING}`);
  if (typeof unsign === 'string') return { problem: unsign };
  const dates = { ...made.key.dates, ...(unsign === undefined ? {} : { Unsign: unsign }) };
  return { ...made, key: { ...made.key, dates } };
}

/** The file beside a key with the date from which its zone asks the parent to remove the DS. */
export const UNSIGN_ENDING = '.unsign';

function readUnsignDate(path: string): number | string | undefined {
  try {
    const date = parseDnssecTime(readFileSync(path, 'utf8').trim());
    return date ?? `the ${UNSIGN_ENDING} file has no date`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    return `cannot read the ${UNSIGN_ENDING} file (${reasonOf(error)})`;
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

const KEY_ENDINGS = [...PAIR_ENDINGS, UNSIGN_ENDING];

/** A text that changes when one of the files changes, so that they need not be read. */
export function keyFilesStamp(paths: readonly string[]): string {
  const files = paths.flatMap((path) => {
    const bases = baseNamesAt(path);
    if (typeof bases === 'string') return [path];
    return bases.flatMap((base) => KEY_ENDINGS.map((ending) => `${base}${ending}`));
  });
  return files.map((file) => `${file} ${fileStamp(file)}`).join('\n');
}

/** False too for a path that leads nowhere: reading the files of a key says why. */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
