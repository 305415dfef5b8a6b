/** `soradns dnssec status`: prints the state of a domain's keys, what comes next, and what the parent has. */
import { byZone, type StoredKey } from '../../app/answering/keyFiles.ts';
import { Failure } from '../../app/process/failure.ts';
import { fetchText } from '../../app/process/fetchPage.ts';
import type { Io } from '../../app/process/process.ts';
import { DEFAULT_CLIENT_STORE } from '../../config/clientConfig.ts';
import type { Arguments } from '../../config/settings.ts';
import { type Name, printName } from '../../dns/name.ts';
import { namesKey } from '../../sign/delegation.ts';
import { hasCome } from '../../sign/keyDates.ts';
import { algorithmName, KeyFlags } from '../../sign/keyFile.ts';
import { type KeyStatus, keyStatus, type ParentState } from '../../sign/keyStatus.ts';
import type { SigningKey } from '../../sign/signingKey.ts';
import { jsonLine, printDate, table } from '../output.ts';
import { keysInFolder, keysOfDomain } from './keyFolder.ts';
import { askParent, rollTimes } from './parent.ts';

interface Report {
  readonly domain: string;
  readonly keys: readonly (KeyStatus & StoredKey)[];
  readonly parent: ParentState;
  readonly isUnsigning: boolean;
}

/** Without a domain it prints all that have keys in the folder. */
export async function printStatus(
  zone: Name | undefined,
  args: Arguments,
  io: Io,
): Promise<number> {
  const { flags } = args;
  const stored = zone === undefined ? keysInFolder(flags) : keysOfDomain(zone, flags);
  const signatures = await signaturesOf(args, io);
  for (const keys of byZone(stored)) {
    const report = await reportOf(keys, args, io);
    if (flags.json) io.stdout.write(`${jsonLine(jsonOf(report, signatures))}\n`);
    else printReport(report, args, io);
  }
  if (!flags.json && !flags.quiet) io.stdout.write(`signatures: ${signaturesText(signatures)}\n`);
  return 0;
}

async function reportOf(stored: readonly StoredKey[], args: Arguments, io: Io): Promise<Report> {
  const zone = stored[0]?.key.zone ?? [];
  const [times, parent] = await Promise.all([rollTimes(zone, args, io), askParent(zone, args, io)]);
  const all = stored.map(({ key }) => key);
  const keys = stored.map((each) => ({ ...each, ...keyStatus(each.key, all, parent, times) }));
  const isUnsigning = all.some(({ dates }) => hasCome(dates.Unsign, times.nowSeconds));
  return { domain: printName(zone), keys, parent, isUnsigning };
}

/** Signatures by their result; undefined if no server that signs answers at the URL. */
type SignatureCounts = Readonly<Record<string, number>> | undefined;

const METRIC = /^soradns_dnssec_signatures_total\{result="([a-z]+)"\} (\d+)$/gm;
const TIMEOUT_MS = 2_000;

/** The signatures that a running server has made since its start. */
async function signaturesOf({ flags }: Arguments, { env }: Io): Promise<SignatureCounts> {
  const url = flags.url ?? (env.SORADNS_CACHE_URL || DEFAULT_CLIENT_STORE);
  if (typeof url !== 'string' || !/^https?:\/\/./.test(url))
    throw new Failure('usage', `--url: ${JSON.stringify(url)} is not a URL`);
  const reply = await fetchText(new URL('/metrics', url), TIMEOUT_MS);
  if (reply.kind === 'none' || reply.status !== 200) return undefined;
  const samples = [...reply.value.matchAll(METRIC)];
  if (samples.length === 0) return undefined;
  return Object.fromEntries(samples.map(([, result = '', count]) => [result, Number(count)]));
}

/** KSK, ZSK, or CSK for a key that signs everything. */
function kindOfKey({ flags }: SigningKey, keys: readonly SigningKey[]): string {
  const isAlone = keys.every((each) => each.flags === flags);
  return isAlone ? 'CSK' : flags === KeyFlags.KSK ? 'KSK' : 'ZSK';
}

function printReport(report: Report, { flags }: Arguments, { stdout }: Io): void {
  const { domain, keys, parent } = report;
  const all = keys.map(({ key }) => key);
  const rows = keys.map(({ key, path, state, next, kept }) => [
    String(key.tag),
    kindOfKey(key, all),
    algorithmName(key.algorithm),
    state,
    next === undefined ? '-' : `${next.date ? `${printDate(next.date)} ` : ''}${next.step}`,
    kept === undefined ? 'yes' : `no: ${kept}`,
    path,
  ]);
  const head = ['KEY', 'KIND', 'ALGORITHM', 'STATE', 'NEXT', 'REMOVABLE', 'FILES'];
  stdout.write(table([head, ...rows], stdout));
  if (flags.quiet) return;
  stdout.write(`parent of ${domain}: ${parentText(parent, all)}\n`);
  if (report.isUnsigning) stdout.write(`unsigning ${domain}: ${unsigningText(parent)}\n`);
}

function parentText(parent: ParentState, keys: readonly SigningKey[]): string {
  if (parent.kind === 'unknown') return `not known: ${parent.reason}`;
  if (parent.ds.length === 0) return 'has no DS';
  const named = keys.filter((key) => parent.ds.some((ds) => namesKey(ds, key)));
  const others = parent.ds.filter((ds) => !keys.some((key) => namesKey(ds, key)));
  const tags = [...named.map(({ tag }) => `${tag}`), ...others.map(otherTag)];
  return `DS of ${[...new Set(tags)].join(', ')}, TTL ${parent.ttlSeconds}`;
}

function otherTag([high = 0, low = 0]: Uint8Array): string {
  return `${(high << 8) | low} (no key here)`;
}

function unsigningText(parent: ParentState): string {
  if (parent.kind === 'unknown') return 'CDS asks the parent to remove the DS';
  return parent.ds.length > 0
    ? 'the parent has a DS still; keep the keys'
    : 'the parent has no DS any more; when its TTL has passed since, serve without --dnssec';
}

function signaturesText(signatures: SignatureCounts): string {
  if (signatures === undefined) return 'no server that signs answers at --url';
  return Object.entries(signatures)
    .map(([result, count]) => `${result} ${count}`)
    .join(', ');
}

function jsonOf({ domain, keys, parent, isUnsigning }: Report, signatures: SignatureCounts) {
  const all = keys.map(({ key }) => key);
  return {
    domain,
    keys: keys.map(({ key, path, state, next, kept }) => ({
      ...{ path, tag: key.tag, flags: key.flags, kind: kindOfKey(key, all) },
      ...{ algorithm: key.algorithm, state, dates: key.dates, next, removable: kept === undefined },
      ...(kept === undefined ? {} : { reason: kept }),
    })),
    parent:
      parent.kind === 'unknown'
        ? { problem: parent.reason }
        : {
            ds: parent.ds.map((octets) => Buffer.from(octets).toString('hex')),
            ttl: parent.ttlSeconds,
          },
    ...{ unsigning: isUnsigning, signatures },
  };
}
