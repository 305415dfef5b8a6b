import assert from 'node:assert/strict';
import test from 'node:test';
import { benchNames, questionText, zoneText } from '../../bench/names.ts';
import { figure, markdown, median, percentile } from '../../bench/table.ts';

test('median and percentile are exact', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
  const hundred = Array.from({ length: 101 }, (_, index) => 100 - index);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile(hundred, 1), 100);
  assert.equal(percentile([7], 0.5), 7);
});

test('markdown prints rows as a Markdown table', () => {
  const rows = [
    ['server', 'answers/s'],
    ['a', figure(1234.5, 1)],
    ['b', figure(Number.NaN)],
  ];
  assert.equal(
    markdown(rows),
    '| server | answers/s |\n| --- | ---: |\n| a | 1,234.5 |\n| b | – |',
  );
});

test('benchNames gives each name a unique key and address, and zoneText has an A and an SRV record for each', () => {
  const names = benchNames(1000);
  assert.equal(new Set(names.map(({ name }) => name)).size, 1000);
  assert.equal(new Set(names.map(({ key }) => key)).size, 1000);
  assert.equal(new Set(names.map(({ address }) => address)).size, 1000);
  const zone = zoneText(names);
  for (const { name, address } of names) {
    assert.ok(zone.includes(`\n${name}. A ${address}\n${name}. SRV 10 100 8080 ${name}.\n`));
  }
});

test('questionText has each name once, in the same shuffled order each time', () => {
  const names = benchNames(1000);
  const lines = questionText(names, ['A', 'SRV']).trim().split('\n');
  assert.deepEqual(
    new Set(lines.map((line) => line.split(' ')[0])),
    new Set(names.map(({ name }) => name)),
  );
  assert.equal(lines.filter((line) => line.endsWith(' SRV')).length, 500);
  assert.equal(lines.join('\n'), questionText(names, ['A', 'SRV']).trim());
  assert.notEqual(lines[0]?.split(' ')[0], names[0]?.name);
});
