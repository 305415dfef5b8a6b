/**
 * app/answering/: The parts of a running server that answer queries.
 * Imports: ambassador, ambassador/names, ambassador/proxy, app/ambassador, app/process, config, config/options,
 *   dataplane/cache, dataplane/listeners, dataplane/publish, dataplane/reply, dataplane/sockets, dataplane/table, dns,
 *   dns/presentation, dnstap, forward, forward/domains, kernel, observability, server, server/http, server/listening,
 *   server/tcp, server/tls, server/transfer, service, sign, store, timing, transfer, zone, zone/tree.
 * Used by: app, cli/host, cli/signing, tools/doctor.
 *
 * The answer table of a running server: its memory, and the timer that refreshes it.
 */
import { randomInt } from 'node:crypto';
import type { Publisher } from '../../dataplane/publish/publisher.ts';
import { AnswerTable } from '../../dataplane/table/table.ts';
import { compactHeap } from '../process/memory.ts';

/** A smaller table is of no use. */
const LEAST_OCTETS = 1 << 22;

/**
 * A table of at most `capacityOctets`, whose memory is allocated on demand. It is smaller if the process cannot reserve
 * so much address space.
 */
export function reserveTable(capacityOctets: number, maxUdpOctets: number): AnswerTable {
  const seed = randomInt(2 ** 31);
  for (let octets = capacityOctets; octets > LEAST_OCTETS; octets /= 2) {
    try {
      return new AnswerTable(octets, seed, maxUdpOctets);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return new AnswerTable(LEAST_OCTETS, seed, maxUdpOctets);
}

const REFRESH_MS = 500;
/** The number of new answers whose garbage justifies a collection. */
const BURST_ANSWERS = 50_000;
/** A burst is over when the table gains fewer answers than this between two refreshes. */
const CALM_ANSWERS = 1_000;

/**
 * Refreshes the table regularly, and compacts the heap after a burst of new answers. Returns a function that stops it.
 */
export function startRefreshing(publisher: Publisher, table: AnswerTable): () => void {
  let answersBefore = 0;
  let compactedAtAnswers = 0;
  const timer = setInterval(() => {
    publisher.refresh();
    const { answers } = table.stats;
    const isCalm = answers - answersBefore < CALM_ANSWERS;
    answersBefore = answers;
    // The table's growth counts, not the number of decisions: answers that are decided again would cause a pause each
    // time.
    compactedAtAnswers = Math.min(compactedAtAnswers, answers);
    if (answers - compactedAtAnswers < BURST_ANSWERS || !isCalm) return;
    compactedAtAnswers = answers;
    compactHeap();
  }, REFRESH_MS).unref();
  return () => clearInterval(timer);
}
