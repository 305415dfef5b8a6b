/**
 * What a table should hold, and the commands that make it so. A change of a route is one transaction of few elements; a
 * table that is damaged or unknown is written anew in one transaction, without a moment in which it is missing. Pure.
 */
import { printSocketAddress } from '../../dns/address.ts';
import { matchKey } from '../route.ts';
import type { Network } from '../vipRange.ts';
import {
  addressOfMatch,
  addressText,
  endText,
  type KernelMatch,
  type KernelRoute,
  mapOf,
  matchText,
  type Slot,
  slotText,
} from './kernelRoute.ts';
import { networkText, SETS, type TableForm, tableId, tableText } from './tableText.ts';

/** The networks and addresses of this host. */
export interface HostNetworks {
  /** Networks whose members reach each other directly. */
  readonly networks: readonly Network[];
  readonly addresses: readonly string[];
}

/** A route to set, or a match whose route has ended. */
export type RouteChange =
  | { readonly kind: 'set'; readonly route: KernelRoute }
  | { readonly kind: 'remove'; readonly match: KernelMatch };

export class TableContents {
  readonly #form: TableForm;
  readonly #table: string;
  readonly #routes = new Map<string, KernelRoute>();
  /** Elements of the sets that several routes share, with the number of routes. */
  readonly #shared = new Map<string, number>();
  #networks: readonly string[] = [];
  #addresses: readonly string[] = [];

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

  /** Takes over what the kernel has. The sets follow from the routes, and are not taken over. */
  adopt(routes: Iterable<KernelRoute>): void {
    for (const route of routes) this.#routes.set(matchKey(route.match), route);
  }

