/**
 * The thread that writes the tables: the kernel takes from half a millisecond to seconds for a transaction, for which
 * DNS must not wait. It also notices changes by other programs, and ends flows whose backend has left.
 */
import type { MessagePort } from 'node:worker_threads';
import { openBridgePorts } from '../../kernel/bridgePorts.ts';
import { type Conntrack, openConntrack } from '../../kernel/conntrack.ts';
import { listHostAddresses } from '../../kernel/knownNetworks.ts';
import { type Nft, openNft } from '../../kernel/libnftables.ts';
import { type NftRuleset, openNftRuleset } from '../../kernel/nftRuleset.ts';
import { backoffMs } from '../../timing/backoff.ts';
import { type RouteChange, TableContents } from './contents.ts';
import { CrossBridgeRule, type CrossBridgeState } from './crossBridge.ts';
import { FlowSweeper } from './flowSweeper.ts';
import { familyOfMatch, type KernelRoute, type Slot } from './kernelRoute.ts';
import { KernelTable, type TableCounters } from './kernelTable.ts';
import { SelfReach } from './selfReach.ts';
import { TABLE_NAME, type TableForm } from './tableText.ts';
import { type ForeignChanges, Transactions } from './transactions.ts';

export interface NftThreadStart {
  /** One for each family that is used. */
  readonly forms: readonly TableForm[];
  readonly drainSeconds: number;
  /** Whether connections reach published ports across Docker's bridges. */
  readonly crossBridge: boolean;
}

export type NftOrder =
  /** These are all routes, also in place of those of an adopted table. */
  | { readonly kind: 'begin'; readonly routes: readonly KernelRoute[] }
  | { readonly kind: 'change'; readonly changes: readonly RouteChange[] }
  /** Backends at these addresses have died. */
  | { readonly kind: 'dead'; readonly addresses: readonly string[] }
  /** The own addresses of the backends on this host. */
  | { readonly kind: 'local'; readonly addresses: readonly string[] }
  | { readonly kind: 'clear' }
  | { readonly kind: 'close' };

export type NftReport =
  | {
      readonly kind: 'opened';
      /** Of the tables of a former process: the backends in the slots of each route, by `matchKey`. */
      readonly slots: ReadonlyMap<string, readonly Slot[]>;
    }
  | { readonly kind: 'unsupported'; readonly reason: string }
  /** Follows each `begin` and `change`, and everything that the thread does by itself. */
  | ({ readonly kind: 'state'; readonly isReply: boolean } & NftState)
  | { readonly kind: 'cleared' };

export interface NftState {
  /** Why the routes are not in force. */
  readonly trouble: string | undefined;
  readonly counters: TableCounters;
  /** The programs that had changed a table of ours, if it was corrected just now. */
  readonly correctedAfter: readonly string[] | undefined;
  readonly crossBridge: CrossBridgeState | undefined;
}

/** How soon a change by another program is noticed. */
const LOOK_EVERY_MS = 100;
/** How often to try again what the kernel has refused. */
const RETRY = { minMs: 1_000, maxMs: 30_000 };
/** Docker's rules change many times in a second when containers start. */
const CROSS_BRIDGE_PAUSE_MS = 1_000;
/** Old versions of iptables change rules that nf_tables does not know. */
const CROSS_BRIDGE_EVERY_MS = 60_000;

export function runNftThread(port: MessagePort, start: NftThreadStart): void {
  const access = openKernelAccess(start);
  if (access.kind === 'unsupported') {
    port.postMessage(access satisfies NftReport);
    return;
  }
  const thread = new NftThread(port, start, access.access);
  port.on('message', (order: NftOrder) => thread.obey(order));
  port.postMessage({ kind: 'opened', slots: thread.slots() } satisfies NftReport);
}

export interface KernelAccess {
  readonly nft: Nft;
  readonly ruleset: NftRuleset;
  readonly conntrack: Conntrack;
}

export type KernelAccessOpened =
  | { readonly kind: 'access'; readonly access: KernelAccess }
  | { readonly kind: 'unsupported'; readonly reason: string };

