/** `soradns dnssec roll`: replaces a key of a domain, by the dates in the files of the keys. */
import type { StoredKey } from '../../app/answering/keyFiles.ts';
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { type Name, printName } from '../../dns/name.ts';
import { namesKey } from '../../sign/delegation.ts';
import { hasCome, KEY_DATES, type KeyDates } from '../../sign/keyDates.ts';
import type { ParentState } from '../../sign/keyStatus.ts';
import {
  finishRoll,
  isTrusted,
  type RollPlan,
  type RollTimes,
  rollStage,
  startRoll,
  tagsOf,
} from '../../sign/rollover.ts';
import type { SigningKey } from '../../sign/signingKey.ts';
import { jsonLine, printDate, table } from '../output.ts';
import { folderOf, keysOfDomain, wantedKind, writeDates } from './keyFolder.ts';
import { algorithmIn, makeKey } from './keygen.ts';
import { askParent, rollTimes } from './parent.ts';

export async function roll(zone: Name, args: Arguments, io: Io): Promise<number> {
  const stored = keysOfDomain(zone, args.flags);
  const keys = stored.map(({ key }) => key);
  const isOfTrusted = wantsTrusted(zone, keys, args.flags);
  const times = await rollTimes(zone, args, io);
  const plan = await planOf(zone, keys, isOfTrusted, times, args, io);
  const rows =
    args.flags['dry-run'] === true ? dryRows(plan, stored) : carryOut(plan, stored, zone, args);
  print(rows, args, io);
  return 0;
}

/** Whether the key to replace is one that the parent or resolvers trust. */
function wantsTrusted(zone: Name, keys: readonly SigningKey[], flags: Arguments['flags']): boolean {
  const kind = wantedKind(flags);
  const hasOthers = keys.some((key) => !isTrusted(key, keys));
  if (kind === undefined && hasOthers)
    throw new Failure('usage', `${printName(zone)} has keys of both kinds`, 'give --zsk or --ksk');
  const isThere = kind === undefined || kind === 'ksk' || (kind === 'zsk') === hasOthers;
  if (!isThere) throw new Failure('usage', `--${kind}: ${printName(zone)} has no such key`);
  return kind !== 'zsk';
}

async function planOf(
  zone: Name,
  keys: readonly SigningKey[],
  isOfTrusted: boolean,
  times: RollTimes,
  args: Arguments,
  io: Io,
): Promise<RollPlan> {
  const stage = rollStage(keys, isOfTrusted, times.nowSeconds);
  const algorithm = algorithmIn(args.flags);
  const hint = `soradns dnssec status ${printName(zone)} shows the dates`;
  switch (stage.kind) {
    case 'refused':
      throw new Failure('conflict', `${printName(zone)}: ${stage.reason}`, hint);
    case 'start': {
      const wanted = algorithm ?? stage.old.algorithm;
      if (!isOfTrusted && wanted !== stage.old.algorithm)
        throw new Failure(
          'usage',
          "--algorithm: a ZSK has its KSK's",
          'give --ksk to replace both',
        );
      return startRoll(stage.old, keys, wanted, times);
    }
    case 'finish': {
      const { SyncPublish } = stage.next.dates;
      if (SyncPublish !== undefined && !hasCome(SyncPublish, times.nowSeconds)) {
        const reason = `caches may lack ${tagsOf([stage.next])} until ${printDate(SyncPublish)}`;
        throw new Failure('conflict', `${printName(zone)}: ${reason}`, hint);
      }
      const isAsked = args.flags['parent-ready'] !== true;
      const seconds = isAsked
        ? secondsOfDs(await askParent(zone, args, io), stage, zone)
        : times.longestTtlSeconds;
      return finishRoll(stage, keys, seconds, times);
    }
  }
}

/** How long caches may have an older DS. Throws a `Failure` unless the parent names the successor alone. */
function secondsOfDs(
  parent: ParentState,
  { old, next }: { readonly old: readonly SigningKey[]; readonly next: SigningKey },
  zone: Name,
): number {
  const domain = printName(zone);
  const hint = '--parent-ready if no resolver needs the old key';
  if (parent.kind === 'unknown')
    throw new Failure(
      'unreachable',
      `the parent of ${domain} is not known: ${parent.reason}`,
      hint,
    );
  const named = (key: SigningKey): boolean => parent.ds.some((ds) => namesKey(ds, key));
  const before = old.filter(named);
  if (before.length > 0)
    throw new Failure('conflict', `the parent of ${domain} names ${tagsOf(before)} still`);
  if (!named(next))
    throw new Failure('conflict', `the parent of ${domain} does not name ${tagsOf([next])}`, hint);
  return parent.ttlSeconds;
}

interface Row {
  /** The base name of the key's files; undefined for a key that is not made yet. */
  readonly path: string | undefined;
  readonly isNew: boolean;
  readonly dates: KeyDates;
}

function dryRows({ made, changed }: RollPlan, stored: readonly StoredKey[]): readonly Row[] {
  return [
    ...made.map(({ dates }) => ({ path: undefined, isNew: true, dates })),
    ...changed.map(({ key, dates }) => ({ path: pathOf(key, stored), isNew: false, dates })),
  ];
}

/** The new keys first: without them the old ones must not leave. */
function carryOut(
  { made, changed }: RollPlan,
  stored: readonly StoredKey[],
  zone: Name,
  { flags }: Arguments,
): readonly Row[] {
  const taken = stored.map(({ key }) => key.tag);
  const like = stored[0]?.path ?? '';
  const rows: Row[] = made.map((wanted) => {
    const { path, tag } = makeKey(folderOf(flags), { zone, ...wanted, like, taken });
    taken.push(tag);
    return { path, isNew: true, dates: wanted.dates };
  });
  for (const { key, dates } of changed) {
    const path = pathOf(key, stored);
    writeDates(path, dates);
    rows.push({ path, isNew: false, dates });
  }
  return rows;
}

function pathOf(key: SigningKey, stored: readonly StoredKey[]): string {
  return stored.find((each) => each.key === key)?.path ?? '';
}

function print(rows: readonly Row[], { flags }: Arguments, { stdout }: Io): void {
  const shown = rows.map(({ dates, ...row }) => ({
    ...row,
    dates: KEY_DATES.flatMap((name): [string, string][] => {
      const date = dates[name];
      return date === undefined || name === 'Created' ? [] : [[name, printDate(date)]];
    }),
  }));
  if (flags.json) {
    const keys = shown.map((row) => ({ ...row, dates: Object.fromEntries(row.dates) }));
    stdout.write(`${jsonLine({ keys })}\n`);
    return;
  }
  const cells = shown.flatMap(({ path, isNew, dates }) =>
    dates.map(([name, date]) => [isNew ? 'new' : 'old', name, date, path ?? '-']),
  );
  stdout.write(table([['KEY', 'DATE', 'AT', 'FILES'], ...cells], stdout));
}
