import type { Log } from '../log.ts';
import { createQueryLog, type QueryLog } from '../queryLog.ts';
import type { Effective } from './effective.ts';

/** A query log of as many lines a second as the configuration in force allows. */
export function createQueryLogOf(effective: Effective, log: Log, nowMs: () => number): QueryLog {
  const limit = (): number => effective.config.logQueriesPerSecond;
  const open = (): QueryLog => createQueryLog(log.info, limit(), nowMs);
  let perSecond = limit();
  let current = open();
  effective.onChanged(() => {
    if (limit() === perSecond) return;
    perSecond = limit();
    current.close();
    current = open();
  });
  return {
    record: (client, question, rcode, durationMs) =>
      current.record(client, question, rcode, durationMs),
    close: () => current.close(),
  };
}
