/** `soradns ls`: lists the store's services as a tree, a table or JSON. */
import { Failure } from '../../app/process/failure.ts';
import type { Io, Output } from '../../app/process/process.ts';
import type { OptionWords } from '../../config/options/option.ts';
import type { Arguments } from '../../config/settings.ts';
import { type Label, parseName, printLabel, printName } from '../../dns/name.ts';
import { printable } from '../../observability/printable.ts';
import { HiddenValues } from '../../registrar/reconcile/hiddenValues.ts';
import type { Entry } from '../../service/change.ts';
import { nameOfKey } from '../../service/key.ts';
import { parseService } from '../../service/service.ts';
import type { DelegatedEntries } from '../../zone/delegatedEntries.ts';
import { stubProblem } from '../../zone/tree/stubZones.ts';
import type { Command } from '../command.ts';
import {
  describeHiders,
  describeService,
  type EntryView,
  type ServiceView,
  viewEntry,
  viewHidden,
} from '../entryView.ts';
import { jsonLine, paint, table } from '../output.ts';
import { CLIENT_OPTIONS, keyOfArgument, type StoreAccess, withStore } from '../storeAccess.ts';

const OWN_OPTIONS: readonly OptionWords[] = [
  { name: 'tree', form: 'switch', describe: 'print a tree; the default on a terminal' },
  { name: 'table', form: 'switch', describe: 'print a table; the default elsewhere' },
  {
    name: 'invalid',
    form: 'switch',
    describe: 'list only invalid keys and values, with the reason',
  },
  {
    name: 'hidden',
    form: 'switch',
    describe: 'list only values hidden by names below them, or by a delegation',
  },
];

export const lsCommand: Command = {
  name: 'ls',
  summary: 'List the services',
  positionals: [
    { name: 'name', describe: 'name or key to list, with everything below it', required: false },
  ],
  options: [...OWN_OPTIONS, ...CLIENT_OPTIONS],
  examples: [
    ['soradns ls', 'list everything'],
    ['soradns ls rails.skydns.local --table', 'list the instances of rails'],
    ['soradns ls --json', 'a JSON array, for scripts'],
    ['soradns ls --invalid', 'list keys and values that soradns skips, with the reason'],
    ['soradns ls --hidden', 'list values that names below them or delegations hide'],
  ],
  run: (args, io) => {
    if (args.flags.tree && args.flags.table) {
      throw new Failure('usage', '--tree: cannot be combined with --table', 'give one of them');
    }
    if (args.flags.hidden && args.flags.invalid) {
      throw new Failure('usage', '--hidden: cannot be combined with --invalid', 'give one of them');
    }
    return withStore(args, io, (access) => listEntries(args, io, access));
  },
};

async function listEntries(args: Arguments, io: Io, access: StoreAccess): Promise<number> {
  const { stdout } = io;
  const wanted = args.words[0];
  const { flags } = args;
  const all = await viewsBelow(wanted, access, io);
  if (wanted !== undefined && all.length === 0 && !flags.invalid && !flags.hidden) {
    throw new Failure('not_found', `${wanted}: nothing exists at or below it`);
  }
  const views = all.filter(
    (view) =>
      (!flags.invalid || view.invalid !== undefined) &&
      (!flags.hidden || describeHiders(view) !== ''),
  );
  if (flags.json) printJson(views, stdout);
  else if (flags.quiet) for (const view of views) stdout.write(`${nameOrKey(view)}\n`);
  else if (flags.invalid) printInvalid(views, stdout);
  else if (flags.tree || (stdout.isTty && !flags.table)) stdout.write(tree(views, stdout));
  else if (views.length > 0) stdout.write(table([HEAD, ...views.map(entryRow)], stdout));
  return 0;
}

/** Most environments have no such variable, and the options of `serve` take long to load. */
async function aggregateDepthOf(io: Io): Promise<number> {
  if (!io.env.SORADNS_AGGREGATE_DEPTH) return Number.POSITIVE_INFINITY;
  const { aggregateDepthOfVariables } = await import('../../config/servedDomains.ts');
  return aggregateDepthOfVariables(io);
}

async function viewsBelow(
  wanted: string | undefined,
  access: StoreAccess,
  io: Io,
): Promise<readonly EntryView[]> {
  const { store, prefix } = access;
  const nowMs = performance.now();
  const found: { readonly entry: Entry; readonly view: EntryView }[] = [];
  const delegations: Entry[] = [];
  const values = new HiddenValues(prefix, await aggregateDepthOf(io));
  const add = (entry: Entry, isListed: boolean): void => {
    const view = viewEntry(entry, prefix, nowMs);
    if (view === undefined) return;
    if (view.service?.rr?.some((record) => record.startsWith('NS '))) delegations.push(entry);
    if (!isListed) return;
    found.push({ entry, view });
    values.add(entry);
  };
  const key = wanted === undefined ? prefix.slice(0, -1) : keyOfArgument(wanted, prefix);
  const own = (await store.get(key)).entry;
  if (own !== undefined) add(own, true);
  for await (const { entries } of store.snapshot(`${key}/`))
    for (const entry of entries) add(entry, true);
  for (const above of keysAbove(key, prefix)) {
    const { entry } = await store.get(above);
    if (entry !== undefined) add(entry, false);
  }
  const delegated = delegations.length === 0 ? undefined : await readCuts(delegations, access, io);
  const hidden = values.find();
  return found.map(({ entry, view }) => {
    const { key: at, invalid = stubProblemOf(entry, prefix) ?? delegated?.problemOf(entry) } = view;
    const delegatedAt = delegated?.hiderOf(entry);
    const hostBesideNs = delegated?.hostBesideNs(entry);
    const by = hidden.get(at);
    return {
      ...(by === undefined ? view : viewHidden(view, by, prefix)),
      ...(invalid !== undefined && { invalid }),
      ...(hostBesideNs !== undefined && { hostBesideNs }),
      ...(delegatedAt !== undefined && { delegatedAt: printName(delegatedAt) }),
    };
  });
}

