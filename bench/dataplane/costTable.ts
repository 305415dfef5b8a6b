/** Samples of saturated servers as a table: medians, and the range over the rounds. */
import { figure, markdown, median } from '../table.ts';
import { withRange } from './compare.ts';
import type { Sample } from './contenders.ts';

const HEAD = [
  ...['', 'CPU µs/answer', 'answers/s', 'server busy', 'generator busy', 'others busy'],
  'unanswered',
];

export function costTable(
  contenders: readonly { readonly title: string }[],
  samples: readonly (readonly Sample[])[],
): string {
  const rows = contenders.map(({ title }, index) => row(title, samples[index] ?? []));
  return markdown([HEAD, ...rows]);
}

function row(title: string, samples: readonly Sample[]): string[] {
  const percent = (key: keyof Sample, decimals: number): string => {
    const value = median(samples.map((sample) => sample[key]));
    return Number.isNaN(value) ? '–' : `${figure(value * 100, decimals)} %`;
  };
  return [
    title,
    withRange(cpuOf(samples), 2),
    withRange(qpsOf(samples), 0),
    percent('serverBusy', 0),
    percent('generatorBusy', 0),
    percent('othersBusy', 0),
    percent('failedShare', 2),
  ];
}

export function cpuOf(samples: readonly Sample[] = []): number[] {
  return samples.map(({ cpuMicros }) => cpuMicros);
}

export function qpsOf(samples: readonly Sample[] = []): number[] {
  return samples.map(({ qps }) => qps);
}
