/**
 * One family's table in the kernel, kept equal to its contents. All calls wait for the kernel, so they belong into a
 * thread of their own.
 */

import { printSocketAddress } from '../../dns/address.ts';
import type { Conntrack } from '../../kernel/conntrack.ts';
import type { Nft } from '../../kernel/libnftables.ts';
import type { NftRuleset } from '../../kernel/nftRuleset.ts';
import { matchKey } from '../route.ts';
import { type HostNetworks, type RouteChange, TableContents, versionChain } from './contents.ts';
import { leftKey, sweepFlows } from './flowSweep.ts';
import { decodeSetElement, decodeSlot, type KernelRoute, type Slot } from './kernelRoute.ts';
import { mapName, SETS, SLOT_COUNTS, TABLE_NAME, type TableForm, tableId } from './tableText.ts';

export interface KernelAccess {
  readonly nft: Nft;
  readonly ruleset: NftRuleset;
  readonly conntrack: Conntrack;
}

export interface TableCounters {
  /** Transactions. */
  updates: number;
  failures: number;
  /** The table was written anew, because another program had changed it. */
  rebuilt: number;
  readonly flowsDeleted: { tcp: number; udp: number };
}

export interface KernelTableOptions extends KernelAccess {
  readonly form: TableForm;
  readonly drainSeconds: number;
  readonly monotonicMs: () => number;
  readonly counters: TableCounters;
}

export class KernelTable {
  readonly #options: KernelTableOptions;
  readonly #contents: TableContents;
  readonly #leftAtMs = new Map<string, number>();
  #networks: HostNetworks = { networks: [], addresses: [] };
  /** The number of the table's parts after it was written, to notice changes by other programs. */
  #parts = '';
  /** The table was adopted, or written, and no change has failed since. */
  #isWritten = false;

  constructor(options: KernelTableOptions) {
    this.#options = options;
    this.#contents = new TableContents(options.form);
  }

  /** Takes over the table of a former process of this version, if there is one, with its routes. */
  adopt(): readonly KernelRoute[] {
    const parts = this.#readParts();
    if (parts === undefined || !parts.includes(`chain ${versionChain(this.#options.form)}`))
      return [];
    const routes = this.#readRoutes();
    if (routes === undefined) return [];
    this.#contents.adopt(routes);
    this.#isWritten = true;
    this.#parts = parts;
    return routes;
  }

  /** Why the changes are not in force; undefined if they are. */
  change(changes: readonly RouteChange[]): string | undefined {
    this.#noteLeft(changes);
    const commands = this.#contents.change(changes);
    return this.#isWritten ? this.#run(commands) : this.#write();
  }

  /** As `setNetworks`, before the table is adopted or written. */
  noteNetworks(networks: HostNetworks): void {
    this.#networks = networks;
    this.#contents.changeNetworks(networks);
  }

  setNetworks(networks: HostNetworks): string | undefined {
    this.#networks = networks;
    const commands = this.#contents.changeNetworks(networks);
    return this.#isWritten ? this.#run(commands) : this.#write();
  }

  /** Corrects the sets after `adopt`, when the routes and networks have been compared. */
  correctSets(): string | undefined {
    const { ruleset, form } = this.#options;
    const table = { family: form.family, name: TABLE_NAME };
    const found = new Map<string, string[]>();
    for (const set of Object.values(SETS)) {
      const listed = ruleset.elements(table, set);
      if (listed.kind === 'failed') return this.#write();
      found.set(
        set,
        listed.entries.map(({ key }) => decodeSetElement(set, form.family, key)),
      );
    }
    return this.#run(this.#contents.correctSets(found));
  }