/** Few stores have delegations, and the options of `serve` say what they mean. */
async function readCuts(
  entries: readonly Entry[],
  access: StoreAccess,
  io: Io,
): Promise<DelegatedEntries> {
  const { DelegatedEntries } = await import('../../zone/delegatedEntries.ts');
  const { ANY_DOMAIN, servedDomains } = await import('../nameChecks.ts');
  const domains = (await servedDomains(access, io).catch(() => undefined)) ?? ANY_DOMAIN;
  return new DelegatedEntries(access.prefix, entries, domains);
}

/** The keys of the names above a key's. */
function keysAbove(key: string, prefix: string): readonly string[] {
  const keys: string[] = [];
  for (let at = key.lastIndexOf('/'); at >= prefix.length; at = key.lastIndexOf('/', at - 1))
    keys.push(key.slice(0, at));
  return keys;
}

/** Why a valid service is no server of a stub zone, if its key is that of one. */
function stubProblemOf({ key, value }: Entry, prefix: string): string | undefined {
  const named = nameOfKey(key, prefix);
  const parsed = parseService(value);
  if (named.kind !== 'name' || parsed.kind !== 'service') return undefined;
  return stubProblem(named.owner, parsed.service);
}

/** One array, with one element per line. */
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

function nameOrKey({ name, key }: EntryView): string {
  return name ?? printable(key);
}

const HEAD = ['NAME', 'HOST', 'PORT', 'PRIO', 'WEIGHT', 'TTL', 'EXPIRES', 'MORE'];

function entryRow(view: EntryView): readonly string[] {
  const { host, port, priority, weight, ttl, ...more } = view.service ?? {};
  const numbers = [port, priority, weight, ttl].map((n) => (n === undefined ? '-' : String(n)));
  const expires = view.expiresSeconds === undefined ? '-' : `${view.expiresSeconds}s`;
  return [nameOrKey(view), printable(host ?? '-'), ...numbers, expires, moreOf(view, more)];
}

function moreOf(view: EntryView, more: ServiceView): string {
  if (view.invalid !== undefined) return printable(`invalid: ${view.invalid}`);
  const words = [describeService(more), describeHiders(view)];
  return printable(words.filter((word) => word !== '').join('; '));
}

interface LabelTree {
  readonly children: Map<Label, LabelTree>;
  readonly views: EntryView[];
}

/** The services as a tree of labels from the root down, one label per line; keys that are not names come last. */
export function tree(views: readonly EntryView[], output: Output): string {
  const root: LabelTree = { children: new Map(), views: [] };
  const nameless: EntryView[] = [];
  for (const view of views) {
    const name = view.name === undefined ? undefined : parseName(view.name);
    if (name === undefined) nameless.push(view);
    else branchOf(root, name).views.push(view);
  }
  const lines: string[] = [];
  for (const [label, branch] of root.children)
    addBranch(lines, printLabel(label), branch, '', '', output);
  for (const view of nameless) lines.push(`${printable(view.key)}  ${describeEntry(view, output)}`);
  return lines.map((line) => `${line}\n`).join('');
}

function branchOf(root: LabelTree, name: readonly Label[]): LabelTree {
  let branch = root;
  for (const label of name.toReversed()) {
    let child = branch.children.get(label);
    if (child === undefined) {
      child = { children: new Map(), views: [] };
      branch.children.set(label, child);
    }
    branch = child;
  }
  return branch;
}

/** Adds the branch's lines. Joins a label with its only child: `local` and `skydns` become the line `skydns.local`. */
function addBranch(
  lines: string[],
  label: string,
  branch: LabelTree,
  lead: string,
  indent: string,
  output: Output,
): void {
  const children = [...branch.children];
  const [only] = children;
  if (branch.views.length === 0 && children.length === 1 && only !== undefined) {
    addBranch(lines, `${printLabel(only[0])}.${label}`, only[1], lead, indent, output);
    return;
  }
  const described = branch.views.map((view) => describeEntry(view, output)).join('; ');
  lines.push(`${lead}${paint(label, 'bold', output)}${described && `  ${described}`}`);
  children.forEach(([childLabel, child], i) => {
    const last = i === children.length - 1;
    const childLead = `${indent}${last ? '└─ ' : '├─ '}`;
    const childIndent = `${indent}${last ? '   ' : '│  '}`;
    addBranch(lines, printLabel(childLabel), child, childLead, childIndent, output);
  });
}

function describeEntry(view: EntryView, output: Output): string {
  if (view.invalid !== undefined)
    return paint(`invalid: ${printable(view.invalid)}`, 'red', output);
  const { service = {}, delegatedAt, expiresSeconds: left } = view;
  const text = printable(describeService(service));
  const hiders = printable(describeHiders(view));
  const words = [delegatedAt === undefined ? text : paint(text, 'dim', output)];
  if (left !== undefined) words.push(paint(`(${left}s left)`, 'dim', output));
  if (hiders !== '')
    words.push(paint(hiders, delegatedAt === undefined ? 'yellow' : 'dim', output));
  return words.join('  ');
}
