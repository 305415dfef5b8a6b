/** Compares contenders that were measured in alternation. Pure. */
import { figure, markdown, median } from '../table.ts';

/** The ratio of two series, round by round. */
export interface Ratio {
  /** The median of the rounds' ratios, because a disturbance of a round affects both of its sides. */
  readonly perRound: number;
  readonly ofMedians: number;
  readonly least: number;
  readonly most: number;
}

/** A round without a finite denominator has no ratio. */
export function ratioOf(numerators: readonly number[], denominators: readonly number[]): Ratio {
  const ratios = numerators.flatMap((value, round) => {
    const denominator = denominators[round] ?? Number.NaN;
    return Number.isFinite(denominator) ? [value / denominator] : [];
  });
  return {
    perRound: median(ratios),
    ofMedians: median(numerators) / median(denominators),
    least: Math.min(...ratios),
    most: Math.max(...ratios),
  };
}

/** One row of the table of targets. */
export interface Finding {
  readonly what: string;
  /** The largest value that meets the target. */
  readonly target: number;
  /** The target is the least value that meets it. */
  readonly isLeast?: boolean;
  readonly unit?: string;
  readonly value: number;
  /** If the value is a ratio: also the ratio of the medians, and the range over the rounds. */
  readonly ratio?: Ratio;
  /** Why there is no value. */
  readonly reason?: string;
}

export function finding(what: string, target: number, ratio: Ratio): Finding {
  return { what, target, value: ratio.perRound, ratio };
}

export function targetTable(findings: readonly Finding[]): string {
  const rows = findings.map((each) => {
    const { what, target, isLeast = false, unit, value, ratio } = each;
    const text = (number: number): string =>
      figure(number, 2) + (unit === undefined ? '' : ` ${unit}`);
    return [
      what,
      `${isLeast ? '≥' : '≤'} ${text(target)}`,
      Number.isNaN(value) ? '–' : text(value),
      ratio === undefined ? '–' : text(ratio.ofMedians),
      ratio === undefined ? '–' : range([ratio.least, ratio.most], 2),
      verdict(each),
    ];
  });
  const head = ['target', '', 'median of rounds', 'of medians', 'rounds', ''];
  return markdown([head, ...rows]);
}

function verdict({ value, target, isLeast = false, reason }: Finding): string {
  if (Number.isNaN(value)) return reason === undefined ? 'not measured' : `not measured: ${reason}`;
  return (isLeast ? value >= target : value <= target) ? 'met' : 'missed';
}

/** The least and the greatest value; a dash without values or if one is not finite. */
export function range(values: readonly number[], decimals: number): string {
  if (values.length === 0 || !values.every(Number.isFinite)) return '–';
  return `${figure(Math.min(...values), decimals)}–${figure(Math.max(...values), decimals)}`;
}

/** The median, and the range in brackets. */
export function withRange(values: readonly number[], decimals: number): string {
  return `${figure(median(values), decimals)} (${range(values, decimals)})`;
}
