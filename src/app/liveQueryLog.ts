/** The query log of a running server, whose limit a reload may change. */
import type { AnswerTable } from '../dataplane/table/table.ts';
import type { Log } from '../observability/log.ts';
import { createQueryLog, type QueryLog, type QueryLogOptions } from '../observability/queryLog.ts';
import type { LiveConfig } from './answering/liveConfig.ts';

export interface LiveQueryLogParts {
  /** Has the limit. */
  readonly liveConfig: Pick<LiveConfig, 'config' | 'onChanged'>;
  /** The limit in it reaches the workers. */
  readonly table: Pick<AnswerTable, 'loggedPerSecond'>;
  readonly log: Log;
  /** `unrecorded` counts the queries that workers answer without this log. */
  readonly clocks: Pick<QueryLogOptions, 'nowMs' | 'unrecorded'>;
}

/**
 * A query log with the current limit of `--log-queries`. Workers hand over as many queries a second as `table` says, so
 * that this log can record them.
 */
export function liveQueryLog({ liveConfig, table, log, clocks }: LiveQueryLogParts): QueryLog {
  const limit = (): number => liveConfig.config.logQueriesPerSecond;
  const open = (): QueryLog => {
    table.loggedPerSecond = limit();
    return createQueryLog({ write: log.info, perSecond: limit(), ...clocks });
  };
  let perSecond = limit();
  let current = open();
  liveConfig.onChanged(() => {
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
