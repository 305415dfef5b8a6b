/** What is said of the mirror: in the log, of its events; to those who ask whether the server is ready, of its state. */
import type { Log } from '../log.ts';
import type { MirrorEvent, MirrorState } from '../store/mirror.ts';

const MESSAGES = {
  loaded: 'the store is loaded',
  resumed: 'the store is back',
  relisted: 'the store was read anew',
};

/** `held` is what the catalog has of it: services, and values that are none. */
export function logMirror(
  event: MirrorEvent,
  held: { readonly services: number; readonly invalid: number },
  log: Log,
): void {
  if (event.kind === 'lost') {
    const { error } = event;
    // The first failure of a row is news; the ones after it say the same.
    const write = event.failuresInARow === 1 ? log.warn : log.debug;
    write({ reason: error instanceof Error ? error.message : error }, 'the store is out of reach');
    return;
  }
  const { kind, ...fields } = event;
  log.info(kind === 'resumed' ? fields : { ...fields, ...held }, MESSAGES[kind]);
}

/** Why the store keeps the server from being ready; empty when it does not. */
export function storeReasons(state: MirrorState, label: string): string[] {
  switch (state.kind) {
    case 'loading':
      return [`store: ${label} was not read yet${state.reason ? ` (${state.reason})` : ''}`];
    case 'synced':
      return [];
    case 'stale':
      return [`store: ${label} is out of reach (${state.reason}); answers are the last known`];
  }
}
