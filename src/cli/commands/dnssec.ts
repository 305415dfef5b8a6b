/** `soradns dnssec`: makes the keys of a domain, and prints the records that its parent needs. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readKeys } from '../../app/answering/keyFiles.ts';
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import { parseDomain } from '../../config/options/valueForms.ts';
import type { Arguments, FlagValue } from '../../config/settings.ts';
import { equalNames, type Name, printName } from '../../dns/name.ts';
import { DIGESTS, type Digest, printDnskey, printDs } from '../../sign/delegation.ts';
import {
  Algorithm,
  KeyFlags,
  keyFileName,
  printPrivateFile,
  printPublicFile,
} from '../../sign/keyFile.ts';
import { dnskeyData, keyTag } from '../../sign/signingKey.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine } from '../output.ts';

const ALGORITHMS = { ecdsap256sha256: 'ECDSAP256SHA256', ed25519: 'ED25519' } as const;

export const dnssecCommand: Command = {
  name: 'dnssec',
  summary: 'Make the keys of a signed domain, or print its DS records',
  positionals: [
    {
      name: 'action',
      describe:
        'keygen: make a key, and print the base name of its files; ds: print the DS and DNSKEY records of the keys in FOLDER',
      required: true,
      choices: ['keygen', 'ds'],
    },
    { name: 'domain', describe: 'the signed domain', required: true },
  ],
  options: [
    {
      name: 'keys',
      form: 'text',
      placeholder: 'FOLDER',
      describe: 'folder of the keys',
      defaultText: '.',
    },
    {
      name: 'algorithm',
      form: 'text',
      placeholder: 'NAME',
      describe: 'for keygen',
      choices: Object.keys(ALGORITHMS),
      defaultText: 'ecdsap256sha256',
    },
    {
      name: 'zsk',
      form: 'switch',
      describe:
        'for keygen: a key that signs everything but the keys; without it a KSK, which alone signs everything',
    },
    {
      name: 'digest',
      form: 'text',
      placeholder: 'NAME',
      describe: 'for ds',
      choices: Object.keys(DIGESTS),
      defaultText: 'sha256',
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    [
      'soradns dnssec keygen skydns.local --keys /etc/soradns/keys',
      'make a key that signs everything',
    ],
    ['soradns dnssec ds skydns.local --keys /etc/soradns/keys', 'print what the parent needs'],
  ],
  async run(args, io) {
    const [action, text = ''] = args.words;
    const domain = parseDomain(text);
    if (domain === undefined)
      throw new Failure('usage', `${JSON.stringify(text)} is not a domain name`);
    return action === 'keygen' ? keygen(domain, args, io) : printDelegation(domain, args, io);
  },
};

function keygen(zone: Name, { flags }: Arguments, { stdout }: Io): number {
  const name = ALGORITHMS[wordOf(flags.algorithm, ALGORITHMS, 'algorithm', 'ecdsap256sha256')];
  const { publicKey, secret } = newKey(name);
  const now = Math.floor(Date.now() / 1000);
  const dates = { Created: now, Publish: now, Activate: now };
  const algorithm = Algorithm[name];
  const key = {
    ...{ zone, algorithm, publicKey, dates },
    flags: flags.zsk === true ? KeyFlags.ZSK : KeyFlags.KSK,
    secrets: new Map([['PrivateKey', secret]]),
  };
  const tag = keyTag(dnskeyData(key));
  const folder = folderOf(flags.keys);
  const base = keyFileName(key, tag);
  try {
    mkdirSync(folder, { recursive: true });
    const mode = { mode: 0o600, flag: 'wx' };
    writeFileSync(join(folder, `${base}.private`), printPrivateFile(key), mode);
    writeFileSync(join(folder, `${base}.key`), printPublicFile(key, tag), mode);
  } catch (error) {
    throw new Failure('failure', `${folder}: ${(error as Error).message}`);
  }
  const path = join(folder, base);
  stdout.write(flags.json ? `${jsonLine({ path, tag })}\n` : `${path}\n`);
  return 0;
}

function newKey(name: 'ECDSAP256SHA256' | 'ED25519'): { publicKey: Buffer; secret: Buffer } {
  const { privateKey } =
    name === 'ED25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { d = '', x = '', y = '' } = privateKey.export({ format: 'jwk' });
  const octets = (base64: string): Buffer => Buffer.from(base64, 'base64url');
  return { publicKey: Buffer.concat([octets(x), octets(y)]), secret: octets(d) };
}

function printDelegation(zone: Name, { flags }: Arguments, { stdout }: Io): number {
  const digest: Digest = wordOf(flags.digest, DIGESTS, 'digest', 'sha256');
  const { keys, problems } = readKeys([folderOf(flags.keys)]);
  if (problems.length > 0) throw new Failure('failure', problems.join('; '));
  const own = keys.map(({ key }) => key).filter((key) => equalNames(key.zone, zone));
  const ksks = own.filter((key) => key.flags === KeyFlags.KSK);
  if (own.length === 0) throw new Failure('not_found', `no key of ${printName(zone)} is there`);
  const named = ksks.length > 0 ? ksks : own;
  const lines = [
    ...named.map((key) => printDs(key, digest)),
    ...named.map((key) => printDnskey(key)),
  ];
  stdout.write(flags.json ? `${jsonLine({ records: lines })}\n` : `${lines.join('\n')}\n`);
  return 0;
}

function folderOf(flag: FlagValue | undefined): string {
  return typeof flag === 'string' ? flag : '.';
}

function wordOf<Words extends object>(
  flag: FlagValue | undefined,
  words: Words,
  option: string,
  fallback: keyof Words,
): keyof Words {
  if (flag === undefined) return fallback;
  if (typeof flag === 'string' && Object.hasOwn(words, flag)) return flag as keyof Words;
  const known = Object.keys(words).join(' or ');
  throw new Failure('usage', `--${option}: ${JSON.stringify(flag)} is not ${known}`);
}