/** What writing tables needs; tries whether the kernel would take those of these forms. */
export function openKernelAccess({ forms }: Pick<NftThreadStart, 'forms'>): KernelAccessOpened {
  const nft = openNft();
  if (nft.kind === 'missing') return { kind: 'unsupported', reason: nft.reason };
  const ruleset = openNftRuleset();
  if (ruleset.kind === 'missing') return unsupported(ruleset.reason);
  const conntrack = openConntrack();
  if (conntrack.kind === 'missing') return unsupported(conntrack.reason);
  for (const form of forms) {
    const outcome = nft.nft.check(new TableContents(form).rebuild());
    if (outcome.kind === 'refused')
      return unsupported(`the kernel refuses the table: ${outcome.reason}`);
  }
  const access = { nft: nft.nft, ruleset: ruleset.ruleset, conntrack: conntrack.conntrack };
  return { kind: 'access', access };
}

/** Why this process cannot write tables of these forms; undefined if it can. Changes nothing. */
export function obstacleToTables(forms: readonly TableForm[]): string | undefined {
  const opened = openKernelAccess({ forms });
  if (opened.kind === 'unsupported') return opened.reason;
  for (const each of Object.values(opened.access)) each.close();
  return undefined;
}

function unsupported(reason: string): KernelAccessOpened {
  const isForbidden = /\bE(PERM|ACCES)\b|not permitted/.test(reason);
  return { kind: 'unsupported', reason: isForbidden ? NEEDS_CAPABILITY : reason };
}

export const NEEDS_CAPABILITY = 'it needs the capability NET_ADMIN';

