/**
 * Deletes the entries of flows whose backend has left their route: at once, or when the backend's drain time is over. It
 * looks at the flows of a route after each of its changes, and once more a little later, because a packet may have passed
 * the former rules and reach connection tracking after the first look.
 */
import type { Conntrack } from '../../kernel/conntrack.ts';
import type { TrackedFlow } from '../../kernel/conntrackMessage.ts';
import { matchKey } from '../route.ts';
import {
  type AllowedBackends,
  backendOf,
  filterFor,
  judgeFlow,
  matchesOf,
} from './flowJudgement.ts';
import { familyOfMatch, type KernelMatch } from './kernelRoute.ts';

/** A route as it is now. */
export interface SweptRoute {
  readonly match: KernelMatch;
  readonly allowed: AllowedBackends;
  /** -1: connections to a backend that left go on for ever. */
  readonly drainSeconds: number;
}

export interface FlowSweeperOptions {
  readonly conntrack: Pick<Conntrack, 'list' | 'delete'>;
  /** This host's addresses: a consumer's flow to another host is not its route's. */
  readonly hostAddresses: () => readonly string[];
  readonly monotonicMs: () => number;
  readonly onDeleted: (flow: TrackedFlow) => void;
}

/** What is known about a route's flows. */
interface SweptFlows {
  route: SweptRoute;
  /** When its last change came into force. */
  changedMs: number;
  /** When to look at its flows, ascending. */
  looks: readonly number[];
  /** When the drain time of each backend ends that has left and still has connections. */
  readonly dueMs: Map<string, number>;
}

/** When to look at a route's flows after its change. */
const LOOKS_AFTER_MS = [0, 200];
/** Routes that change at the same time. With more, one look at all flows is cheaper than one for each. */
const MAX_FILTERS = 4;
/** However often routes change, the pause after a look is at least this, and at least so many times as long as it. */
const PAUSE_MS = 20;
const PAUSE_FACTOR = 3;
/** After a look that failed. */
const RETRY_MS = 1_000;
/** A backend's death may be reported before or after the route loses it. */
const DEAD_FOR_MS = 10_000;

export class FlowSweeper {
  readonly #options: FlowSweeperOptions;
  readonly #routes = new Map<string, SweptFlows>();
  /** Addresses of backends that died, and until when that is remembered. */
  readonly #dead = new Map<string, number>();
  #pauseEndsMs = Number.NEGATIVE_INFINITY;

  constructor(options: FlowSweeperOptions) {
    this.#options = options;
  }

  /** A route has changed, and the change is in force. */
  noteChange(route: SweptRoute): void {
    const nowMs = this.#options.monotonicMs();
    const key = matchKey(route.match);
    const known = this.#routes.get(key);
    const looks = LOOKS_AFTER_MS.map((afterMs) => nowMs + afterMs);
    if (known === undefined)
      this.#routes.set(key, { route, changedMs: nowMs, looks, dueMs: new Map() });
    else {
      known.route = withFormer(route, known);
      known.changedMs = nowMs;
      known.looks = looks;
    }
  }

