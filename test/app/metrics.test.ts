import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  counter,
  counters,
  exposition,
  type Family,
  gauge,
} from '../../src/observability/metrics.ts';
import { Exposition } from '../support/prometheus.ts';

test('A strict parser accepts the metrics page', () => {
  const odd = 'a "b" \\ c\nd,e={}';
  const families: Family[] = [
    counter('a_total', 'with\\ a\nbreak', 3),
    gauge('b', 'b', -1.5e-9),
    counters('c_total', 'c', 'reason', [
      [odd, 1],
      ['', 2],
    ]),
    gauge('d', 'd', Number.POSITIVE_INFINITY),
    {
      kind: 'histogram',
      name: 'e_seconds',
      help: 'e',
      histograms: [
        { bounds: [0.1, 1], counts: [1, 0, 4], sum: 9.5 },
        { labels: { x: 'y' }, bounds: [0.1, 1], counts: new Float64Array(3), sum: 0 },
      ],
    },
  ];
  const read = new Exposition(exposition(families.slice(0, 4)));
  assert.equal(read.value('a_total'), 3);
  assert.equal(read.families[0]?.help, 'with\\\\ a\\nbreak');
  assert.equal(read.value('b'), -1.5e-9);
  assert.equal(read.value('c_total', { reason: odd }), 1);
  assert.equal(read.value('c_total'), 3);
  assert.equal(read.value('d'), Number.POSITIVE_INFINITY);
  assert.equal(
    exposition(families.slice(4)),
    `# HELP e_seconds e
# TYPE e_seconds histogram
e_seconds_bucket{le="0.1"} 1
e_seconds_bucket{le="1"} 1
e_seconds_bucket{le="+Inf"} 5
e_seconds_sum 9.5
e_seconds_count 5
e_seconds_bucket{x="y",le="0.1"} 0
e_seconds_bucket{x="y",le="1"} 0
e_seconds_bucket{x="y",le="+Inf"} 0
e_seconds_sum{x="y"} 0
e_seconds_count{x="y"} 0
`,
  );
});

test('The strict parser refuses malformed metrics', () => {
  const head = '# HELP a_total x\n# TYPE a_total counter\n';
  for (const text of [
    `${head}a_total 1`,
    `${head}a_total one\n`,
    `${head}b 1\n`,
    `${head}a_total 1\na_total 2\n`,
    `${head}a_total{x="1",x="2"} 2\n`,
    `${head}a_total{x=1} 2\n`,
    `${head}a_total 1\n${head}a_total{x="1"} 1\n`,
    '# HELP a x\n# TYPE a counter\na 1\n',
    'a_total 1\n',
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n',
  ]) {
    assert.throws(() => new Exposition(text), assert.AssertionError, text);
  }
});
