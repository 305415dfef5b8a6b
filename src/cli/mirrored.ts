/** What is said of the mirror: in the log, of its events; to those who ask whether the server is ready, of its state. */
import type { Log } from '../log.ts';
import type { MirrorEvent, MirrorState } from '../store/mirror.ts';
import type { Store } from '../store/store.ts';

const MESSAGES = {
  loaded: 'the store is loaded',
  resumed: 'the store is back',
  relisted: 'the store was read anew',
};

/** What the catalog has of the store: services, and values that are none. */
export interface Held {
  readonly services: number;
  readonly invalid: number;
}

/** More reasons than this for one loss are not told apart. */
const MAX_REASONS = 16;

/** A log of a mirror's events. Of a loss it says each reason once, however often it is met, until the store is back. */
export function createMirrorLog(log: Log): (event: MirrorEvent, held: Held) => void {
  const said = new Set<string>();
  return (event, held) => {
    if (event.kind === 'lost') {
      const { error } = event;
      const reason = error instanceof Error ? error.message : String(error);
      if (event.failuresInARow === 1) said.clear();
      const isNews = !said.has(reason) && said.size < MAX_REASONS;
      said.add(reason);
      (isNews ? log.warn : log.debug)({ reason }, 'the store is out of reach');
      return;
    }
    const { kind, ...fields } = event;
    log.info(kind === 'resumed' ? fields : { ...fields, ...held }, MESSAGES[kind]);
  };
}

/** Why the store keeps the server from being ready; empty when it does not. */
export function storeReasons(state: MirrorState, store: Store): string[] {
  const { label } = store;
  const trouble = state.kind === 'synced' ? store.writeTrouble?.() : undefined;
  if (trouble !== undefined) return [`store: degraded, ${trouble}; answers go on from memory`];
  switch (state.kind) {
    case 'loading':
      return [`store: ${label} was not read yet${state.reason ? ` (${state.reason})` : ''}`];
    case 'synced':
      return [];
    case 'stale':
      return [`store: ${label} is out of reach (${state.reason}); answers are the last known`];
  }
}
