/**
 * cli/: The command line: parsing, help, completion, output. The only folder that imports yargs.
 * Imports: app/process, config, dns, observability, registrar, registrar/describe, registrar/reconcile,
 *   registrar/registrator, service, store.
 * Used by: cli/commands, main.
 *
 * The command line: finds the command and its arguments, runs it, and turns what goes wrong into a message and an exit
 * code. The only importer of yargs.
 */
import type { Argv } from 'yargs';
import yargs from 'yargs';
import { EXIT_CODES, Failure, failureOf } from '../app/process/failure.ts';
import type { Io } from '../app/process/process.ts';
import type { OptionWords } from '../config/option.ts';
import type { Arguments, FlagValue } from '../config/settings.ts';
import { nearestWord } from '../observability/suggest.ts';
import { splitRegistratorLine } from '../registrar/registrator/commandLine.ts';
import type { Command, Positional } from './command.ts';
import { normalise } from './commandLine.ts';
import { printFailure } from './output.ts';

/** Runs one command line and gives its exit code. Never rejects. */
export async function runCli(
  commands: readonly Command[],
  argv: readonly string[],
  io: Io,
): Promise<number> {
  try {
    const line = splitRegistratorLine(rephrase(argv), io.env);
    const normal = normalise(
      line,
      commands.flatMap(({ options }) => options),
    );
    if (normal.kind === 'mistake') throw new Failure('usage', normal.problem);
    return await dispatch(commands, normal.argv, io);
  } catch (error) {
    const failure = failureOf(error);
    printFailure(failure, asksForJson(argv), io.stderr);
    return EXIT_CODES[failure.code];
  }
}

/** Other ways to say `version` and `X --help`. */
function rephrase(argv: readonly string[]): readonly string[] {
  const [first, ...rest] = argv;
  if (first === '--version' || first === '-version' || first === '-v') return ['version', ...rest];
  if (first === 'help') return [...rest, '--help'];
  return argv;
}

function asksForJson(argv: readonly string[]): boolean {
  return argv.includes('--json') || argv.includes('--json=true');
}

async function dispatch(
  commands: readonly Command[],
  argv: readonly string[],
  io: Io,
): Promise<number> {
  let exitCode = 0;
  const parser = createParser(commands, argv, io, async (command, args) => {
    exitCode = await command.run(args, io);
  });
  let help = '';
  await parser.parseAsync([...argv], {}, (_error, _args, output) => {
    help = output;
  });
  if (help !== '') io.stdout.write(`${help}\n`);
  return exitCode;
}

type RunCommand = (command: Command, args: Arguments) => Promise<void>;

function createParser(
  commands: readonly Command[],
  argv: readonly string[],
  io: Io,
  run: RunCommand,
): Argv {
  const parser = yargs([...argv])
    .scriptName('soradns')
    .usage('$0 <command>\n\nDNS for finding containers: names from etcd or an embedded store.')
    .locale('en')
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .exitProcess(false)
    .help()
    .alias('help', 'h')
    .version(false)
    .strict()
    .demandCommand(1, 'no command')
    .wrap(io.stdout.isTty ? Math.min(100, process.stdout.columns || 100) : 100)
    .epilogue('soradns COMMAND --help says more about a command.')
    .fail((message, error) => {
      throw error ?? misuse(message, argv, commands);
    });
  for (const command of commands) {
    const usage = [command.name, ...command.positionals.map(positionalUsage)].join(' ');
    const build = (inner: Argv) => declareOptions(inner, command);
    const handle = (parsed: Record<string, unknown>) => run(command, argumentsOf(command, parsed));
    parser.command(usage, command.summary, build, handle);
  }
  return parser;
}

function positionalUsage({ name, required, many }: Positional): string {
  const dots = many ? '..' : '';
  return required ? `<${name}${dots}>` : `[${name}${dots}]`;
}

