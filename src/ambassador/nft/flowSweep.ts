/**
 * Which entries of connection tracking must go. An entry leads a flow to the backend that it began with, also when that
 * backend has left: without its deletion a client would wait for an answer that never comes. After the deletion the next
 * packet reaches a backend that serves, which answers UDP and resets TCP. Pure.
 */
import { printSocketAddress } from '../../dns/address.ts';
import type { TrackedFlow } from '../../kernel/conntrackMessage.ts';
import { matchKey } from '../route.ts';
import type { KernelMatch, KernelRoute } from './kernelRoute.ts';

/** The route of a flow, if it is one of ours. */
export type RouteOfFlow = (match: KernelMatch) => KernelRoute | undefined;

/** When each backend left its route: by the route's match and the backend. */
export type LeftAtMs = ReadonlyMap<string, number>;

export interface SweepOptions {
  readonly nowMs: number;
  /** Of routes without an own one; -1: never. */
  readonly drainSeconds: number;
  readonly leftAtMs: LeftAtMs;
}

export interface Sweep {
  readonly doomed: readonly TrackedFlow[];
  /** When the next flow is due; undefined if none drains. */
  readonly nextMs: number | undefined;
}

export function leftKey(match: KernelMatch, backend: string): string {
  return `${matchKey(match)} ${backend}`;
}

/** The matches whose connections the flow may be. */
export function matchesOf({ protocol, original }: TrackedFlow): readonly KernelMatch[] {
  const { source, destination, destinationPort: port } = original;
  return [
    { kind: 'virtual', address: destination, port, protocol },
    { kind: 'consumer', source, port, protocol },
  ];
}

/** `isOwnAddress`: whether a consumer's flow was to this host, so that its route has translated it. */
export function sweepFlows(
  flows: Iterable<TrackedFlow>,
  routeOf: RouteOfFlow,
  isOwnAddress: (address: string) => boolean,
  { nowMs, drainSeconds, leftAtMs }: SweepOptions,
): Sweep {
  const doomed: TrackedFlow[] = [];
  let nextMs: number | undefined;
  for (const flow of flows) {
    const route = routeOfFlow(flow, routeOf, isOwnAddress);
    if (route === undefined) continue;
    const backend = printSocketAddress({
      address: flow.reply.source,
      port: flow.reply.sourcePort,
    });
    if (route.slots.some((slot) => printSocketAddress(slot) === backend)) continue;
    const dueMs = dueAtMs(
      flow,
      route.drainSeconds ?? drainSeconds,
      leftAtMs.get(leftKey(route.match, backend)),
      nowMs,
    );
    if (dueMs <= nowMs) doomed.push(flow);
    else if (Number.isFinite(dueMs)) nextMs = Math.min(nextMs ?? dueMs, dueMs);
  }
  return { doomed, nextMs };
}

function routeOfFlow(
  flow: TrackedFlow,
  routeOf: RouteOfFlow,
  isOwnAddress: (address: string) => boolean,
): KernelRoute | undefined {
  for (const match of matchesOf(flow)) {
    if (match.kind === 'consumer' && !isOwnAddress(flow.original.destination)) continue;
    const route = routeOf(match);
    if (route !== undefined) return route;
  }
  return undefined;
}

/** Infinity: never. A flow whose backend left before this process began drains from now on. */
function dueAtMs(
  { protocol, tcpState }: TrackedFlow,
  drainSeconds: number,
  leftAtMs: number | undefined,
  nowMs: number,
): number {
  // A new connection on the same ports makes a new entry.
  if (tcpState === 'timeWait' || tcpState === 'close') return Number.POSITIVE_INFINITY;
  if (protocol === 'udp' || tcpState === 'synSent' || tcpState === 'synSentTwice') return nowMs;
  if (drainSeconds < 0) return Number.POSITIVE_INFINITY;
  return (leftAtMs ?? nowMs) + drainSeconds * 1_000;
}
