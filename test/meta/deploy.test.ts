/** The files in deploy/: the server has every metric and label that they name. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { allFamilies } from '../../src/app/metricsPage.ts';
import { exposition } from '../../src/observability/metrics.ts';
import { allMetricsSources } from '../support/metricsSources.ts';
import { allPages } from '../support/pages.ts';
import { Exposition } from '../support/prometheus.ts';
import { projectRoot } from './sources.ts';

const read = new Exposition(exposition(allFamilies(allMetricsSources())));
const samples = read.families.flatMap((family) => family.samples);

interface Panel {
  readonly title: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly { readonly expr: string }[];
}

const dashboard = JSON.parse(textOf('deploy/grafana-dashboard.json')) as {
  readonly title: string;
  readonly panels: readonly Panel[];
};
const alerts = textOf('deploy/alerts.yaml');
const alertExpressions = [...alerts.matchAll(/^ +expr: (.+)$/gm)].map(([, expr = '']) => expr);

function textOf(path: string): string {
  return readFileSync(join(projectRoot, path), 'utf8');
}

/** What is wrong with an expression: metrics, labels or label values that do not exist. */
function faultsOf(expr: string): string[] {
  const plain = expr.replaceAll('$__rate_interval', '5m').replace(/\$\w+/g, '.*');
  const selectors = [...plain.matchAll(/\b((?:soradns|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)];
  if (selectors.length === 0) return ['names no metric'];
  return selectors.flatMap(([, name = '', matchers = '']) => {
    const found = samples.filter((sample) => sample.name === name);
    if (found.length === 0) return [`there is no ${name}`];
    return matchers
      .split(/,(?=\s*\w+[=!])/)
      .filter((matcher) => matcher.trim() !== '')
      .flatMap((matcher) =>
        labelFault(
          matcher.trim(),
          found.map(({ labels }) => labels),
        ),
      );
  });
}

/** Labels that Prometheus adds to every sample. */
const ADDED = ['job', 'instance'];

function labelFault(matcher: string, sets: readonly Readonly<Record<string, string>>[]): string[] {
  const [, label = '', operator = '', text = ''] = /^(\w+)(=~|!~|!=|=)"(.*)"$/.exec(matcher) ?? [];
  if (label === '') return [`not a matcher: ${matcher}`];
  if (ADDED.includes(label)) return [];
  const values = sets.flatMap((labels) => (label in labels ? [labels[label] ?? ''] : []));
  if (values.length === 0) return [`no label ${label}`];
  const wanted = operator.includes('~')
    ? new RegExp(`^(?:${text})$`)
    : { test: (v: string) => v === text };
  return values.some((value) => wanted.test(value)) ? [] : [`no ${label} fits ${matcher}`];
}

test('Every metric of the dashboard exists', () => {
  const targets = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, expr })),
  );
  assert.ok(targets.length >= 15);
  const faults = targets.flatMap(({ title, expr }) => faultsOf(expr).map((f) => `${title}: ${f}`));
  assert.deepEqual(faults, []);
});

test('Every metric of the alerts exists, and every alert says what to do', () => {
  assert.ok(alertExpressions.length >= 10);
  assert.deepEqual(alertExpressions.flatMap(faultsOf), []);
  const names = [...alerts.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name);
  assert.equal(names.length, alertExpressions.length);
  assert.equal(new Set(names).size, names.length);
  for (const field of ['for', 'severity', 'summary', 'description']) {
    const count = [...alerts.matchAll(new RegExp(`^ +${field}: .+$`, 'gm'))].length;
    assert.equal(count, names.length, `each has one ${field}`);
  }
});

test('The check finds a metric, a label and a value that do not exist', () => {
  assert.deepEqual(faultsOf('rate(soradns_nothing_total[5m])'), [
    'there is no soradns_nothing_total',
  ]);
  assert.deepEqual(faultsOf('soradns_dns_responses_total{rcode="NONE"}'), [
    'no rcode fits rcode="NONE"',
  ]);
  assert.deepEqual(faultsOf('soradns_dns_responses_total{qname="a"}'), ['no label qname']);
  assert.deepEqual(faultsOf('up'), ['names no metric']);
});

test('The panels of the dashboard do not overlap', () => {
  const taken = new Set<string>();
  for (const { title, gridPos } of dashboard.panels) {
    assert.ok(gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(!taken.has(`${x},${y}`), `${title} lies over another`);
        taken.add(`${x},${y}`);
      }
    }
  }
});

test('The pages of documentation name only metrics that exist', () => {
  const named = allPages().flatMap(
    ({ text }) => text.match(/\b(?:soradns|process|nodejs)_[a-z_]+\b/g) ?? [],
  );
  assert.ok(named.length > 5);
  const known = new Set([...samples.map(({ name }) => name), ...read.families.map((f) => f.name)]);
  assert.deepEqual(
    named.filter((name) => !known.has(name) && !name.endsWith('_')),
    [],
  );
});
