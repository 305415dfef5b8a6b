import type { OptionWords } from '../config/option.ts';
import { printable } from '../printable.ts';
import { type Arguments, CLIENT_OPTIONS, type Command, type Io, type Output } from './command.ts';
import { describeService, type EntryView, type ServiceView, viewEntry } from './entryView.ts';
import { Failure } from './failure.ts';
import { jsonLine, table } from './output.ts';
import { keyOfArgument, type StoreAccess, withStore } from './storeAccess.ts';
import { tree } from './tree.ts';

const OWN_OPTIONS: readonly OptionWords[] = [
  { name: 'tree', form: 'switch', describe: 'as a tree, the default on a terminal' },
  { name: 'table', form: 'switch', describe: 'as a table, the default elsewhere' },
  { name: 'invalid', form: 'switch', describe: 'only what counts for nothing, and why' },
];

export const lsCommand: Command = {
  name: 'ls',
  summary: 'List the services',
  positionals: [
    { name: 'name', describe: 'list what is at and below this name or key', required: false },
  ],
  options: [...OWN_OPTIONS, ...CLIENT_OPTIONS],
  examples: [
    ['soradns ls', 'everything'],
    ['soradns ls rails.skydns.local --table', 'the instances of rails'],
    ['soradns ls --json', 'a JSON array, for scripts'],
    ['soradns ls --invalid', 'keys and values that are left out of answers'],
  ],
  run: (args, io) => {
    if (args.flags.tree && args.flags.table) {
      throw new Failure('usage', '--tree: cannot be combined with --table', 'give one of the two');
    }
    return withStore(args, io, (access) => list(args, io, access));
  },
};

async function list(args: Arguments, { stdout }: Io, access: StoreAccess): Promise<number> {
  const wanted = args.words[0];
  const { flags } = args;
  const views: EntryView[] = [];
  for await (const view of viewsBelow(wanted, access)) {
    if (!flags.invalid || view.invalid !== undefined) views.push(view);
  }
  if (wanted !== undefined && views.length === 0 && !flags.invalid) {
    throw new Failure('not_found', `${wanted}: there is nothing at or below it`);
  }
  if (flags.json) printJson(views, stdout);
  else if (flags.quiet) for (const view of views) stdout.write(`${nameOf(view)}\n`);
  else if (flags.invalid) printInvalid(views, stdout);
  else if (flags.tree || (stdout.isTty && !flags.table)) stdout.write(tree(views, stdout));
  else if (views.length > 0) stdout.write(table([HEAD, ...views.map(row)], stdout));
  return 0;
}

async function* viewsBelow(
  wanted: string | undefined,
  { store, prefix }: StoreAccess,
): AsyncIterable<EntryView> {
  const nowMs = performance.now();
  const key = wanted === undefined ? prefix.slice(0, -1) : keyOfArgument(wanted, prefix);
  const own = (await store.get(key)).entry;
  const view = own && viewEntry(own, prefix, nowMs);
  if (view !== undefined) yield view;
  for await (const page of store.snapshot(`${key}/`)) {
    for (const entry of page.entries) {
      const view = viewEntry(entry, prefix, nowMs);
      if (view !== undefined) yield view;
    }
  }
}

/** One array, an element a line. */
function printJson(views: readonly EntryView[], stdout: Output): void {
  if (views.length === 0) stdout.write('[]\n');
  views.forEach((view, i) => {
    stdout.write(`${i === 0 ? '[' : ' '}${jsonLine(view)}${i === views.length - 1 ? ']' : ','}\n`);
  });
}

function printInvalid(views: readonly EntryView[], stdout: Output): void {
  if (views.length === 0) return;
  const rows = views.map(({ key, invalid = '' }) => [printable(key), printable(invalid)]);
  stdout.write(table([['KEY', 'REASON'], ...rows], stdout));
}

function nameOf({ name, key }: EntryView): string {
  return name ?? printable(key);
}

const HEAD = ['NAME', 'HOST', 'PORT', 'PRIO', 'WEIGHT', 'TTL', 'EXPIRES', 'MORE'];

function row(view: EntryView): readonly string[] {
  const { host, port, priority, weight, ttl, ...more } = view.service ?? {};
  const numbers = [port, priority, weight, ttl].map((n) => (n === undefined ? '-' : String(n)));
  const expires = view.expiresSeconds === undefined ? '-' : `${view.expiresSeconds}s`;
  return [nameOf(view), printable(host ?? '-'), ...numbers, expires, moreOf(view, more)];
}

function moreOf({ invalid }: EntryView, more: ServiceView): string {
  return printable(invalid === undefined ? describeService(more) : `invalid: ${invalid}`);
}
