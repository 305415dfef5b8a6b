/**
 * The thread that writes the tables: the kernel takes from half a millisecond to seconds for a transaction, for which
 * DNS must not wait. It also notices changes by other programs, and ends flows whose backend has left.
 */
import { networkInterfaces } from 'node:os';
import type { MessagePort } from 'node:worker_threads';
import { parseCidr } from '../../forward/addresses.ts';
import { openConntrack } from '../../kernel/conntrack.ts';
import { listHostAddresses } from '../../kernel/hostAddresses.ts';
import { openNft } from '../../kernel/libnftables.ts';
import { openNftRuleset } from '../../kernel/nftRuleset.ts';
import { matchKey } from '../route.ts';
import { maskedNetwork } from '../vipRange.ts';
import { type HostNetworks, type RouteChange, TableContents } from './contents.ts';
import { CrossBridgeRule } from './crossBridge.ts';
import { familyOf } from './kernelRoute.ts';
import { type KernelAccess, KernelTable, type TableCounters } from './kernelTable.ts';
import { TABLE_NAME, type TableForm } from './tableText.ts';

export interface NftThreadStart {
  /** One for each family that is used. */
  readonly forms: readonly TableForm[];
  readonly drainSeconds: number;
  /** Whether virtual addresses reach published ports across Docker's bridges. */
  readonly crossBridge: boolean;
}

export type NftOrder =
  /** `isWhole`: these are all routes, also in place of those of an adopted table. */
  | {
      readonly kind: 'change';
      readonly sequence: number;
      readonly changes: readonly RouteChange[];
      readonly isWhole: boolean;
    }
  /** The host's networks may have changed. */
  | { readonly kind: 'networks' }
  | { readonly kind: 'clear' }
  | { readonly kind: 'close' };

export type NftReport =
  | { readonly kind: 'opened' }
  | { readonly kind: 'unsupported'; readonly reason: string }
  | {
      readonly kind: 'changed';
      readonly sequence: number;
      /** Why the changes are not in force. */
      readonly trouble: string | undefined;
      readonly counters: TableCounters;
    }
  | { readonly kind: 'cleared' };

/** How soon a change by another program is noticed. */
const VERIFY_EVERY_MS = 250;
/** Changes that follow each other closely cause one look at the tracked flows. */
const SWEEP_AFTER_MS = 20;

export function runNftThread(port: MessagePort, start: NftThreadStart): void {
  const access = openAccess(start);
  if (access.kind === 'unsupported') {
    port.postMessage(access satisfies NftReport);
    return;
  }
  const thread = new NftThread(port, start, access.access);
  port.on('message', (order: NftOrder) => thread.obey(order));
  port.postMessage({ kind: 'opened' } satisfies NftReport);
}

type Access =
  | { readonly kind: 'access'; readonly access: KernelAccess }
  | { readonly kind: 'unsupported'; readonly reason: string };

function openAccess({ forms }: Pick<NftThreadStart, 'forms'>): Access {
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
  const opened = openAccess({ forms });
  if (opened.kind === 'unsupported') return opened.reason;
  for (const each of Object.values(opened.access)) each.close();
  return undefined;
}

function unsupported(reason: string): Access {
  const isForbidden = /\bE(PERM|ACCES)\b|not permitted/.test(reason);
  return { kind: 'unsupported', reason: isForbidden ? NEEDS_CAPABILITY : reason };
}

const NEEDS_CAPABILITY = 'it needs the capability NET_ADMIN';

