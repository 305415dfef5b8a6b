/** The metrics of DNS queries and replies, with CoreDNS's names for labels. */
import { TABLE_TYPES } from '../dataplane/table/answerKinds.ts';
import {
  COUNTER_SLOTS,
  type CounterBlock,
  DROP_REASONS,
  LATENCY_BOUNDS_US,
  rcodeSlot,
  Single,
  Slot,
} from '../dataplane/table/counters.ts';
import { TRANSPORTS, type Transport } from '../dns/message.ts';
import { rcodeName } from '../dns/presentation/mnemonic.ts';
import {
  counter,
  counters,
  type Family,
  gauge,
  type Histogram,
  type Labels,
} from '../observability/metrics.ts';
import type { CountedAnswers } from '../server/answerCounters.ts';
import type { TcpCounters } from '../server/tcp/connectionTable.ts';
import type { SecureSources } from './answering/secureListeners.ts';
import { secureFamilies } from './secureMetrics.ts';

export interface DnsSources {
  /** Blocks with the same transport and family are added up. */
  readonly answers: readonly CountedAnswers[];
  readonly tcp: Readonly<TcpCounters>;
  /** Undefined without --dot, --doh and --doh-plain. */
  readonly secure: SecureSources | undefined;
}

export function dnsFamilies({ answers, tcp, secure }: DnsSources): Family[] {
  const transports = secure === undefined ? PLAIN_TRANSPORTS : TRANSPORTS;
  const kinds = transports.flatMap(bothFamilies).map(({ labels, transport, family }) => {
    const blocks = answers.filter((a) => a.transport === transport && a.family === family);
    return { labels, sum: slotSums(blocks.map(({ block }) => block)) };
  });
  const all = slotSums(answers.map(({ block }) => block));
  return [
    requests(kinds),
    responses(all),
    durations(all),
    ...totals(all),
    ...protections(all),
    dropped(all),
    ...connections(tcp),
    ...(secure === undefined ? [] : secureFamilies(secure)),
  ];
}

interface LabelledCounters {
  readonly labels: Labels;
  readonly sum: CounterBlock;
}

const PLAIN_TRANSPORTS: readonly Transport[] = ['udp', 'tcp'];

/** CoreDNS's label `family` is 1 for IPv4 and 2 for IPv6. */
function bothFamilies(transport: Transport) {
  return ([4, 6] as const).map((family) => ({
    transport,
    family,
    labels: { proto: transport, family: family === 4 ? '1' : '2' },
  }));
}

const TYPES = [...TABLE_TYPES.map(([name]) => name), 'other'];

/** The rcodes of RFC 1035 and RFC 2136; higher ones count as `other`. */
const RCODES = Array.from({ length: 11 }, (_, rcode) => rcode);
const OTHER_RCODE = 4095;

function slotSums(blocks: readonly CounterBlock[]): CounterBlock {
  const sums = new Float64Array(COUNTER_SLOTS);
  for (const block of blocks) {
    for (let slot = 0; slot < sums.length; slot++)
      sums[slot] = (sums[slot] as number) + (block[slot] ?? 0);
  }
  return sums;
}

function requests(kinds: readonly LabelledCounters[]): Family {
  const samples = kinds.flatMap(({ labels, sum }) =>
    TYPES.map((type, index) => ({
      labels: { ...labels, type },
      value: sum[Slot.type + index] ?? 0,
    })),
  );
  const help = 'Queries answered, by transport, IP family and type.';
  return { kind: 'counter', name: 'soradns_dns_requests_total', help, samples };
}

function responses(all: CounterBlock): Family {
  const values = [...RCODES, OTHER_RCODE].map((rcode): [string, number] => [
    rcode === OTHER_RCODE ? 'other' : rcodeName(rcode),
    all[rcodeSlot(rcode)] ?? 0,
  ]);
  return counters('soradns_dns_responses_total', 'Replies, by rcode.', 'rcode', values);
}

function durations(all: CounterBlock): Family {
  const histogram: Histogram = {
    bounds: LATENCY_BOUNDS_US.map((micros) => micros / 1e6),
    counts: all.subarray(Slot.latency, Slot.latency + LATENCY_BOUNDS_US.length + 1),
    sum: (all[Single.latencyMicros] ?? 0) / 1e6,
  };
  return {
    kind: 'histogram',
    name: 'soradns_dns_request_duration_seconds',
    help: 'Time from a query packet to its reply.',
    histograms: [histogram],
  };
}

function totals(all: CounterBlock): Family[] {
  const of = (slot: number): number => all[slot] ?? 0;
  return [
    counter(
      'soradns_dns_request_bytes_total',
      'Octets of received packets.',
      of(Single.receivedOctets),
    ),
    counter('soradns_dns_response_bytes_total', 'Octets of sent replies.', of(Single.sentOctets)),
    counter('soradns_dns_do_requests_total', 'Queries with the DO bit.', of(Single.dnssecOk)),
    counter('soradns_dns_edns_requests_total', 'Queries with an OPT record.', of(Single.edns)),
    counter('soradns_dns_truncated_total', 'Replies with the TC bit.', of(Single.truncated)),
    counter(
      'soradns_dns_handed_over_total',
      'Packets that the workers handed over to the main thread.',
      of(Single.handedOver),
    ),
  ];
}

/** Cookies and the rate limit. */
function protections(all: CounterBlock): Family[] {
  const of = (slot: number): number => all[slot] ?? 0;
  const cookies: readonly [string, number][] = [
    ['new', of(Single.cookiesNew)],
    ['valid', of(Single.cookiesValid)],
    ['invalid', of(Single.cookiesInvalid)],
    ['malformed', of(Single.cookiesMalformed)],
  ];
  const limited: readonly [string, number][] = [
    ['drop', of(Single.rateDropped)],
    ['truncate', of(Single.rateTruncated)],
    ['bad_cookie', of(Single.rateBadCookie)],
  ];
  const cookieHelp = 'Queries with a DNS cookie, by what the cookie shows.';
  const limitHelp = 'Replies over the rate limit, by what happened to them.';
  return [
    counters('soradns_dns_cookies_total', cookieHelp, 'state', cookies),
    counters('soradns_rrl_total', limitHelp, 'action', limited),
  ];
}

function dropped(all: CounterBlock): Family {
  const values = DROP_REASONS.map((reason, index): [string, number] => [
    reason.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    all[Slot.drop + index] ?? 0,
  ]);
  const help = 'Packets without a reply, and replies that could not be sent.';
  return counters('soradns_dropped_total', help, 'reason', values);
}

function connections(tcp: Readonly<TcpCounters>): Family[] {
  const { idle, slow, malformed, overrun, failed, evicted, unanswered } = tcp;
  const closed = Object.entries({ idle, slow, malformed, overrun, failed, evicted });
  const refused = Object.entries({ busy: tcp.refused, per_client: tcp.refusedPerClient });
  return [
    gauge('soradns_tcp_connections', 'Open TCP connections.', tcp.open),
    counter('soradns_tcp_connections_accepted_total', 'Accepted TCP connections.', tcp.accepted),
    counters(
      'soradns_tcp_connections_refused_total',
      'TCP connections closed on accept.',
      'reason',
      refused,
    ),
    counters(
      'soradns_tcp_connections_closed_total',
      'TCP connections closed by the server.',
      'reason',
      closed,
    ),
    counter('soradns_tcp_unanswered_total', 'Queries over TCP that were abandoned.', unanswered),
  ];
}