  /** Writes the table anew if another program has changed it. Returns why it could not. */
  verify(): string | undefined {
    if (this.#isWritten && this.#readParts() === this.#parts && this.#hasAllSlots())
      return undefined;
    this.#options.counters.rebuilt++;
    return this.#write();
  }

  /** Deletes the entries of flows whose backend has left. Returns when the next one is due. */
  sweep(): number | undefined {
    const { form, conntrack, drainSeconds, monotonicMs, counters } = this.#options;
    const listed = conntrack.list({ family: form.family });
    if (listed.kind === 'failed') return undefined;
    const own = new Set(this.#networks.addresses);
    const options = { nowMs: monotonicMs(), drainSeconds, leftAtMs: this.#leftAtMs };
    const { doomed, nextMs } = sweepFlows(
      listed.entries,
      (match) => this.#contents.route(match) ?? this.#ended.get(matchKey(match)),
      (address) => own.has(address),
      options,
    );
    for (const flow of doomed) if (conntrack.delete(flow)) counters.flowsDeleted[flow.protocol]++;
    this.#forgetLeft(nextMs);
    return nextMs;
  }

  /** Removes the table. */
  clear(): void {
    const table = tableId(this.#options.form.family);
    this.#options.nft.run(`add table ${table}\ndelete table ${table}`);
    this.#isWritten = false;
  }

  /** Routes that have ended: their flows have no backend that serves. */
  readonly #ended = new Map<string, KernelRoute>();

  #noteLeft(changes: readonly RouteChange[]): void {
    const nowMs = this.#options.monotonicMs();
    for (const change of changes) {
      const match = change.kind === 'set' ? change.route.match : change.match;
      const slots = change.kind === 'set' ? change.route.slots : [];
      const former = this.#contents.route(match);
      const stay = new Set(slots.map(printSocketAddress));
      for (const slot of former?.slots ?? []) {
        const backend = printSocketAddress(slot);
        const key = leftKey(match, backend);
        if (stay.has(backend)) this.#leftAtMs.delete(key);
        else if (!this.#leftAtMs.has(key)) this.#leftAtMs.set(key, nowMs);
      }
      if (change.kind === 'set') this.#ended.delete(matchKey(match));
      else if (former !== undefined) this.#ended.set(matchKey(match), { ...former, slots: [] });
    }
  }

  /** Without a flow that drains, the times of departure are not needed any more. */
  #forgetLeft(nextMs: number | undefined): void {
    if (nextMs !== undefined) return;
    this.#leftAtMs.clear();
    this.#ended.clear();
  }

  #run(commands: string): string | undefined {
    if (commands === '') return undefined;
    const { nft, counters } = this.#options;
    counters.updates++;
    if (nft.run(commands).kind === 'done') return undefined;
    // The kernel has something else than expected: another program has changed the table.
    counters.rebuilt++;
    return this.#write();
  }

  #write(): string | undefined {
    const { nft, counters } = this.#options;
    counters.updates++;
    const outcome = nft.run(this.#contents.rebuild());
    this.#isWritten = outcome.kind === 'done';
    this.#parts = this.#readParts() ?? '';
    if (outcome.kind === 'done') return undefined;
    counters.failures++;
    return outcome.reason;
  }

  /** The names of the table's parts and a digest of their rules; undefined if the table cannot be read. */
  #readParts(): string | undefined {
    const { ruleset, form } = this.#options;
    const parts = ruleset.parts({ family: form.family, name: TABLE_NAME });
    if (parts.kind === 'failed') return undefined;
    return parts.entries
      .map(({ kind, name, octets }) => `${kind} ${name}\n${Buffer.from(octets).toString('base64')}`)
      .join('\n');
  }

  #hasAllSlots(): boolean {
    let expected = 0;
    for (const { slots } of this.#contents.routes()) expected += slots.length;
    let found = 0;
    for (const { slots } of this.#readRoutes() ?? []) found += slots.length;
    return found === expected;
  }

  #readRoutes(): readonly KernelRoute[] | undefined {
    const routes: KernelRoute[] = [];
    for (const kind of ['virtual', 'consumer'] as const)
      for (const count of SLOT_COUNTS) {
        const found = this.#readMap(kind, count);
        if (found === undefined) return undefined;
        routes.push(...found);
      }
    return routes;
  }

  /** The routes of a map that have all their slots. */
  #readMap(kind: 'virtual' | 'consumer', count: number): readonly KernelRoute[] | undefined {
    const { ruleset, form } = this.#options;
    const table = { family: form.family, name: TABLE_NAME };
    const listed = ruleset.elements(table, mapName(kind, count));
    if (listed.kind === 'failed') return undefined;
    const routes = new Map<string, { match: KernelRoute['match']; slots: Slot[] }>();
    for (const { key, data } of listed.entries) {
      const decoded = decodeSlot(kind, form.family, key, data);
      if (decoded === undefined) return undefined;
      const { match, slot, backend } = decoded;
      const route = routes.get(matchKey(match)) ?? { match, slots: [] };
      routes.set(matchKey(match), route);
      route.slots[slot] = { ...backend, isPrivate: false };
    }
    const found = [...routes.values()];
    const isWhole = found.every(
      ({ slots }) => slots.length === count && !slots.includes(undefined as never),
    );
    return isWhole ? found : undefined;
  }
}