  /** These addresses are of backends that have died: their connections end now, in every route that lost them. */
  noteDeath(addresses: readonly string[]): void {
    const nowMs = this.#options.monotonicMs();
    for (const address of addresses) this.#dead.set(address, nowMs + DEAD_FOR_MS);
    for (const flows of this.#routes.values())
      for (const backend of flows.dueMs.keys())
        if (this.#isDead(backend)) {
          flows.dueMs.set(backend, nowMs);
          flows.looks = [nowMs, ...flows.looks];
        }
  }

  /** Looks at the flows that are due. Returns when to call it again; undefined if none is left. */
  sweep(): number | undefined {
    const nowMs = this.#options.monotonicMs();
    if (nowMs >= this.#pauseEndsMs) {
      const due = [...this.#routes].filter(([, flows]) => (nextLook(flows) ?? Infinity) <= nowMs);
      if (due.length > 0) this.#look(new Map(due), nowMs);
    }
    return this.#nextMs();
  }

  #nextMs(): number | undefined {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const flows of this.#routes.values()) nextMs = Math.min(nextMs, nextLook(flows) ?? nextMs);
    if (!Number.isFinite(nextMs)) return undefined;
    return Math.max(nextMs, this.#pauseEndsMs);
  }

  #look(due: ReadonlyMap<string, SweptFlows>, nowMs: number): void {
    for (const [address, untilMs] of this.#dead) if (untilMs < nowMs) this.#dead.delete(address);
    const listed = this.#list(due);
    const tookMs = this.#options.monotonicMs() - nowMs;
    const pauseMs = listed === undefined ? RETRY_MS : Math.max(PAUSE_MS, PAUSE_FACTOR * tookMs);
    this.#pauseEndsMs = nowMs + tookMs + pauseMs;
    if (listed === undefined) return;
    const present = new Map([...due.keys()].map((key) => [key, new Set<string>()]));
    const own = this.#ownAddresses(due);
    for (const flow of listed) {
      const found = matchesOf(flow)
        .filter(({ kind }) => kind === 'virtual' || own.has(flow.original.destination))
        .map((match) => matchKey(match))
        .find((key) => due.has(key));
      const flows = found === undefined ? undefined : due.get(found);
      if (found === undefined || flows === undefined) continue;
      const endMs = this.#endOf(flow, flows, nowMs);
      if (endMs === undefined) continue;
      if (endMs <= nowMs) this.#delete(flow);
      else present.get(found)?.add(backendOf(flow));
    }
    for (const [key, flows] of due) this.#forget(key, flows, present.get(key), nowMs);
  }

  /** The flows of these routes and others; undefined if the kernel does not list them. */
  #list(due: ReadonlyMap<string, SweptFlows>): readonly TrackedFlow[] | undefined {
    const matches = [...due.values()].map(({ route }) => route.match);
    const families = [...new Set(matches.map(familyOfMatch))];
    const filters =
      matches.length <= MAX_FILTERS
        ? matches.map(filterFor)
        : families.map((family) => ({ family }));
    const listed = filters.map((filter) => this.#options.conntrack.list(filter));
    if (listed.some(({ kind }) => kind === 'failed')) return undefined;
    return listed.flatMap((list) => (list.kind === 'complete' ? list.entries : []));
  }

  #ownAddresses(due: ReadonlyMap<string, SweptFlows>): ReadonlySet<string> {
    const hasConsumer = [...due.values()].some(({ route }) => route.match.kind === 'consumer');
    return new Set(hasConsumer ? this.#options.hostAddresses() : []);
  }

  /** When the flow must end; undefined if it may go on. */
  #endOf(
    flow: TrackedFlow,
    { route, changedMs, dueMs }: SweptFlows,
    nowMs: number,
  ): number | undefined {
    const judgement = judgeFlow(flow, route.allowed);
    const backend = backendOf(flow);
    if (judgement === 'keep') return undefined;
    if (judgement === 'end' || this.#isDead(backend)) return nowMs;
    const drainMs = route.drainSeconds < 0 ? Number.POSITIVE_INFINITY : route.drainSeconds * 1_000;
    const endMs = dueMs.get(backend) ?? changedMs + drainMs;
    dueMs.set(backend, endMs);
    return endMs;
  }

  #delete(flow: TrackedFlow): void {
    if (this.#options.conntrack.delete(flow)) this.#options.onDeleted(flow);
  }

  /** Keeps what still has to be looked at. */
  #forget(
    key: string,
    flows: SweptFlows,
    present: ReadonlySet<string> | undefined,
    nowMs: number,
  ): void {
    flows.looks = flows.looks.filter((lookMs) => lookMs > nowMs);
    for (const backend of flows.dueMs.keys())
      if (present?.has(backend) !== true) flows.dueMs.delete(backend);
    if (flows.looks.length === 0 && flows.dueMs.size === 0) this.#routes.delete(key);
  }

  #isDead(backend: string): boolean {
    return this.#dead.has(backend.slice(0, backend.lastIndexOf(':')).replace(/[[\]]/g, ''));
  }
}

function nextLook({ looks, dueMs }: SweptFlows): number | undefined {
  const times = [...looks, ...dueMs.values()];
  return times.length === 0 ? undefined : Math.min(...times);
}

/** A route that has ended and was known before keeps what it had then: those connections may still drain. */
function withFormer(route: SweptRoute, { route: known, dueMs }: SweptFlows): SweptRoute {
  const { former, serving } = route.allowed;
  if (former === undefined) return route;
  const had = [...known.allowed.serving, ...(known.allowed.former ?? []), ...dueMs.keys()];
  return { ...route, allowed: { serving, former: new Set([...former, ...had]) } };
}