class NftThread {
  readonly #port: MessagePort;
  readonly #access: KernelAccess;
  readonly #transactions: Transactions;
  readonly #sweeper: FlowSweeper;
  readonly #tables: readonly KernelTable[];
  readonly #bridges: readonly CrossBridgeRule[];
  readonly #ports = openBridgePorts();
  readonly #selfReach = this.#ports && new SelfReach(this.#ports);
  readonly #counters: TableCounters = {
    ...{ updates: 0, failures: 0, rebuilt: 0 },
    flowsDeleted: { tcp: 0, udp: 0 },
  };
  readonly #lookTimer: NodeJS.Timeout;
  #sweepTimer: NodeJS.Timeout | undefined;
  /** Routes are kept from `begin` to `clear`. */
  #hasBegun = false;
  #trouble: string | undefined;
  #failuresInARow = 0;
  #retryAtMs = 0;
  #crossBridge: CrossBridgeState | undefined;
  #crossBridgeAtMs = Number.POSITIVE_INFINITY;
  #ensuring: Promise<void> | undefined;

  constructor(port: MessagePort, start: NftThreadStart, access: KernelAccess) {
    const { forms, drainSeconds, crossBridge } = start;
    const { nft, ruleset, conntrack } = access;
    this.#port = port;
    this.#access = access;
    const transactions = new Transactions(nft, ruleset);
    const sweeper = new FlowSweeper({
      conntrack,
      hostAddresses: ownAddresses,
      monotonicMs: () => performance.now(),
      onDeleted: ({ protocol }) => this.#counters.flowsDeleted[protocol]++,
    });
    this.#transactions = transactions;
    this.#sweeper = sweeper;
    const counters = this.#counters;
    this.#tables = forms.map(
      (form) => new KernelTable({ form, transactions, ruleset, sweeper, drainSeconds, counters }),
    );
    this.#bridges = crossBridge ? forms.map(({ family }) => new CrossBridgeRule(family)) : [];
    this.#lookTimer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  slots(): ReadonlyMap<string, readonly Slot[]> {
    return new Map(this.#tables.flatMap((table) => [...table.slots()]));
  }

  obey(order: NftOrder): void {
    switch (order.kind) {
      case 'begin':
        this.#hasBegun = true;
        for (const table of this.#tables) table.begin(ofFamily(order.routes, table));
        this.#reply();
        this.#ensureCrossBridge();
        return;
      case 'change':
        for (const table of this.#tables) table.change(changesOf(order.changes, table));
        this.#reply();
        return;
      case 'dead':
        this.#sweeper.noteDeath(order.addresses);
        this.#sweep();
        return;
      case 'local':
        this.#selfReach?.want(order.addresses);
        this.#selfReach?.look();
        return;
      case 'clear':
        void this.#clear();
        return;
      case 'close':
        clearInterval(this.#lookTimer);
        clearTimeout(this.#sweepTimer);
        this.#access.nft.close();
        this.#access.ruleset.close();
        this.#access.conntrack.close();
        this.#ports?.close();
        this.#port.close();
        return;
    }
  }

  #reply(): void {
    this.#noteTroubles();
    this.#report(true, undefined);
    this.#sweep();
  }

  #look(): void {
    if (!this.#hasBegun) return;
    const nowMs = performance.now();
    const foreign = this.#transactions.foreignChanges();
    if (foreign !== undefined) this.#onForeignChanges(foreign, nowMs);
    if (this.#trouble !== undefined && nowMs >= this.#retryAtMs) this.#repair(this.#tables, []);
    if (nowMs >= this.#crossBridgeAtMs) this.#ensureCrossBridge();
    this.#selfReach?.look();
  }

  #onForeignChanges({ tables, programs, isWhole }: ForeignChanges, nowMs: number): void {
    const hasChanged = (family: 4 | 6, name: string) =>
      !isWhole || tables.some((table) => table.family === family && table.name === name);
    const damaged = this.#tables.filter(({ form }) => hasChanged(form.family, TABLE_NAME));
    if (damaged.length > 0) this.#repair(damaged, programs);
    if (this.#tables.some(({ form }) => hasChanged(form.family, 'filter')))
      this.#crossBridgeAtMs = Math.min(this.#crossBridgeAtMs, nowMs + CROSS_BRIDGE_PAUSE_MS);
  }

  #repair(tables: readonly KernelTable[], programs: readonly string[]): void {
    const { rebuilt, failures } = this.#counters;
    for (const table of tables) table.repair();
    this.#noteTroubles();
    const isCorrected = this.#counters.rebuilt > rebuilt;
    if (isCorrected || this.#counters.failures > failures)
      this.#report(false, isCorrected ? programs : undefined);
    this.#sweep();
  }

  #noteTroubles(): void {
    this.#trouble = this.#tables.find(({ trouble }) => trouble !== undefined)?.trouble;
    this.#failuresInARow = this.#trouble === undefined ? 0 : this.#failuresInARow + 1;
    this.#retryAtMs = performance.now() + backoffMs(this.#failuresInARow, RETRY);
  }

  #sweep(): void {
    const { tcp, udp } = this.#counters.flowsDeleted;
    const nextMs = this.#sweeper.sweep();
    clearTimeout(this.#sweepTimer);
    if (nextMs !== undefined)
      this.#sweepTimer = setTimeout(() => this.#sweep(), Math.ceil(nextMs - performance.now()));
    const { flowsDeleted } = this.#counters;
    if (flowsDeleted.tcp + flowsDeleted.udp > tcp + udp) this.#report(false, undefined);
  }

  /** The last state stands; one call runs at a time. */
  #ensureCrossBridge(): void {
    const isEnsuring = this.#ensuring !== undefined;
    const pauseMs = isEnsuring ? CROSS_BRIDGE_PAUSE_MS : CROSS_BRIDGE_EVERY_MS;
    this.#crossBridgeAtMs = performance.now() + pauseMs;
    if (isEnsuring || this.#bridges.length === 0) return;
    this.#ensuring = Promise.all(this.#bridges.map((rule) => rule.ensure())).then((states) => {
      this.#ensuring = undefined;
      const state = states.find((one) => one === 'noProgram') ?? states[0];
      if (state === this.#crossBridge) return;
      this.#crossBridge = state;
      this.#report(false, undefined);
    });
  }

  async #clear(): Promise<void> {
    this.#hasBegun = false;
    for (const table of this.#tables) table.clear();
    await this.#ensuring; // it may add the rule until its end
    await Promise.all(this.#bridges.map((rule) => rule.remove()));
    this.#port.postMessage({ kind: 'cleared' } satisfies NftReport);
  }

  #report(isReply: boolean, correctedAfter: readonly string[] | undefined): void {
    this.#port.postMessage({
      ...{ kind: 'state', isReply, correctedAfter },
      trouble: this.#trouble,
      counters: this.#counters,
      crossBridge: this.#crossBridge,
    } satisfies NftReport);
  }
}

function ofFamily(routes: readonly KernelRoute[], { form }: KernelTable): readonly KernelRoute[] {
  return routes.filter(({ match }) => familyOfMatch(match) === form.family);
}

function changesOf(changes: readonly RouteChange[], { form }: KernelTable): readonly RouteChange[] {
  return changes.filter((change) => {
    const match = change.kind === 'set' ? change.route.match : change.match;
    return familyOfMatch(match) === form.family;
  });
}

function ownAddresses(): readonly string[] {
  const listed = listHostAddresses();
  return listed.kind === 'complete' ? listed.entries : [];
}
