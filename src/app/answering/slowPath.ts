/** Answers the queries that the answer table cannot answer: the responders of a running server. */
import type { Config } from '../../config/config.ts';
import type { Respond } from '../../dns/message.ts';
import { createResponder, OutstandingAnswers } from '../../server/responder.ts';
import { rebindRule } from '../liveConfig.ts';
import type { ServerParts } from '../serverParts.ts';

/** Answers queries that the answer table cannot answer. */
export interface SlowPath {
  readonly respond: Respond;
  /** Never forwards or counts a query, and never adds it to the query log. */
  readonly respondQuietly: Respond;
  /** Answers that wait for other servers. */
  readonly pending: OutstandingAnswers;
}

/** The clock of leases and of the answer table. */
export const monotonicMs = (): number => performance.now();
export const unixSeconds = (): number => Math.floor(Date.now() / 1000);

export function slowPathOf(
  { maxUdpOctets }: Config,
  parts: Omit<ServerParts, 'store' | 'ambassador' | 'services' | 'slowPath' | 'udp' | 'tcp'>,
): SlowPath {
  const { catalog, liveConfig, mirror, nameTables, publisher, outsideCache } = parts;
  const { measured, queryLog, faults } = parts;
  const pending = new OutstandingAnswers();
  const quiet = {
    root: catalog.root,
    version: () => catalog.version,
    settings: () => liveConfig.settings,
    freshness: () => mirror.state().kind,
    facts: nameTables.facts,
    forwarder: () => undefined,
    mayRecurse: () => false,
    mayRebind: rebindRule(liveConfig),
    maxUdpOctets,
    monotonicMs,
    unixSeconds,
    random: Math.random,
    onError: (error: unknown) => faults.report(error, 'a query failed'),
  };
  const respondQuietly = createResponder({
    ...quiet,
    // This responder forwards nothing, so clients would get other answers about names outside our zones.
    onDecided(decided) {
      if (!decided.basis.leadsOutside) publisher.publishSoon(decided);
    },
  });
  const respond = createResponder({
    ...quiet,
    forwarder: () => liveConfig.forwarder,
    mayRecurse: (address) => liveConfig.mayRecurse(address),
    onDecided: (decided) => publisher.publishSoon(decided),
    onForwarded: (question, response) => outsideCache?.offer(question, response),
    onAnswered: ({ client, query, response, durationMs }) =>
      queryLog.record(client, query.question, response.rcode, durationMs),
    onOutstanding: (answer) => pending.add(answer),
    counters: measured.answers,
  });
  return { respond, respondQuietly, pending };
}
