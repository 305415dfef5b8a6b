/** `/metrics`, gathered anew for each request. */
import { allFamilies, type MetricsSources } from '../metrics/all.ts';
import { EXPOSITION_TYPE, exposition } from '../metrics.ts';
import type { Exchange, Reply } from '../server/http/exchange.ts';

export const METRICS_PATH = '/metrics';

/** The reply at its path; undefined for another one. */
export function metricsPage({ path }: Exchange, sources: () => MetricsSources): Reply | undefined {
  if (path !== METRICS_PATH) return undefined;
  const body = exposition(allFamilies(sources()));
  return { status: 200, headers: { 'Content-Type': EXPOSITION_TYPE }, body };
}
