/**
 * What a table should hold, and the commands that make it so. A change of a route is one transaction of few elements; a
 * table that is damaged or unknown is written anew in one transaction, without a moment in which it is missing. Pure.
 */
import { createHash } from 'node:crypto';
import type { NftPart } from '../../kernel/nftMessage.ts';
import { matchKey } from '../route.ts';
import {
  type KernelMatch,
  type KernelRoute,
  ownElements,
  sharedElements,
  type TableElements,
} from './kernelRoute.ts';
import { type TableForm, tableId, tableText } from './tableText.ts';

/** A route to set, or a match whose route has ended. */
export type RouteChange =
  | { readonly kind: 'set'; readonly route: KernelRoute }
  | { readonly kind: 'remove'; readonly match: KernelMatch };

export class TableContents {
  readonly #table: string;
  readonly #form: TableForm;
  readonly #routes = new Map<string, KernelRoute>();
  /** The elements that several routes may have, with the number of routes. */
  readonly #shared = new Map<string, number>();

  constructor(form: TableForm) {
    this.#form = form;
    this.#table = tableId(form.family);
  }

  route(match: KernelMatch): KernelRoute | undefined {
    return this.#routes.get(matchKey(match));
  }

  routes(): Iterable<KernelRoute> {
    return this.#routes.values();
  }

  /** The commands for the changes; empty if nothing changes. The contents have changed when it returns. */
  change(changes: readonly RouteChange[]): string {
    const commands = new Commands(this.#table);
    for (const change of changes) {
      const match = change.kind === 'set' ? change.route.match : change.match;
      const next = change.kind === 'set' ? change.route : undefined;
      const former = this.route(match);
      commands.replace(
        former === undefined ? NO_ELEMENTS : ownElements(former),
        next === undefined ? NO_ELEMENTS : ownElements(next),
      );
      this.#changeShared(commands, former, next);
      if (next === undefined) this.#routes.delete(matchKey(match));
      else this.#routes.set(matchKey(match), next);
    }
    return commands.text();
  }

  /** Every element of the table. */
  elements(): TableElements {
    const elements: TableElements = new Map();
    for (const id of this.#shared.keys()) elements.set(id, '');
    for (const route of this.#routes.values())
      for (const [id, data] of ownElements(route)) elements.set(id, data);
    return elements;
  }

  /** The commands that correct the elements that the kernel has; empty if they are right. */
  correct(found: TableElements): string {
    const commands = new Commands(this.#table);
    commands.replace(found, this.elements());
    return commands.text();
  }

  /** The commands that make the table with all its elements, in place of one that may exist. */
  rebuild(): string {
    const commands = new Commands(this.#table);
    commands.replace(NO_ELEMENTS, this.elements());
    return [
      removal(this.#form.family),
      `table ${this.#table} {\n${tableText(this.#form)}\n}`,
      commands.text(),
    ].join('\n');
  }

  #changeShared(
    commands: Commands,
    former: KernelRoute | undefined,
    next: KernelRoute | undefined,
  ): void {
    const before = former === undefined ? NO_IDS : sharedElements(former);
    const after = next === undefined ? NO_IDS : sharedElements(next);
    for (const id of after) if (!before.has(id)) this.#share(commands, id, 1);
    for (const id of before) if (!after.has(id)) this.#share(commands, id, -1);
  }

  #share(commands: Commands, id: string, by: 1 | -1): void {
    const routes = (this.#shared.get(id) ?? 0) + by;
    if (routes === 1 && by === 1) commands.add(id, '');
    if (routes === 0) commands.delete(id);
    if (routes === 0) this.#shared.delete(id);
    else this.#shared.set(id, routes);
  }
}

const NO_ELEMENTS: TableElements = new Map();
const NO_IDS: ReadonlySet<string> = new Set();

/** The commands that remove the table, whether it exists or not. */
export function removal(family: 4 | 6): string {
  return `add table ${tableId(family)}\ndelete table ${tableId(family)}`;
}

const STAMP_PREFIX = 'stamp_';

/**
 * The name of a chain without rules that the table gets once it is written: a digest of its text and of its parts as
 * the kernel has them. So each process can tell whether the table is its own version's, and whole.
 */
export function stampOf(form: TableForm, parts: readonly NftPart[]): string {
  const hash = createHash('sha256').update(tableText(form));
  for (const { kind, name, octets } of parts)
    if (!name.startsWith(STAMP_PREFIX)) hash.update(`\0${kind} ${name} `).update(octets);
  return `${STAMP_PREFIX}${hash.digest('hex').slice(0, STAMP_DIGITS)}`;
}

const STAMP_DIGITS = 32;

export function isStamped(form: TableForm, parts: readonly NftPart[]): boolean {
  const stamp = stampOf(form, parts);
  return parts.some(({ kind, name }) => kind === 'chain' && name === stamp);
}

export function stampText(form: TableForm, parts: readonly NftPart[]): string {
  return `add chain ${tableId(form.family)} ${stampOf(form, parts)}`;
}

/** The commands of one transaction: what leaves goes first, so that a key can come back with other data. */
class Commands {
  readonly #table: string;
  readonly #deleted = new Set<string>();
  readonly #added = new Map<string, string>();

  constructor(table: string) {
    this.#table = table;
  }

  /** Takes back an addition in the same transaction. */
  delete(id: string): void {
    if (!this.#added.delete(id)) this.#deleted.add(id);
  }

  /** The id is new, or was deleted. */
  add(id: string, data: string): void {
    // Shared elements may leave with one route and come back with the next.
    if (data !== '' || !this.#deleted.delete(id)) this.#added.set(id, data);
  }

  replace(former: TableElements, next: TableElements): void {
    for (const [id, data] of former) if (next.get(id) !== data) this.delete(id);
    for (const [id, data] of next) if (former.get(id) !== data) this.add(id, data);
  }

  text(): string {
    const lines = new Map<string, string[]>();
    const note = (verb: string, id: string, data: string): void => {
      const [set = '', key = ''] = id.split('\t');
      const command = `${verb} element ${this.#table} ${set}`;
      const list = lines.get(command) ?? [];
      lines.set(command, list);
      list.push(data === '' ? key : `${key} : ${data}`);
    };
    for (const id of this.#deleted) note('delete', id, '');
    for (const [id, data] of this.#added) note('add', id, data);
    return [...lines].map(([command, list]) => `${command} { ${list.join(', ')} }`).join('\n');
  }
}
