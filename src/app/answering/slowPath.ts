/** Answers the queries that the answer table cannot answer: the responders of a running server. */
import type { Config } from '../../config/config.ts';
import type { Publisher } from '../../dataplane/publish/publisher.ts';
import type { AnswerTable } from '../../dataplane/table/table.ts';
import type { DnsClient, Respond } from '../../dns/message.ts';
import type { FaultLog } from '../../observability/faultLog.ts';
import type { QueryLog } from '../../observability/queryLog.ts';
import type { AnswerCounters } from '../../server/answerCounters.ts';
import { ClientGate } from '../../server/clientGate.ts';
import type { Designated } from '../../server/designated.ts';
import type { ResolveOptions } from '../../server/resolveOptions.ts';
import { createResponder, OutstandingAnswers } from '../../server/responder.ts';
import type { OpenReplies } from '../../server/tcp/tcpConnection.ts';
import type { TransferServer } from '../../server/transfer/transferServer.ts';
import type { Mirror } from '../../store/mirror.ts';
import { serversOfCut } from '../../zone/delegation.ts';
import type { Catalog } from '../../zone/tree/catalog.ts';
import { NO_EXTERNALS, type View } from '../../zone/tree/view.ts';
import { serverTextsOf } from './clientPolicy.ts';
import type { Dnssec } from './dnssec.ts';
import { type LiveConfig, rebindRule } from './liveConfig.ts';
import type { NameTables } from './nameTables.ts';
import type { OutsideCache } from './outsideCache.ts';

export interface SlowPathParts {
  readonly catalog: Catalog;
  readonly liveConfig: LiveConfig;
  readonly mirror: Pick<Mirror, 'state'>;
  readonly nameTables: NameTables;
  readonly publisher: Publisher;
  readonly table: Pick<AnswerTable, 'seed'>;
  readonly dnssec: Dnssec;
  readonly outsideCache: OutsideCache | undefined;
  readonly counters: AnswerCounters;
  readonly queryLog: QueryLog;
  readonly faults: FaultLog;
  /** As in `ResolveOptions`. */
  readonly designated: () => Designated | undefined;
  /** Gives zones to secondaries, and has everything else answered. */
  readonly transfers: {
    serve(
      respond: Respond,
      mayReply: (client: DnsClient) => boolean,
      maxUdpOctets: number,
    ): TransferServer;
  };
}

/** Answers queries that the answer table cannot answer. */
export interface SlowPath {
  readonly respond: Respond;
  /** See `ConnectionContext`. */
  readonly openReplies: OpenReplies;
  /** Never forwards or counts a query, and never adds it to the query log. */
  readonly respondQuietly: Respond;
  /** What `respond` does for which client; it follows the policy that it is given. */
  readonly gate: ClientGate;
  /** Answers that wait for other servers. */
  readonly pending: OutstandingAnswers;
}

/** The clock of leases and of the answer table. */
export const monotonicMs = (): number => performance.now();
export const unixSeconds = (): number => Math.floor(Date.now() / 1000);

/** The store's names as no client sees them: without other servers' answers. */
function storeView(
  { catalog, liveConfig, nameTables }: SlowPathParts,
  onFault: (error: unknown) => void,
): View {
  return {
    root: catalog.root,
    settings: liveConfig.settings,
    nowMs: monotonicMs(),
    unixSeconds: unixSeconds(),
    sampleStart: 0,
    externals: NO_EXTERNALS,
    facts: nameTables.facts,
    localAddress: undefined,
    recursionDesired: false,
    roomOctets: undefined,
    onFault,
  };
}

/** What both responders do alike: answer from the store, and ask no other server. */
function storeAnswers(
  { maxUdpOctets }: Config,
  { catalog, liveConfig, mirror, nameTables, designated, dnssec }: SlowPathParts,
  onError: (error: unknown) => void,
): ResolveOptions {
  return {
    root: catalog.root,
    version: () => catalog.version,
    settings: () => liveConfig.settings,
    freshness: () => mirror.state().kind,
    facts: nameTables.facts,
    hasStubZones: () => liveConfig.config.stubZones,
    forwarder: () => undefined,
    mayRecurse: () => false,
    mayRebind: rebindRule(liveConfig),
    maxUdpOctets,
    monotonicMs,
    unixSeconds,
    random: Math.random,
    designated,
    signedAnswers: dnssec.answers,
    onError,
  };
}

export function slowPathOf(config: Config, parts: SlowPathParts): SlowPath {
  const { liveConfig, publisher, outsideCache, counters, queryLog, faults, transfers } = parts;
  const pending = new OutstandingAnswers();
  const gate = new ClientGate({ monotonicMs, unixSeconds }, parts.table.seed);
  const onError = (error: unknown) => faults.report(error, 'a query failed');
  liveConfig.setNameServers((cut) => serversOfCut(storeView(parts, onError), cut));
  const shared = storeAnswers(config, parts, onError);
  const respondQuietly = createResponder({
    ...shared,
    // This responder forwards nothing, so clients would get other answers about names outside our zones.
    onDecided(decided) {
      if (!decided.basis.leadsOutside) publisher.publishSoon(decided);
    },
  });
  const respond = createResponder({
    ...shared,
    gate,
    texts: () => serverTextsOf(liveConfig.config),
    forwarder: () => liveConfig.forwarder,
    asksDelegated: () => liveConfig.config.recursion,
    mayRecurse: (address) => liveConfig.mayRecurse(address),
    onDecided: (decided) => publisher.publishSoon(decided),
    onSigning: (decided) => publisher.publishSignedSoon(decided),
    onForwarded: (question, response) => outsideCache?.offer(question, response),
    onAnswered: ({ client, query, response, durationMs }) =>
      queryLog.record(client, query.question, response.rcode, durationMs),
    onOutstanding: (answer) => pending.add(answer),
    counters,
  });
  const mayReply = (client: DnsClient): boolean => {
    const limited = gate.limitError(client);
    if (limited !== undefined) counters.countIn(client, limited.slot);
    return limited === undefined;
  };
  const server = transfers.serve(respond, mayReply, config.maxUdpOctets);
  return {
    respond: server.respond,
    openReplies: (message, client) => server.open(message, client),
    respondQuietly,
    pending,
    gate,
  };
}
