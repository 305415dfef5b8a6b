/** A table of the kernel with the parts that a thread gives it, whose clock a test advances. */
import assert from 'node:assert/strict';
import type { RouteChange } from '../../src/ambassador/nft/contents.ts';
import { FlowSweeper } from '../../src/ambassador/nft/flowSweeper.ts';
import type { KernelMatch, KernelRoute } from '../../src/ambassador/nft/kernelRoute.ts';
import { KernelTable } from '../../src/ambassador/nft/kernelTable.ts';
import type { TableForm } from '../../src/ambassador/nft/tableText.ts';
import { Transactions } from '../../src/ambassador/nft/transactions.ts';
import { openConntrack } from '../../src/kernel/conntrack.ts';
import { listHostAddresses } from '../../src/kernel/knownNetworks.ts';
import { openNft } from '../../src/kernel/libnftables.ts';
import { openNftRuleset } from '../../src/kernel/nftRuleset.ts';

export const RANGES = {
  4: { address: '198.18.0.0', prefixLength: 16 },
  6: { address: 'fd53:6f72::', prefixLength: 64 },
} as const;

export interface TableScene {
  readonly table: KernelTable;
  readonly transactions: Transactions;
  readonly sweeper: FlowSweeper;
  readonly counters: ReturnType<typeof newCounters>;
  readonly clock: { nowMs: number };
}

/** The table has no routes yet. */
export function openTable({
  family = 4,
  drainSeconds = 30,
  balance = 'random',
}: Partial<Pick<TableForm, 'family' | 'balance'>> & { drainSeconds?: number } = {}): TableScene {
  const [nft, ruleset, conntrack] = [openNft(), openNftRuleset(), openConntrack()];
  assert.ok(nft.kind === 'nft' && ruleset.kind === 'ruleset' && conntrack.kind === 'conntrack');
  const counters = newCounters();
  const clock = { nowMs: 0 };
  const sweeper = new FlowSweeper({
    conntrack: conntrack.conntrack,
    hostAddresses: () => {
      const listed = listHostAddresses();
      return listed.kind === 'complete' ? listed.entries : [];
    },
    monotonicMs: () => clock.nowMs,
    onDeleted: ({ protocol }) => counters.flowsDeleted[protocol]++,
  });
  const transactions = new Transactions(nft.nft, ruleset.ruleset);
  const form = { family, range: RANGES[family], balance };
  const table = new KernelTable({
    ...{ form, transactions, ruleset: ruleset.ruleset, sweeper, drainSeconds, counters },
  });
  return { table, transactions, sweeper, counters, clock };
}

function newCounters() {
  return { updates: 0, failures: 0, rebuilt: 0, flowsDeleted: { tcp: 0, udp: 0 } };
}

/** A route whose slots take turns among the backends; TCP leads to their port 8080, UDP to 5300. */
export function routeTo(match: KernelMatch, ...addresses: readonly string[]): KernelRoute {
  const port = match.protocol === 'udp' ? 5300 : 8080;
  const slots = Array.from({ length: addresses.length === 0 ? 0 : 16 }, (_, i) => ({
    ...{ address: addresses[i % addresses.length] ?? '', port },
  }));
  return { match, slots };
}

export function setting(...routes: readonly KernelRoute[]): readonly RouteChange[] {
  return routes.map((route) => ({ kind: 'set', route }));
}

export function virtual(address: string, port: number, protocol: 'tcp' | 'udp'): KernelMatch {
  return { kind: 'virtual', address, port, protocol };
}

export function consumer(source: string, port: number, protocol: 'tcp' | 'udp'): KernelMatch {
  return { kind: 'consumer', source, port, protocol };
}
