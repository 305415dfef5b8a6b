/**
 * One family's table in the kernel, kept equal to its contents. All calls wait for the kernel, so they belong into a
 * thread of their own.
 */
import { printSocketAddress } from '../../dns/address.ts';
import type { NftRuleset } from '../../kernel/nftRuleset.ts';
import { matchKey } from '../route.ts';
import { isStamped, type RouteChange, removal, stampText, TableContents } from './contents.ts';
import type { FlowSweeper, SweptRoute } from './flowSweeper.ts';
import {
  accessIn,
  decodeElement,
  elementId,
  type KernelMatch,
  type KernelRoute,
  type Slot,
  slotInElement,
  type TableElements,
} from './kernelRoute.ts';
import { FILLED, TABLE_NAME, type TableForm } from './tableText.ts';
import type { Transactions } from './transactions.ts';

export interface TableCounters {
  /** Transactions. */
  updates: number;
  failures: number;
  /** Corrections of what another program had changed. */
  rebuilt: number;
  readonly flowsDeleted: { tcp: number; udp: number };
}

export interface KernelTableOptions {
  readonly form: TableForm;
  readonly transactions: Pick<Transactions, 'run'>;
  readonly ruleset: Pick<NftRuleset, 'parts' | 'elements'>;
  readonly sweeper: Pick<FlowSweeper, 'noteChange'>;
  readonly drainSeconds: number;
  readonly counters: TableCounters;
}

export class KernelTable {
  readonly #options: KernelTableOptions;
  #contents: TableContents;
  /** Why the contents are not in force; undefined if they are. Then the kernel may have anything. */
  #trouble: string | undefined = 'nothing was written yet';

  constructor(options: KernelTableOptions) {
    this.#options = options;
    this.#contents = new TableContents(options.form);
  }

  get form(): TableForm {
    return this.#options.form;
  }

  /** Why the routes are not in force; undefined if they are. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** The backends in the slots of each route that the kernel has, by `matchKey`; none if the table is not ours. */
  slots(): ReadonlyMap<string, readonly Slot[]> {
    const slots = new Map<string, Slot[]>();
    const elements: TableElements = this.#readElements() ?? new Map();
    for (const [id, data] of elements) {
      const found = slotInElement(id, data);
      if (found === undefined) continue;
      const key = matchKey(found.match);
      const backends = slots.get(key) ?? [];
      const access = accessIn(elements, found.match.protocol, found.backend);
      backends[found.slot] = { ...found.backend, access };
      slots.set(key, backends);
    }
    return slots;
  }

  /** Sets all routes. A table of a former process is adopted: only what differs is written. */
  begin(routes: readonly KernelRoute[]): void {
    this.#contents = new TableContents(this.form);
    this.#contents.change(routes.map((route) => ({ kind: 'set', route })));
    this.#correct();
    for (const route of routes) this.#noteRoute(route.match);
  }

  change(changes: readonly RouteChange[]): void {
    const former = changes.map((change) => this.#contents.route(matchOf(change)));
    const commands = this.#contents.change(changes);
    if (this.#trouble !== undefined) this.#correct();
    else if (commands !== '' && !this.#transact(commands)) this.repair();
    changes.forEach((change, i) => {
      this.#noteRoute(matchOf(change), former[i]);
    });
  }

  /** Corrects what differs: another program has changed the table, or a transaction has failed. */
  repair(): void {
    const { counters } = this.#options;
    const before = counters.updates;
    this.#correct();
    if (counters.updates > before && this.#trouble === undefined) counters.rebuilt++;
  }

  /** Removes the table. */
  clear(): void {
    this.#options.transactions.run(removal(this.form.family));
    this.#contents = new TableContents(this.form);
    this.#trouble = 'the table was removed';
  }

  /** Compares the table with its contents, and writes what differs. */
  #correct(): void {
    const found = this.#readElements();
    if (found === undefined) {
      this.#write();
      return;
    }
    for (const [match, backends] of endedRoutes(found, this.#contents))
      this.#sweep(match, new Set(), backends);
    const commands = this.#contents.correct(found);
    if (commands === '') this.#trouble = undefined;
    else if (!this.#transact(commands)) this.#write();
  }

  /** Undefined if the table does not exist, or is not as this version writes it. */
  #readElements(): TableElements | undefined {
    const { ruleset } = this.#options;
    const table = { family: this.form.family, name: TABLE_NAME };
    const parts = ruleset.parts(table);
    if (parts.kind === 'failed' || !isStamped(this.form, parts.entries)) return undefined;
    const elements: TableElements = new Map();
    for (const set of FILLED) {
      const listed = ruleset.elements(table, set);
      if (listed.kind === 'failed') return undefined;
      for (const { key, data } of listed.entries) {
        const text = decodeElement(set, this.form.family, key, data);
        if (text === undefined) return undefined;
        elements.set(elementId(set, text.key), text.data);
      }
    }
    return elements;
  }

  /** Writes the whole table in one transaction, then its stamp. Without the stamp it is written again next time. */
  #write(): void {
    if (!this.#transact(this.#contents.rebuild())) return;
    const parts = this.#options.ruleset.parts({ family: this.form.family, name: TABLE_NAME });
    if (parts.kind === 'complete')
      this.#options.transactions.run(stampText(this.form, parts.entries));
  }

  /** Whether the kernel has taken the commands. If not, it has something else than expected, or no room. */
  #transact(commands: string): boolean {
    const { transactions, counters } = this.#options;
    const outcome = transactions.run(commands);
    counters.updates++;
    if (outcome.kind === 'refused') counters.failures++;
    this.#trouble = outcome.kind === 'refused' ? outcome.reason : undefined;
    return outcome.kind === 'done';
  }

  #noteRoute(match: KernelMatch, former?: KernelRoute): void {
    const route = this.#contents.route(match);
    const had = route === undefined ? backendsOf(former) : undefined;
    this.#sweep(match, backendsOf(route), had, (route ?? former)?.drainSeconds);
  }

  #sweep(
    match: KernelMatch,
    serving: ReadonlySet<string>,
    former: ReadonlySet<string> | undefined,
    drainSeconds = this.#options.drainSeconds,
  ): void {
    const swept: SweptRoute = { match, allowed: { serving, former }, drainSeconds };
    this.#options.sweeper.noteChange(swept);
  }
}

function matchOf(change: RouteChange): KernelMatch {
  return change.kind === 'set' ? change.route.match : change.match;
}

function backendsOf(route: KernelRoute | undefined): ReadonlySet<string> {
  return new Set(route?.slots.map(printSocketAddress));
}

/** Routes of a former process that are not wanted any more, each with the backends that it had. */
function endedRoutes(
  found: TableElements,
  contents: TableContents,
): Iterable<readonly [KernelMatch, ReadonlySet<string>]> {
  const ended = new Map<string, readonly [KernelMatch, Set<string>]>();
  for (const [id, data] of found) {
    const slot = slotInElement(id, data);
    if (slot === undefined || contents.route(slot.match) !== undefined) continue;
    const key = matchKey(slot.match);
    const known = ended.get(key) ?? ([slot.match, new Set<string>()] as const);
    ended.set(key, known);
    known[1].add(printSocketAddress(slot.backend));
  }
  return ended.values();
}
