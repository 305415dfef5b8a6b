/** What a domain's parent is to have: the records for it, or none any more. */
import { rmSync } from 'node:fs';
import { UNSIGN_ENDING } from '../../app/answering/keyFiles.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { type Name, printName } from '../../dns/name.ts';
import { printDnssecTime } from '../../dns/presentation/dnssecFields.ts';
import { DIGESTS, type Digest, printDnskey, printDs } from '../../sign/delegation.ts';
import { hasCome, type KeyDates } from '../../sign/keyDates.ts';
import { isTrusted } from '../../sign/rollover.ts';
import { jsonLine } from '../output.ts';
import { keysOfDomain, wordOf, writeKeyFile } from './keyFolder.ts';

const DIGEST_WORDS = Object.keys(DIGESTS) as readonly Digest[];

/** `soradns dnssec ds`: prints the records that the parent, or a resolver that trusts the key, needs. */
export function printDelegation(zone: Name, { flags }: Arguments, { stdout }: Io): number {
  const digest = wordOf(flags.digest, DIGEST_WORDS, 'digest') ?? 'sha256';
  const keys = keysOfDomain(zone, flags).map(({ key }) => key);
  const now = Math.floor(Date.now() / 1000);
  const named = keys.filter((key) => isTrusted(key, keys) && isParents(key.dates, now));
  const lines = [
    ...named.map((key) => printDs(key, digest)),
    ...named.map((key) => printDnskey(key)),
  ];
  stdout.write(flags.json ? `${jsonLine({ records: lines })}\n` : `${lines.join('\n')}\n`);
  return 0;
}

/** Whether the parent is to have the key: a successor not before its DNSKEY is in all caches. */
function isParents(
  { SyncPublish = 0, SyncDelete, Inactive, Delete }: KeyDates,
  now: number,
): boolean {
  return SyncPublish <= now && ![SyncDelete, Inactive, Delete].some((date) => hasCome(date, now));
}

/** `soradns dnssec unsign`: has the domain ask its parent to remove the DS (RFC 8078 §4), or takes that back. */
export function unsign(zone: Name, { flags }: Arguments, { stdout }: Io): number {
  const isUndone = flags.undo === true;
  // Beside each key, so that the domain goes on asking when one of them is removed.
  const paths = keysOfDomain(zone, flags)
    .filter(({ key: { dates } }) => (dates.Unsign !== undefined) === isUndone)
    .map(({ path }) => path);
  const fileOf = (path: string): string => `${path}${UNSIGN_ENDING}`;
  const date = printDnssecTime(Math.floor(Date.now() / 1000));
  if (flags['dry-run'] !== true)
    for (const path of paths) {
      if (isUndone) rmSync(fileOf(path), { force: true });
      else writeKeyFile(fileOf(path), `${date}\n`, `${path}.private`);
    }
  const files = paths.map(fileOf);
  if (flags.json) stdout.write(`${jsonLine({ [isUndone ? 'removed' : 'written']: files })}\n`);
  else {
    for (const file of files) stdout.write(`${isUndone ? 'remove' : 'write'} ${file}\n`);
    if (flags.quiet !== true && !isUndone) stdout.write(adviceFor(zone));
  }
  return 0;
}

function adviceFor(zone: Name): string {
  const domain = printName(zone);
  return `CDS and CDNSKEY of ${domain} ask the parent to remove the DS; if it reads neither, remove the DS there.
Keep the keys until soradns dnssec status ${domain} says that the parent has no DS any more.\n`;
}
