/** Parses Prometheus's text format 0.0.4 and throws on everything that its specification does not allow. */
import assert from 'node:assert/strict';

export interface ReadFamily {
  readonly name: string;
  readonly kind: string;
  readonly help: string;
  readonly samples: readonly ReadSample[];
}

export interface ReadSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export class Exposition {
  readonly families: readonly ReadFamily[];

  constructor(text: string) {
    assert.ok(text.endsWith('\n'), 'the last line has no newline');
    this.families = readFamilies(text.slice(0, -1).split('\n'));
    for (const family of this.families) if (family.kind === 'histogram') checkHistogram(family);
  }

  /** The sum of the samples with that name and at least these labels. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(labels);
    const found = this.families
      .flatMap((family) => family.samples)
      .filter((one) => one.name === name && wanted.every(([k, v]) => one.labels[k] === v));
    assert.ok(found.length > 0, `no sample ${name} ${JSON.stringify(labels)}`);
    return found.reduce((sum, { value }) => sum + value, 0);
  }

  /** Each sample as a line without its value: the time series. */
  series(): string[] {
    const samples = this.families.flatMap((family) => family.samples);
    return samples.map(({ name, labels }) => `${name}${JSON.stringify(labels)}`);
  }
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const KINDS = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];

function readFamilies(lines: readonly string[]): ReadFamily[] {
  const families: ReadFamily[] = [];
  const seen = new Set<string>();
  for (let at = 0; at < lines.length; ) {
    const [, name, help] = /^# HELP (\S+) (.*)$/.exec(lines[at++] ?? '') ?? [];
    assert.ok(name !== undefined && help !== undefined, `no HELP at line ${at}`);
    assert.match(name, NAME);
    const [, typed, kind] = /^# TYPE (\S+) (\S+)$/.exec(lines[at++] ?? '') ?? [];
    assert.ok(typed === name && kind !== undefined && KINDS.includes(kind), `TYPE at line ${at}`);
    assert.ok(!families.some((family) => family.name === name), `${name} occurs twice`);
    if (kind === 'counter') assert.match(name, /_total$/);
    const samples: ReadSample[] = [];
    for (; at < lines.length && !(lines[at] ?? '').startsWith('#'); at++) {
      const sample = readSample(lines[at] ?? '');
      const suffix = sample.name.slice(name.length);
      const allowed = kind === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
      assert.ok(sample.name.startsWith(name) && allowed.includes(suffix), lines[at]);
      const series = `${sample.name}${JSON.stringify(sample.labels)}`;
      assert.ok(!seen.has(series), `${series} occurs twice`);
      seen.add(series);
      samples.push(sample);
    }
    assert.ok(samples.length > 0, `${name} has no samples`);
    families.push({ name, kind, help, samples });
  }
  return families;
}

function readSample(line: string): ReadSample {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  assert.ok(match, `not a sample: ${line}`);
  const [, name = '', labelText = '', valueText = ''] = match;
  const labels: Record<string, string> = {};
  const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy;
  while (label.lastIndex < labelText.length) {
    const [, key, value] = label.exec(labelText) ?? assert.fail(`not labels: ${labelText}`);
    assert.ok(key !== undefined && value !== undefined && !(key in labels), line);
    labels[key] = value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
  }
  const special = { '+Inf': Number.POSITIVE_INFINITY, '-Inf': Number.NEGATIVE_INFINITY };
  const value = special[valueText as keyof typeof special] ?? Number(valueText);
  assert.ok(valueText === 'NaN' || !Number.isNaN(value), `not a value: ${line}`);
  return { name, labels, value };
}

/** Asserts that bounds and counts of the buckets grow, that the last is +Inf, and that it equals the count. */
function checkHistogram({ name, samples }: ReadFamily): void {
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  const bounds = buckets.map(({ labels }) => Number((labels.le ?? '').replace('+Inf', 'Infinity')));
  for (let i = 1; i < buckets.length; i++) {
    assert.ok((bounds[i] ?? 0) > (bounds[i - 1] ?? 0), `${name}: bounds`);
    assert.ok((buckets[i]?.value ?? 0) >= (buckets[i - 1]?.value ?? 0), `${name}: counts`);
  }
  assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY, `${name}: +Inf`);
  const total = samples.find((sample) => sample.name === `${name}_count`);
  assert.equal(total?.value, buckets.at(-1)?.value, `${name}: count`);
}