  /** The commands for the changes; empty if nothing changes. The contents have changed when it returns. */
  change(changes: readonly RouteChange[]): string {
    const commands = new Commands(this.#table);
    for (const change of changes) {
      const match = change.kind === 'set' ? change.route.match : change.match;
      const next = change.kind === 'set' ? change.route : undefined;
      const key = matchKey(match);
      this.#changeSlots(commands, this.#routes.get(key), next);
      this.#changeShared(commands, this.#routes.get(key), next);
      if (next === undefined) this.#routes.delete(key);
      else this.#routes.set(key, next);
    }
    return commands.text();
  }

  /** The commands for other networks and addresses of this host. */
  changeNetworks({ networks, addresses }: HostNetworks): string {
    const commands = new Commands(this.#table);
    const pairs = networks.map((network) => `${networkText(network)} . ${networkText(network)}`);
    const own = addresses.map(addressText);
    commands.replace(SETS.neighbours, this.#networks, pairs);
    commands.replace(SETS.local, this.#addresses, own);
    this.#networks = pairs;
    this.#addresses = own;
    return commands.text();
  }

  /** The commands that make the table with all its contents, in place of one that may exist. */
  rebuild(): string {
    const commands = new Commands(this.#table);
    this.#shared.clear();
    for (const route of this.#routes.values()) {
      this.#changeSlots(commands, undefined, route);
      this.#changeShared(commands, undefined, route);
    }
    commands.replace(SETS.neighbours, [], this.#networks);
    commands.replace(SETS.local, [], this.#addresses);
    const body = tableText(this.#form);
    return [
      ...[`add table ${this.#table}`, `delete table ${this.#table}`],
      `table ${this.#table} {\n${body}\nchain ${versionChain(this.#form)} {\n}\n}`,
      commands.text(),
    ].join('\n');
  }

  /**
   * The commands that correct the sets of an adopted table; empty if they are right. `found`: their elements, of networks
   * only the addresses.
   */
  correctSets(found: ReadonlyMap<string, readonly string[]>): string {
    this.#shared.clear();
    const commands = new Commands(this.#table);
    for (const route of this.#routes.values()) this.#changeShared(NO_COMMANDS, undefined, route);
    const wanted = this.#setElements();
    for (const set of Object.values(SETS)) {
      const [is, should] = [found.get(set) ?? [], wanted.get(set) ?? []];
      if (isSameSet(is, should.map(withoutPrefixes))) continue;
      commands.flush(set);
      for (const element of should) commands.add(set, element);
    }
    return commands.text();
  }

  #setElements(): ReadonlyMap<string, readonly string[]> {
    const elements = new Map<string, string[]>([
      [SETS.neighbours, [...this.#networks]],
      [SETS.local, [...this.#addresses]],
    ]);
    for (const element of this.#shared.keys()) {
      const [set = '', text = ''] = element.split('\t');
      elements.set(set, [...(elements.get(set) ?? []), text]);
    }
    return elements;
  }

  #changeSlots(
    commands: Commands,
    former: KernelRoute | undefined,
    next: KernelRoute | undefined,
  ): void {
    const isSameMap = former?.slots.length === next?.slots.length;
    former?.slots.forEach((slot, i) => {
      if (isSameMap && isSamePlace(slot, next?.slots[i])) return;
      commands.delete(mapOf(former), `${matchText(former.match)} . ${i}`);
    });
    next?.slots.forEach((slot, i) => {
      if (isSameMap && isSamePlace(slot, former?.slots[i])) return;
      commands.add(mapOf(next), `${matchText(next.match)} . ${i} : ${slotText(slot)}`);
    });
  }

  #changeShared(
    commands: Commands,
    former: KernelRoute | undefined,
    next: KernelRoute | undefined,
  ): void {
    const [before, after] = [sharedElements(former), sharedElements(next)];
    for (const element of after) if (!before.has(element)) this.#share(commands, element, 1);
    for (const element of before) if (!after.has(element)) this.#share(commands, element, -1);
  }

  #share(commands: Commands, element: string, by: 1 | -1): void {
    const former = this.#shared.get(element) ?? 0;
    const now = former + by;
    const [set = '', text = ''] = element.split('\t');
    if (former === 0) commands.add(set, text);
    if (now === 0) commands.delete(set, text);
    if (now <= 0) this.#shared.delete(element);
    else this.#shared.set(element, now);
  }
}

/** A chain without rules, whose name says which program's table it is: another version writes its table anew. */
export function versionChain(form: TableForm): string {
  let hash = 0;
  for (const char of tableText(form)) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) >>> 0;
  return `version_${hash.toString(16)}`;
}

function isSamePlace(a: Slot, b: Slot | undefined): boolean {
  return b !== undefined && printSocketAddress(a) === printSocketAddress(b);
}

/** `SET\tELEMENT` for each element of the sets that the route needs. */
function sharedElements(route: KernelRoute | undefined): ReadonlySet<string> {
  const elements = new Set<string>();
  if (route === undefined) return elements;
  const { match, slots } = route;
  if (match.kind === 'consumer') {
    elements.add(`${SETS.consumers}\t${addressText(addressOfMatch(match))}`);
    if (slots.length === 0) elements.add(`${SETS.refused}\t${matchText(match)}`);
  }
  for (const { address, port, isPrivate } of slots)
    if (isPrivate) elements.add(`${SETS.private}\t${endText(address, match.protocol, port)}`);
  return elements;
}

function withoutPrefixes(element: string): string {
  return element.replace(/\/[0-9]+/g, '');
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return [...new Set(a)].sort().join() === [...new Set(b)].sort().join();
}

/** The commands of one transaction: what leaves goes first, so that a key can come back with other data. */
class Commands {
  readonly #table: string;
  readonly #flushed: string[] = [];
  readonly #deleted = new Map<string, Set<string>>();
  readonly #added = new Map<string, Set<string>>();

  constructor(table: string) {
    this.#table = table;
  }

  flush(set: string): void {
    this.#flushed.push(`flush set ${this.#table} ${set}`);
  }

  /** What the same transaction adds is not there yet to be deleted. */
  delete(set: string, element: string): void {
    if (this.#added.get(set)?.delete(element) !== true) include(this.#deleted, set, element);
  }

  add(set: string, element: string): void {
    if (this.#deleted.get(set)?.delete(element) !== true) include(this.#added, set, element);
  }

  replace(set: string, former: readonly string[], now: readonly string[]): void {
    for (const element of new Set(former)) if (!now.includes(element)) this.delete(set, element);
    for (const element of new Set(now)) if (!former.includes(element)) this.add(set, element);
  }

  text(): string {
    const lines = (verb: string, elements: ReadonlyMap<string, ReadonlySet<string>>) =>
      [...elements].flatMap(([set, list]) =>
        list.size === 0
          ? []
          : [`${verb} element ${this.#table} ${set} { ${[...list].join(', ')} }`],
      );
    const commands = [...lines('delete', this.#deleted), ...lines('add', this.#added)];
    return [...this.#flushed, ...commands].join('\n');
  }
}

function include(lists: Map<string, Set<string>>, key: string, value: string): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, new Set([value]));
  else list.add(value);
}

/** Takes commands that are not needed. */
const NO_COMMANDS = new Commands('');
