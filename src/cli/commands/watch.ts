/**
 * `soradns watch`: prints changes as they happen. If the store is lost, the command waits for it and continues after
 * the last revision seen, so it neither misses nor repeats a change. It fails if the store has dropped changes
 * meanwhile.
 */
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../app/process/failure.ts';
import type { Io, Output } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { printName } from '../../dns/name.ts';
import { printable } from '../../observability/printable.ts';
import type { Change } from '../../service/change.ts';
import { StoreError } from '../../store/store.ts';
import type { Command } from '../command.ts';
import { describeService, type EntryView, viewEntry } from '../entryView.ts';
import { jsonLine, paint } from '../output.ts';
import {
  CLIENT_OPTIONS,
  keyOfArgument,
  ownerOfKey,
  type StoreAccess,
  withStore,
} from '../storeAccess.ts';

const RETRY_MS = 1000;

export const watchCommand: Command = {
  name: 'watch',
  summary: 'Print changes as they happen, until interrupted',
  positionals: [
    { name: 'name', describe: 'name or key to watch, with everything below it', required: false },
  ],
  options: CLIENT_OPTIONS,
  examples: [
    ['soradns watch', 'print every change'],
    ['soradns watch rails.skydns.local --json', 'print one JSON object per line'],
  ],
  run: (args, io) => {
    io.handleSignals();
    return withStore(args, io, (access) => watch(args, io, access));
  },
};

async function watch(args: Arguments, io: Io, access: StoreAccess): Promise<number> {
  const { store, prefix } = access;
  const wanted = args.words[0];
  const key = wanted === undefined ? prefix.slice(0, -1) : keyOfArgument(wanted, prefix);
  // This call fails without a store; the loop below waits when the store is lost later.
  let { revision } = await store.get(key);
  const parent = key.slice(0, key.lastIndexOf('/') + 1);
  if (!args.flags.quiet) io.stderr.write(`watching ${printable(key)} from revision ${revision}\n`);
  while (!io.stop.aborted) {
    try {
      for await (const batch of store.watch(parent, revision + 1, io.stop)) {
        for (const change of batch.changes) printChange(change, key, args, io, prefix);
        revision = batch.revision;
      }
    } catch (error) {
      await waitAfter(error, io);
    }
  }
  return 128 + constants.signals[io.stop.reason as 'SIGINT' | 'SIGTERM'];
}

async function waitAfter(error: unknown, { stop, stderr }: Io): Promise<void> {
  if (stop.aborted) return;
  if (!(error instanceof StoreError)) throw error;
  if (error.code === 'compacted') {
    throw new Failure(
      'failure',
      'the store dropped changes before this command could read them',
      'start the watch again',
    );
  }
  if (error.code !== 'unavailable') throw error;
  stderr.write(`${paint('soradns:', 'yellow', stderr)} ${printable(error.message)}; retrying\n`);
  await sleep(RETRY_MS, undefined, { signal: stop }).catch(() => {});
}

function printChange(change: Change, key: string, args: Arguments, io: Io, prefix: string): void {
  const changed = change.kind === 'put' ? change.entry.key : change.key;
  if (changed !== key && !changed.startsWith(`${key}/`)) return;
  const view = viewChange(change, prefix);
  if (view === undefined) return;
  const line = args.flags.json ? jsonLine(view) : describeChange(view, io.stdout);
  io.stdout.write(`${line}\n`);
}

/** A line of `--json`. */
type ChangeView =
  | ({ readonly kind: 'put' } & EntryView)
  | {
      readonly kind: 'delete';
      readonly key: string;
      readonly name?: string;
      readonly modRevision: number;
    };

function viewChange(change: Change, prefix: string): ChangeView | undefined {
  if (change.kind === 'put') {
    const view = viewEntry(change.entry, prefix, performance.now());
    return view && { kind: 'put', ...view };
  }
  const owner = ownerOfKey(change.key, prefix);
  return {
    kind: 'delete',
    key: change.key,
    ...(owner && { name: printName(owner) }),
    modRevision: change.modRevision,
  };
}

function describeChange(view: ChangeView, stdout: Output): string {
  const name = view.name ?? printable(view.key);
  if (view.kind === 'delete') return `${paint('- delete', 'red', stdout)} ${name}`;
  const words = view.invalid === undefined ? describeService(view.service ?? {}) : view.invalid;
  return `${paint('+ put   ', 'green', stdout)} ${name}  ${printable(words)}`;
}
