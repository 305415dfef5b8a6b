import type { Log } from '../log.ts';
import { createQueryLog, type QueryLog, type QueryLogOptions } from '../queryLog.ts';
import type { Effective } from './effective.ts';
import type { PublishedAnswers } from './publishedAnswers.ts';

/**
 * A query log of as many lines a second as the configuration in force allows. What the table answers comes by here only
 * as far as its readers are told to leave it (`answers`); `unrecorded` counts the rest.
 */
export function createQueryLogOf(
  effective: Effective,
  answers: Pick<PublishedAnswers, 'loggedPerSecond'>,
  log: Log,
  clocks: Pick<QueryLogOptions, 'nowMs' | 'unrecorded'>,
): QueryLog {
  const limit = (): number => effective.config.logQueriesPerSecond;
  const open = (): QueryLog => {
    answers.loggedPerSecond = limit();
    return createQueryLog({ write: log.info, perSecond: limit(), ...clocks });
  };
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
