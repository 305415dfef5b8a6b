/** Prints the findings of `doctor` and of `ambassador check`. */
import type { Output } from '../app/process/process.ts';
import type { Arguments } from '../config/settings.ts';
import { printable } from '../observability/printable.ts';
import { countFindings, type Finding, type Severity } from '../tools/doctor/judge/finding.ts';
import { jsonLine, paint } from './output.ts';

/** Returns the exit code: 1 if there is a problem. */
export function reportFindings(
  found: readonly Finding[],
  { json, quiet }: Arguments['flags'],
  out: Output,
): number {
  if (json) printJson(found, out);
  else printFindings(found, quiet === true, out);
  return countFindings('problem', found) === 0 ? 0 : 1;
}

function printJson(found: readonly Finding[], out: Output): void {
  const problems = countFindings('problem', found);
  const warnings = countFindings('warning', found);
  out.write(`${jsonLine({ problems, warnings, findings: found })}\n`);
}

const STYLES = { ok: 'green', warning: 'yellow', problem: 'red' } as const satisfies Record<
  Severity,
  Parameters<typeof paint>[1]
>;

function printFindings(found: readonly Finding[], isQuiet: boolean, out: Output): void {
  const width = Math.max(...found.map(({ check }) => check.length));
  for (const { check, level, message, fix } of found) {
    if (isQuiet && level === 'ok') continue;
    const head = `${paint(level.padEnd(7), STYLES[level], out)}  ${check.padEnd(width)}`;
    out.write(`${head}  ${printable(message)}\n`);
    if (fix !== undefined) out.write(`${' '.repeat(width + 11)}fix: ${printable(fix)}\n`);
  }
  if (isQuiet) return;
  const problems = countFindings('problem', found);
  const warnings = countFindings('warning', found);
  out.write(`\n${counted(problems, 'problem')}, ${counted(warnings, 'warning')}\n`);
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
