/** How true what is answered is: the mirror of the store, and what it holds. */
import { counter, type Family, gauge } from '../metrics.ts';
import type { MirrorCounters, MirrorState } from '../store/mirror.ts';

export interface StoreSources {
  readonly state: MirrorState;
  readonly counters: MirrorCounters;
  /** Services held. */
  readonly services: number;
  /** Values held that are no services, and how often one was told of. */
  readonly invalid: number;
  readonly invalidTold: number;
  /** On the clock of the mirror's times. */
  readonly nowMs: number;
  readonly unixSeconds: number;
}

export function storeFamilies(sources: StoreSources): Family[] {
  const { state, counters, services, invalid, invalidTold } = sources;
  return [
    gauge(
      'soradns_store_synced',
      'Whether the last known state is the present one.',
      state.kind === 'synced' ? 1 : 0,
    ),
    gauge('soradns_store_loaded', 'Whether the store was read.', state.kind === 'loading' ? 0 : 1),
    gauge(
      'soradns_store_revision',
      'Revision of the store that is answered from.',
      state.kind === 'loading' ? 0 : state.revision,
    ),
    gauge(
      'soradns_store_last_event_timestamp_seconds',
      'When the store was last heard of; 0 is never.',
      lastEventUnixSeconds(sources),
    ),
    gauge(
      'soradns_store_stale_seconds',
      'For how long answers have been the last known ones.',
      state.kind === 'stale' ? secondsSince(state.sinceMs, sources) : 0,
    ),
    gauge('soradns_store_keys', 'Services held.', services),
    gauge('soradns_store_invalid_values', 'Values held that are no services.', invalid),
    counter('soradns_store_invalid_values_total', 'Invalid values that were seen.', invalidTold),
    counter('soradns_store_events_total', 'Changes that came through the watch.', counters.events),
    counter(
      'soradns_store_failures_total',
      'Watches, loads and relists that failed.',
      counters.failures,
    ),
    counter('soradns_store_resyncs_total', 'Complete lists after the first.', counters.resyncs),
  ];
}

/** A stale mirror heard of its store until then. */
function lastEventUnixSeconds(sources: StoreSources): number {
  const { state, unixSeconds } = sources;
  if (state.kind === 'loading') return 0;
  const atMs = state.kind === 'stale' ? state.sinceMs : state.lastEventAtMs;
  return unixSeconds - secondsSince(atMs, sources);
}

function secondsSince(atMs: number, { nowMs }: StoreSources): number {
  return Math.max(0, nowMs - atMs) / 1000;
}