class NftThread {
  readonly #port: MessagePort;
  readonly #access: KernelAccess;
  readonly #tables = new Map<4 | 6, KernelTable>();
  readonly #crossBridge: readonly CrossBridgeRule[];
  readonly #counters: TableCounters = {
    ...{ updates: 0, failures: 0, rebuilt: 0 },
    flowsDeleted: { tcp: 0, udp: 0 },
  };
  #networks = '';
  #generation = -1;
  #sweepTimer: NodeJS.Timeout | undefined;
  readonly #verifyTimer: NodeJS.Timeout;

  constructor(port: MessagePort, start: NftThreadStart, access: KernelAccess) {
    const { forms, drainSeconds, crossBridge } = start;
    this.#port = port;
    this.#access = access;
    const monotonicMs = () => performance.now();
    const counters = this.#counters;
    for (const form of forms)
      this.#tables.set(
        form.family,
        new KernelTable({ ...access, form, drainSeconds, monotonicMs, counters }),
      );
    const ranges = forms.flatMap(({ range }) => (crossBridge && range ? [range] : []));
    this.#crossBridge = ranges.map((range) => new CrossBridgeRule(range));
    this.#verifyTimer = setInterval(() => this.#verify(), VERIFY_EVERY_MS);
  }

  obey(order: NftOrder): void {
    switch (order.kind) {
      case 'change':
        this.#change(order);
        return;
      case 'networks':
        this.#updateNetworks();
        return;
      case 'clear':
        for (const table of this.#tables.values()) table.clear();
        for (const rule of this.#crossBridge) rule.remove();
        this.#report({ kind: 'cleared' });
        return;
      case 'close':
        clearInterval(this.#verifyTimer);
        clearTimeout(this.#sweepTimer);
        this.#access.nft.close();
        this.#access.ruleset.close();
        this.#access.conntrack.close();
        this.#port.close();
        return;
    }
  }

  #change({ sequence, changes, isWhole }: Extract<NftOrder, { kind: 'change' }>): void {
    const troubles: string[] = [];
    if (isWhole) this.#updateNetworks(false);
    if (isWhole) for (const rule of this.#crossBridge) rule.ensure();
    for (const [family, table] of this.#tables) {
      const own = changes.filter((change) => familyOfChange(change) === family);
      const trouble = isWhole ? this.#begin(table, own) : table.change(own);
      if (trouble !== undefined) troubles.push(trouble);
    }
    this.#generation = this.#readGeneration();
    const [trouble] = troubles;
    this.#report({ kind: 'changed', sequence, trouble, counters: structuredClone(this.#counters) });
    this.#sweepSoon(SWEEP_AFTER_MS);
  }

  /** Adopts the table of a former process and writes only what differs. */
  #begin(table: KernelTable, changes: readonly RouteChange[]): string | undefined {
    const adopted = table.adopt();
    const wanted = new Set(changes.map((change) => matchKeyOf(change)));
    const surplus = adopted
      .filter(({ match }) => !wanted.has(matchKey(match)))
      .map(({ match }): RouteChange => ({ kind: 'remove', match }));
    const trouble = table.change([...changes, ...surplus]);
    if (trouble !== undefined || adopted.length === 0) return trouble;
    return table.correctSets();
  }

  /** Takes the networks of this host over if they have changed. */
  #updateNetworks(mustRun = true): void {
    const found = readNetworks();
    const text = JSON.stringify(found);
    if (text === this.#networks) return;
    this.#networks = text;
    for (const [family, table] of this.#tables) {
      const own = ofFamily(found, family);
      if (mustRun) table.setNetworks(own);
      else table.noteNetworks(own);
    }
    if (mustRun) this.#generation = this.#readGeneration();
  }

  /** Looks at the tables if another program has changed the rule set. */
  #verify(): void {
    if (this.#generation < 0) return;
    this.#updateNetworks();
    const generation = this.#readGeneration();
    if (generation === this.#generation) return;
    const { tables, isWhole } = this.#access.ruleset.changes();
    if (!isWhole || tables.some(({ name }) => name === TABLE_NAME))
      for (const table of this.#tables.values()) table.verify();
    // dockerd, when it starts, and `iptables -F` change the rule set too.
    for (const rule of this.#crossBridge) rule.ensure();
    this.#generation = this.#readGeneration();
  }

  #readGeneration(): number {
    const read = this.#access.ruleset.generation();
    return read.kind === 'generation' ? read.id : 0;
  }

  #sweepSoon(afterMs: number): void {
    clearTimeout(this.#sweepTimer);
    this.#sweepTimer = setTimeout(() => this.#sweep(), afterMs);
  }

  #sweep(): void {
    let nextMs: number | undefined;
    for (const table of this.#tables.values()) {
      const dueMs = table.sweep();
      if (dueMs !== undefined) nextMs = Math.min(nextMs ?? dueMs, dueMs);
    }
    if (nextMs !== undefined) this.#sweepSoon(Math.max(SWEEP_AFTER_MS, nextMs - performance.now()));
  }

  #report(report: NftReport): void {
    this.#port.postMessage(report);
  }
}

function familyOfChange(change: RouteChange): 4 | 6 {
  return familyOf(change.kind === 'set' ? change.route.match : change.match);
}

function matchKeyOf(change: RouteChange): string {
  return matchKey(change.kind === 'set' ? change.route.match : change.match);
}

/** The networks of this host's interfaces, and its addresses. */
function readNetworks(): HostNetworks {
  const found = Object.values(networkInterfaces()).flatMap((list = []) => list);
  const networks = found.flatMap(({ cidr, internal }) => {
    const range = cidr === null || internal ? undefined : parseCidr(cidr);
    return range === undefined ? [] : [maskedNetwork(range)];
  });
  const listed = listHostAddresses();
  const addresses =
    listed.kind === 'complete' ? listed.entries : found.map(({ address }) => address);
  return { networks, addresses: addresses.filter((address) => !address.startsWith('fe80:')) };
}

function ofFamily({ networks, addresses }: HostNetworks, family: 4 | 6): HostNetworks {
  const isOwn = (address: string) => address.includes(':') === (family === 6);
  return {
    networks: networks.filter(({ address }) => isOwn(address)),
    addresses: addresses.filter(isOwn),
  };
}
