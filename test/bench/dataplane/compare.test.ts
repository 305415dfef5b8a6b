import assert from 'node:assert/strict';
import test from 'node:test';
import {
  finding,
  range,
  ratioOf,
  targetTable,
  withRange,
} from '../../../bench/dataplane/compare.ts';
import { leastDisturbed } from '../../../bench/quiet.ts';

test('ratioOf gives the median of the ratios of the rounds', () => {
  // Another process slowed both sides of the third round.
  const ratio = ratioOf([4, 4, 40], [5, 8, 50]);
  assert.deepEqual(ratio, { perRound: 0.8, ofMedians: 0.5, least: 0.5, most: 0.8 });
});

test('ratioOf gives NaN when one side was not measured', () => {
  assert.ok(Number.isNaN(ratioOf([1, 2], []).perRound));
  const never = Number.POSITIVE_INFINITY;
  assert.equal(ratioOf([1, 2, 3], [never, 4, never]).perRound, 0.5);
  assert.equal(ratioOf([never], [4]).perRound, never);
});

test('targetTable shows which targets are met, with both medians and the range', () => {
  const table = targetTable([
    finding('fast', 0.85, ratioOf([4, 4, 40], [5, 8, 50])),
    finding('slow', 1.1, ratioOf([1.2], [1])),
    { what: 'memory', target: 1, unit: 'GB', value: 0.5 },
    finding('absent', 1, ratioOf([1], [])),
    { ...finding('enough', 0.9, ratioOf([1], [1])), isLeast: true },
    { ...finding('too little', 0.9, ratioOf([0.8], [1])), isLeast: true },
    { what: 'no peer', target: 1, value: Number.NaN, reason: 'socat is not installed' },
  ]);
  assert.deepEqual(table.split('\n').slice(2), [
    '| fast | ≤ 0.85 | 0.80 | 0.50 | 0.50–0.80 | met |',
    '| slow | ≤ 1.10 | 1.20 | 1.20 | 1.20–1.20 | missed |',
    '| memory | ≤ 1.00 GB | 0.50 GB | – | – | met |',
    '| absent | ≤ 1.00 | – | – | – | not measured |',
    '| enough | ≥ 0.90 | 1.00 | 1.00 | 1.00–1.00 | met |',
    '| too little | ≥ 0.90 | 0.80 | 0.80 | 0.80–0.80 | missed |',
    '| no peer | ≤ 1.00 | – | – | – | not measured: socat is not installed |',
  ]);
});

test('withRange and range show a spread only where one exists', () => {
  assert.equal(withRange([3, 1, 2], 1), '2.0 (1.0–3.0)');
  assert.equal(range([1, Number.POSITIVE_INFINITY], 0), '–');
  assert.equal(range([], 0), '–');
});

test('leastDisturbed repeats a measurement that other processes disturb and keeps the least disturbed', async () => {
  const measured = async (...othersBusy: number[]) => {
    const left = othersBusy.map((busy, at) => ({ at, othersBusy: busy })).values();
    const next = async () => left.next().value ?? assert.fail('measured too often');
    return (await leastDisturbed(3, next)).at;
  };
  assert.equal(await measured(0.05), 0);
  assert.equal(await measured(0.5, 0.05), 1);
  assert.equal(await measured(0.5, 0.2, 0.3), 1);
});
