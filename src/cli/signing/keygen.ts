/** `soradns dnssec keygen`: makes a key, in the two files of BIND's `dnssec-keygen`. */
import { createPrivateKey, type ED25519KeyPairOptions, generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readKeys } from '../../app/answering/keyFiles.ts';
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { equalNames, type Name } from '../../dns/name.ts';
import type { KeyDates } from '../../sign/keyDates.ts';
import {
  Algorithm,
  KeyFlags,
  keyFileName,
  printPrivateFile,
  printPublicFile,
} from '../../sign/keyFile.ts';
import { tagsOf } from '../../sign/rollover.ts';
import { dnskeyData, keyTag, type SigningKey } from '../../sign/signingKey.ts';
import { isActive } from '../../sign/zoneKeys.ts';
import { jsonLine } from '../output.ts';
import { folderOf, wantedKind, wordOf, writeKeyFile } from './keyFolder.ts';

/** The algorithms of new keys, by their words in options. */
export const MADE_ALGORITHMS = {
  ecdsap256sha256: Algorithm.ECDSAP256SHA256,
  ed25519: Algorithm.ED25519,
} as const;

export const DEFAULT_ALGORITHM = 'ecdsap256sha256';

const WORDS = Object.keys(MADE_ALGORITHMS) as readonly (keyof typeof MADE_ALGORITHMS)[];

/** The value of `--algorithm`. */
export function algorithmIn({ algorithm }: Arguments['flags']): number | undefined {
  const word = wordOf(algorithm, WORDS, 'algorithm');
  return word === undefined ? undefined : MADE_ALGORITHMS[word];
}

export function keygen(zone: Name, { flags }: Arguments, { stdout, stderr }: Io): number {
  const now = Math.floor(Date.now() / 1000);
  const keyFlags = wantedKind(flags) === 'zsk' ? KeyFlags.ZSK : KeyFlags.KSK;
  const folder = folderOf(flags);
  const replaced = replacedAtOnce(zone, keyFlags, folder, now);
  const { path, tag } = makeKey(folder, {
    zone,
    flags: keyFlags,
    algorithm: algorithmIn(flags) ?? MADE_ALGORITHMS[DEFAULT_ALGORITHM],
    dates: { Created: now, Publish: now, Activate: now },
  });
  stdout.write(flags.json ? `${jsonLine({ path, tag })}\n` : `${path}\n`);
  if (replaced.length > 0)
    stderr.write(
      `note: key ${tag} signs from now on what ${tagsOf(replaced)} signed; if a server has the folder already, caches that lack the new DNSKEY reject that: change Activate with dnssec-settime\n`,
    );
  return 0;
}

/** The time in which an operator makes all keys of a new domain. */
const SETUP_SECONDS = 3600;

/** The keys of the domain that have signed everything for a while, and do not once there is a key of the other kind. */
function replacedAtOnce(zone: Name, flags: number, folder: string, now: number): SigningKey[] {
  const own = readKeys([folder])
    .keys.map(({ key }) => key)
    .filter((key) => equalNames(key.zone, zone) && isActive(key, now));
  const isOtherKind = own.every((key) => key.flags !== flags);
  return isOtherKind ? own.filter((key) => isActive(key, now - SETUP_SECONDS)) : [];
}

export interface WantedKey {
  readonly zone: Name;
  readonly flags: number;
  readonly algorithm: number;
  readonly dates: KeyDates;
  /** The base name of a key whose files have the owner and the mode for the new ones. */
  readonly like?: string;
  /** Key tags that other keys of the zone have. */
  readonly taken?: readonly number[];
}

const MOST_ATTEMPTS = 100;

/** Makes a key and writes its files; returns their base name. */
export function makeKey(
  folder: string,
  { like, taken = [], ...wanted }: WantedKey,
): { readonly path: string; readonly tag: number } {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const { publicKey, secret } = newPair(wanted.algorithm);
    const key = { ...wanted, publicKey, secrets: new Map([['PrivateKey', secret]]) };
    const tag = keyTag(dnskeyData(key));
    const path = join(folder, keyFileName(key, tag));
    // Two keys with one tag are valid, but tools take one for the other.
    if (taken.includes(tag) || existsSync(`${path}.key`)) continue;
    // A folder's keys are those with a private file, which therefore comes last.
    writeKeyFile(`${path}.key`, printPublicFile(key, tag), like && `${like}.key`);
    writeKeyFile(`${path}.private`, printPrivateFile(key), like && `${like}.private`);
    return { path, tag };
  }
  throw new Failure('failure', `${folder}: every key tag is in use`);
}

const PKCS8 = { type: 'pkcs8', format: 'der' } as const;
const ENCODINGS: ED25519KeyPairOptions<'der', 'der'> = {
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: PKCS8,
};

/**
 * Node must not export the key object that it has generated: if the garbage collector then ends the generation, which
 * shares a lock with that object, the process hangs (Node 20). So the key is generated as octets, and read again.
 */
export function newPair(algorithm: number): { publicKey: Buffer; secret: Buffer } {
  const { privateKey } =
    algorithm === Algorithm.ED25519
      ? generateKeyPairSync('ed25519', ENCODINGS)
      : generateKeyPairSync('ec', { namedCurve: 'P-256', ...ENCODINGS });
  const key = createPrivateKey({ key: privateKey, ...PKCS8 });
  const { d = '', x = '', y = '' } = key.export({ format: 'jwk' });
  const octets = (base64: string): Buffer => Buffer.from(base64, 'base64url');
  return { publicKey: Buffer.concat([octets(x), octets(y)]), secret: octets(d) };
}
