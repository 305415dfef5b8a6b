/** Questions that others were asked. */
import { FORWARD_BOUNDS_SECONDS, type ForwardCounters } from '../forward/forwardCounters.ts';
import { counter, counters, type Family, gauge } from '../metrics.ts';

export function forwardFamilies(forward: Readonly<ForwardCounters>): Family[] {
  return [
    counter('soradns_forward_requests_total', 'Questions about names elsewhere.', forward.requests),
    counter(
      'soradns_forward_cache_hits_total',
      'Those that were answered from memory.',
      forward.cacheHits,
    ),
    counter('soradns_forward_refused_total', 'Those that nobody was asked for.', forward.refused),
    counters(
      'soradns_forward_failures_total',
      'Those that no upstream answered.',
      'reason',
      Object.entries(forward.failures),
    ),
    gauge('soradns_forward_in_flight', 'Those that wait for an upstream.', forward.inFlight),
    {
      kind: 'histogram',
      name: 'soradns_forward_request_duration_seconds',
      help: 'How long those waited that were not in memory.',
      histograms: [
        { bounds: FORWARD_BOUNDS_SECONDS, counts: forward.waits, sum: forward.waitSeconds },
      ],
    },
  ];
}
