/**
 * cli/: The command line: parsing, help, completion, output. The only folder that imports yargs.
 * Imports: app/process, config, config/options, dns, dns/presentation, observability, registrar/describe,
 *   registrar/reconcile, registrar/registrator, service, store, tools/doctor/judge, transfer.
 * Used by: cli/commands, cli/host, cli/linking, cli/signing, main.
 *
 * `runCli` finds the command, runs it, and turns errors into a message and an exit code.
 */
import { EXIT_CODES, failureOf } from '../app/process/failure.ts';
import type { Io } from '../app/process/process.ts';
import type { CommandEntry } from './command.ts';
import { printFailure } from './output.ts';
import { plainCall } from './plainLine.ts';

/** Runs one command line and returns its exit code. Never rejects. */
export async function runCli(
  table: readonly CommandEntry[],
  argv: readonly string[],
  io: Io,
): Promise<number> {
  try {
    const line = await withoutRegistratorPart(rephrase(argv), io);
    const call = await plainCall(table, line);
    if (call !== undefined) return await call.command.run(call.args, io);
    const { parseAndRun } = await import('./parser.ts');
    return await parseAndRun(table, line, io);
  } catch (error) {
    const failure = failureOf(error);
    printFailure(failure, asksForJson(argv), io.stderr);
    return EXIT_CODES[failure.code];
  }
}

async function withoutRegistratorPart(
  argv: readonly string[],
  { env }: Io,
): Promise<readonly string[]> {
  if (argv[0] !== 'register') return argv;
  const { splitRegistratorLine } = await import('../registrar/registrator/commandLine.ts');
  return splitRegistratorLine(argv, env);
}

/** Other forms of `version` and `X --help`. */
function rephrase(argv: readonly string[]): readonly string[] {
  const [first, ...rest] = argv;
  if (first === '--version' || first === '-version' || first === '-v') return ['version', ...rest];
  if (first === 'help') return [...rest, '--help'];
  return argv;
}

export function asksForJson(argv: readonly string[]): boolean {
  return argv.includes('--json') || argv.includes('--json=true');
}
