/** The mirror of the store in words: its events as log lines, its state as reasons for `/readyz`. */
import type { Log } from '../../observability/log.ts';
import type { MirrorEvent, MirrorState } from '../../store/mirror.ts';
import type { Store } from '../../store/store.ts';

const MESSAGES = {
  loaded: 'loaded the store',
  resumed: 'the store is reachable again',
  relisted: 'read the store again',
};

/** What the catalog holds: services, and values that are not services. */
export interface CatalogCounts {
  readonly services: number;
  readonly invalid: number;
}

/** Further reasons for one loss are logged at debug level. */
const MAX_REASONS = 16;

/** Logs a mirror's events. A repeated reason for a loss is a warning only once until the store is reachable again. */
export function createMirrorLog(
  log: Log,
): (event: MirrorEvent, counts: Partial<CatalogCounts>) => void {
  const logLoss = createLossLog(log, 'the store is unreachable');
  return (event, counts) => {
    if (event.kind === 'lost') {
      logLoss(event);
      return;
    }
    const { kind, ...fields } = event;
    log.info(kind === 'resumed' ? fields : { ...fields, ...counts }, MESSAGES[kind]);
  };
}

/** As `createMirrorLog`, for one of the tables beside the services: logs only that it could not be read. */
export function createTableLog(log: Log, title: string): (event: MirrorEvent) => void {
  const logLoss = createLossLog(log, `the store does not show the ${title}`);
  return (event) => {
    if (event.kind === 'lost') logLoss(event);
  };
}

function createLossLog(
  log: Log,
  message: string,
): (event: Extract<MirrorEvent, { kind: 'lost' }>) => void {
  const logged = new Set<string>();
  return ({ error, failuresInARow }) => {
    const reason = error instanceof Error ? error.message : String(error);
    if (failuresInARow === 1) logged.clear();
    const isNew = !logged.has(reason) && logged.size < MAX_REASONS;
    logged.add(reason);
    (isNew ? log.warn : log.debug)({ reason }, message);
  };
}

/** Why the server is not ready because of its store; empty if it is. */
export function storeReasons(state: MirrorState, store: Store): string[] {
  const { label } = store;
  const trouble = state.kind === 'synced' ? store.writeTrouble?.() : undefined;
  if (trouble !== undefined) return [`store: degraded, ${trouble}; answers continue from memory`];
  switch (state.kind) {
    case 'loading':
      return [`store: ${label} has not been read yet${state.reason ? ` (${state.reason})` : ''}`];
    case 'synced':
      return [];
    case 'stale':
      return [`store: ${label} is unreachable (${state.reason}); answers are the last known ones`];
  }
}
