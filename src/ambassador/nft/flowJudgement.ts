/**
 * Which entries of connection tracking must go. An entry leads a flow to the backend that it began with, also when that
 * backend has left: without its deletion a client would wait for an answer that never comes. After the deletion the next
 * packet reaches a backend that serves, which answers UDP and resets TCP; or it is refused, if there is none. Pure.
 */
import { printSocketAddress } from '../../dns/address.ts';
import type { FlowFilter, TrackedFlow } from '../../kernel/conntrackMessage.ts';
import { addressOfMatch, familyOfMatch, type KernelMatch } from './kernelRoute.ts';

/** What a flow of a route may lead to. */
export interface AllowedBackends {
  /** `printSocketAddress` of the backends that serve. */
  readonly serving: ReadonlySet<string>;
  /**
   * Of a route that has ended, the backends that it had: other programs may translate the same connections by now.
   * Undefined for a route that stands.
   */
  readonly former: ReadonlySet<string> | undefined;
}

export type FlowJudgement =
  | 'keep'
  /** Its entry goes now. */
  | 'end'
  /** Its entry goes when the drain time of its backend is over. */
  | 'drain';

/** Where the flow leads to. */
export function backendOf({ reply }: TrackedFlow): string {
  return printSocketAddress({ address: reply.source, port: reply.sourcePort });
}

/** The matches whose connections the flow may be: the one of its destination, then the one of its source. */
export function matchesOf({ protocol, original }: TrackedFlow): readonly KernelMatch[] {
  const { source, destination, destinationPort: port } = original;
  return [
    { kind: 'virtual', address: destination, port, protocol },
    { kind: 'consumer', source, port, protocol },
  ];
}

/** The filter for the flows of a match. Those of a consumer to other hosts pass it too. */
export function filterFor(match: KernelMatch): FlowFilter {
  const end = addressOfMatch(match);
  const port = { protocol: match.protocol, number: match.port };
  const family = familyOfMatch(match);
  return match.kind === 'virtual'
    ? { family, port, destination: end }
    : { family, port, source: end };
}

/** Judges a flow whose match the route has. */
export function judgeFlow(flow: TrackedFlow, { serving, former }: AllowedBackends): FlowJudgement {
  const backend = backendOf(flow);
  if (serving.has(backend)) return 'keep';
  if (former !== undefined && !former.has(backend)) return 'keep';
  if (flow.protocol === 'udp') return 'end';
  switch (flow.tcpState) {
    case 'none':
    case 'synSent':
    case 'synSentTwice':
      return 'end';
    // A new connection between the same ports makes a new entry.
    case 'timeWait':
    case 'close':
      return 'keep';
    default:
      // A connection to a listener of this host, from before the route.
      return isUntranslated(flow) ? 'keep' : 'drain';
  }
}

function isUntranslated({ original, reply }: TrackedFlow): boolean {
  return reply.source === original.destination && reply.sourcePort === original.destinationPort;
}
