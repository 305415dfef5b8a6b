/** Figures of a running server from its /metrics page. */

/** Returns the sum of a metric over the label sets whose text contains `label`. */
export type MetricSum = (name: string, label?: string) => number;

/** Scrapes /metrics once. */
export async function readMetrics(httpPort: number): Promise<MetricSum> {
  const reply = await fetch(`http://127.0.0.1:${httpPort}/metrics`);
  const text = await reply.text();
  return (name, label = '') =>
    [...text.matchAll(new RegExp(`^${name}(\\{[^}]*\\})? (\\S+)$`, 'gm'))]
      .filter(([, labels = '']) => labels.includes(label))
      .reduce((all, [, , value]) => all + Number(value), 0);
}
