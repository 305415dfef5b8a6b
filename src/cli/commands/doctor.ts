/** `soradns doctor`: what keeps names from being found, on this host, each with the line that mends it. Changes nothing. */
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
  summary: 'Find what keeps names from being found, and the fix',
  positionals: [],
  options: [
    ...shownOnly(['config', 'addr', 'domain', 'http', 'store'], SERVER_OPTIONS),
    {
      name: 'root',
      form: 'text',
      placeholder: 'DIR',
      describe: "read the host's files below DIR, for a container that has them mounted",
      defaultText: '/',
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    ['soradns doctor', 'the server that answers on port 53 of this host'],
    ['soradns doctor --addr 172.17.0.1:53 --store etcd://10.0.0.1:2379', 'one with options'],
    ['soradns doctor -q', 'only what is not well'],
    ['soradns doctor --json', 'for scripts'],
  ],
  note: `It takes all options of serve, and its variables and config file, to know where the server is meant
to be; without --addr it looks for it on port 53. Exit code 0: there may be warnings, but no problem; 1: there is a problem.`,
  async run({ flags }, io) {
    const { config } = configOf(flags, io);
    // etcd's client takes a while to load; only who asks for it waits.
    const { examine } = await import('../../tools/doctor/examine.ts');
    const { hostAt } = await import('../../tools/doctor/host.ts');
    const root = typeof flags.root === 'string' ? flags.root : '/';
    if (!isFolder(root)) throw new Failure('usage', `--root: ${root} is no folder`);
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
  out.write(`\n${count(problems, 'problem')}, ${count(warnings, 'warning')}\n`);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
