/**
 * `soradns doctor`: finds out why names do not resolve on this host, and prints a command that fixes it. Changes
 * nothing.
 */
import { statSync } from 'node:fs';
import { Failure } from '../../app/process/failure.ts';
import { networkOf } from '../../app/process/network.ts';
import type { Io, Output } from '../../app/process/process.ts';
import { printable } from '../../observability/printable.ts';
import { countFindings, type Finding, type Severity } from '../../tools/doctor/judge/finding.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine, paint } from '../output.ts';
import { configOf, SERVER_OPTIONS, shownOnly } from '../serverConfig.ts';

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'Diagnose why names do not resolve, and suggest fixes',
  positionals: [],
  options: [
    ...shownOnly(['config', 'addr', 'domain', 'http', 'store'], SERVER_OPTIONS),
    {
      name: 'root',
      form: 'text',
      placeholder: 'DIR',
      describe: "read the host's files below DIR, where a container has them mounted",
      defaultText: '/',
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    ['soradns doctor', 'check the server on port 53 of this host'],
    [
      'soradns doctor --addr 172.17.0.1:53 --store etcd://10.0.0.1:2379',
      'check a server with these options',
    ],
    ['soradns doctor -q', 'print only warnings and problems'],
    ['soradns doctor --json', 'for scripts'],
  ],
  note: `It takes all options, variables and the config file of serve, to find the server; without --addr it
looks on port 53. Exit code 0: no problem, though perhaps warnings; 1: at least one problem.`,
  async run({ flags }, io) {
    const { config } = configOf(flags, io);
    // Loading etcd's client is slow, so other commands do not load it.
    const { examine } = await import('../../tools/doctor/examine.ts');
    const { hostAt } = await import('../../tools/doctor/host.ts');
    const root = typeof flags.root === 'string' ? flags.root : '/';
    if (!isFolder(root)) throw new Failure('usage', `--root: ${root} is not a folder`);
    const found = await examine(config, hostAt(root, networkOf(config, io)));
    if (flags.json) printJson(found, io);
    else printFindings(found, flags.quiet === true, io.stdout);
    return countFindings('problem', found) === 0 ? 0 : 1;
  },
};

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function printJson(found: readonly Finding[], { stdout }: Io): void {
  const problems = countFindings('problem', found);
  const warnings = countFindings('warning', found);
  stdout.write(`${jsonLine({ problems, warnings, findings: found })}\n`);
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