function declareOptions(parser: Argv, command: Command): Argv {
  // yargs would head the page with the general usage.
  const usage = [command.name, ...command.positionals.map(positionalUsage)].join(' ');
  parser.usage(`$0 ${usage}\n\n${command.summary}`).epilogue(epilogue(command));
  for (const { name, describe, choices } of command.positionals)
    parser.positional(name, { type: 'string', describe, ...(choices && { choices }) });
  for (const option of command.options) parser.option(option.name, yargsOption(option));
  return parser;
}

/** Examples whole on their lines, to be copied; yargs would break them into columns. */
function epilogue({ examples, note }: Command): string {
  const lines = examples.map(([line, purpose]) => `  # ${purpose}\n  ${line}`);
  return `Examples:\n${lines.join('\n')}${note === undefined ? '' : `\n\n${note}`}`;
}

function yargsOption(option: OptionWords) {
  const { form, describe, short, hidden, group, choices, placeholder, defaultText } = option;
  return {
    // Everything is text to the parser, so that no name or id is taken for a number.
    type: form === 'switch' ? ('boolean' as const) : ('string' as const),
    describe: placeholder === undefined ? describe : `${placeholder}: ${describe}`,
    ...(short && { alias: short }),
    ...(hidden && { hidden }),
    // yargs prints groups in the order in which it meets them; the plain options come first.
    group: group ?? 'Options:',
    ...(choices && form !== 'text' && { choices }),
    ...(defaultText !== undefined && { defaultDescription: defaultText, default: undefined }),
  };
}

function argumentsOf(command: Command, parsed: Record<string, unknown>): Arguments {
  const flags: Record<string, FlagValue> = {};
  for (const { name } of command.options) {
    const value = parsed[name];
    if (value !== undefined) flags[name] = value as FlagValue;
  }
  const words = command.positionals
    .flatMap(({ name }) => parsed[name] as string | string[] | undefined)
    .filter((word) => word !== undefined);
  // The command's own name, and then what stood behind `--`.
  const [, ...behind] = parsed._ as string[];
  return { flags, words: [...words, ...behind] };
}

/** yargs's complaint in one line that names the argument and the fix. */
function misuse(message: string, argv: readonly string[], commands: readonly Command[]): Failure {
  const unknown = /^Unknown (?:arguments?|commands?): ([^,]+)/.exec(message)?.[1]?.trim();
  const command = commands.find(({ name }) => name === argv[0]);
  const help = `soradns ${command === undefined ? '' : `${command.name} `}--help`;
  if (message.startsWith('Not enough non-option arguments') && command !== undefined) {
    const needed = command.positionals.filter(({ required }) => required).map(positionalUsage);
    return new Failure('usage', `${command.name}: needs ${needed.join(' ')}`, `see ${help}`);
  }
  if (unknown === undefined) {
    return new Failure('usage', message.replaceAll('\n', ' '), `see ${help}`);
  }
  if (command === undefined) {
    const meant = nearestWord(
      unknown,
      commands.map(({ name }) => name),
    );
    return new Failure('usage', `${unknown}: there is no such command`, suggestion(meant, help));
  }
  const given = argv.find((token) => token.replace(/^-+/, '').split('=')[0] === unknown);
  if (!given?.startsWith('-')) {
    return new Failure('usage', `${unknown}: is one argument too many`, `see ${help}`);
  }
  const names = command.options.filter(({ hidden }) => !hidden).map(({ name }) => name);
  const other = unknown.startsWith('register-') ? unknown.slice(9) : `register-${unknown}`;
  const meant = names.includes(other) ? other : nearestWord(unknown, names);
  const problem = `${given.split('=')[0]}: there is no such option`;
  return new Failure('usage', problem, suggestion(meant && `--${meant}`, help));
}

function suggestion(meant: string | undefined, help: string): string {
  return meant === undefined ? `see ${help}` : `did you mean ${meant}?`;
}
