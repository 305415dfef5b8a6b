/**
 * Metrics in Prometheus's text format 0.0.4. Callers provide families; their label values come from fixed sets, so
 * clients cannot make the text grow. Pure.
 */

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
}

export interface Histogram {
  readonly labels?: Labels;
  /** Upper bounds of the buckets, ascending. */
  readonly bounds: readonly number[];
  /**
   * The number of observations in each bucket, not cumulative; the last bucket is for observations above all bounds.
   */
  readonly counts: ArrayLike<number>;
  /** The sum of all observations. */
  readonly sum: number;
}

export type Family =
  | {
      readonly kind: 'counter' | 'gauge';
      readonly name: string;
      readonly help: string;
      readonly samples: readonly Sample[];
    }
  | {
      readonly kind: 'histogram';
      readonly name: string;
      readonly help: string;
      readonly histograms: readonly Histogram[];
    };

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** A number that only grows. Its name ends in `_total`. */
export function counter(name: string, help: string, value: number): Family {
  return { kind: 'counter', name, help, samples: [{ value }] };
}

export function gauge(name: string, help: string, value: number): Family {
  return { kind: 'gauge', name, help, samples: [{ value }] };
}

/** A counter for each value of one label. */
export function counters(
  name: string,
  help: string,
  label: string,
  values: Iterable<readonly [string, number]>,
): Family {
  return { kind: 'counter', name, help, samples: labelled(label, values) };
}

/** A gauge for each value of one label. */
export function gauges(
  name: string,
  help: string,
  label: string,
  values: Iterable<readonly [string, number]>,
): Family {
  return { kind: 'gauge', name, help, samples: labelled(label, values) };
}

/** The families as one text. Each name may occur once. */
export function exposition(families: readonly Family[]): string {
  return families.map(familyText).join('');
}

function labelled(label: string, values: Iterable<readonly [string, number]>): Sample[] {
  return Array.from(values, ([text, value]) => ({ labels: { [label]: text }, value }));
}

function familyText(family: Family): string {
  const { name, kind } = family;
  const help = family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  const lines =
    family.kind === 'histogram'
      ? family.histograms.flatMap((histogram) => histogramLines(name, histogram))
      : family.samples.map(({ labels, value }) => line(name, labels, value));
  return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${lines.join('')}`;
}

function histogramLines(name: string, { labels, bounds, counts, sum }: Histogram): string[] {
  let cumulative = 0;
  const buckets = [...bounds, Number.POSITIVE_INFINITY].map((bound, bucket) => {
    cumulative += counts[bucket] ?? 0;
    return line(`${name}_bucket`, { ...labels, le: number(bound) }, cumulative);
  });
  return [...buckets, line(`${name}_sum`, labels, sum), line(`${name}_count`, labels, cumulative)];
}

function line(name: string, labels: Labels | undefined, value: number): string {
  const pairs = Object.entries(labels ?? {}).map(([label, text]) => `${label}="${quoted(text)}"`);
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${number(value)}\n`;
}

function number(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}

function quoted(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
