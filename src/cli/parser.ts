/**
 * The lines that need more than `plainLine.ts`: requests for help, and mistakes, each of which becomes a `Failure`. The
 * only importer of yargs.
 */
import type { Argv } from 'yargs';
import yargs from 'yargs';
import { Failure } from '../app/process/failure.ts';
import type { Io } from '../app/process/process.ts';
import type { OptionWords } from '../config/options/option.ts';
import type { Arguments, FlagValue } from '../config/settings.ts';
import { nearestWord } from '../observability/suggest.ts';
import { type Command, type CommandEntry, loadCommands, type Positional } from './command.ts';
import { isOption, isOptionOf, normalise } from './commandLine.ts';

/** Runs a command line, or prints help; returns the exit code. Throws a `Failure` for a mistake in the line. */
export async function parseAndRun(
  table: readonly CommandEntry[],
  line: readonly string[],
  io: Io,
): Promise<number> {
  const commands = await neededCommands(table, line);
  const normal = normalise(
    line,
    commands.flatMap(({ options }) => options),
  );
  if (normal.kind === 'mistake') throw new Failure('usage', normal.problem);
  const failure = misuse(normal.argv, commands);
  if (failure !== undefined) throw failure;
  return dispatch(commands, quoted(normal.argv), io);
}

/** The command of the line; all commands if the line has a word or an option that this one does not know. */
async function neededCommands(
  table: readonly CommandEntry[],
  line: readonly string[],
): Promise<readonly Command[]> {
  const command = await table.find(({ name }) => name === line[0])?.load();
  const normal = command && normalise(line, command.options);
  if (command !== undefined && normal?.kind === 'arguments') {
    const isKnown = (token: string) =>
      !isOption(token) || asksForHelp(token) || isOptionOf(command, token);
    if (optionsEnd(normal.argv).every(isKnown)) return [command];
  }
  return loadCommands(table);
}

/** The line with more quotation marks around the values that begin with one: yargs removes a pair around a value. */
function quoted(argv: readonly string[]): readonly string[] {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  return argv.map((token, i) =>
    i < end ? token.replace(/^(--[^=]+=)(["'].*)$/s, '$1"$2"') : token,
  );
}

/** The tokens before `--`. */
function optionsEnd(argv: readonly string[]): readonly string[] {
  return argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
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

function createParser(
  commands: readonly Command[],
  argv: readonly string[],
  io: Io,
  run: (command: Command, args: Arguments) => Promise<void>,
): Argv {
  const parser = yargs([...argv])
    .scriptName('soradns')
    .usage('$0 <command>\n\nDNS server and Docker registrar: containers find each other by name.')
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
    .wrap(io.stdout.isTty ? Math.min(100, process.stdout.columns || 100) : 100)
    .epilogue('Run soradns COMMAND --help for the options of a command.')
    .fail((message, error) => {
      throw error ?? new Failure('usage', message.replaceAll('\n', ' '), `see ${helpLine(argv)}`);
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
  // Replaces the general usage, which yargs would print first.
  const usage = [command.name, ...command.positionals.map(positionalUsage)].join(' ');
  parser.usage(`$0 ${usage}\n\n${command.summary}`).epilogue(epilogue(command));
  for (const { name, describe, choices } of command.positionals)
    parser.positional(name, { type: 'string', describe, ...(choices && { choices }) });
  for (const option of command.options) parser.option(option.name, yargsOption(option));
  return parser;
}

/** Prints each example on a line of its own, ready to copy; yargs would break them into columns. */
function epilogue({ examples, note }: Command): string {
  const lines = examples.map(([line, purpose]) => `  # ${purpose}\n  ${line}`);
  return `Examples:\n${lines.join('\n')}${note === undefined ? '' : `\n\n${unwrapped(note)}`}`;
}

/** A text with each paragraph on one line, because yargs breaks lines at the width of the terminal. */
function unwrapped(text: string): string {
  return text.replaceAll(/(?<=\S)\n(?=\S)/g, ' ');
}

function yargsOption(option: OptionWords) {
  const { form, short, hidden, group, placeholder, defaultText } = option;
  const describe = describeWithChoices(option);
  return {
    // The parser takes every value as text, so that it never turns a name or id into a number.
    type: form === 'switch' ? ('boolean' as const) : ('string' as const),
    describe: placeholder === undefined ? describe : `${placeholder}: ${describe}`,
    ...(short && { alias: short }),
    ...(hidden && { hidden }),
    // yargs prints groups in the order of their first option; the plain options come first.
    group: group ?? 'Options:',
    ...(defaultText !== undefined && { defaultDescription: defaultText, default: undefined }),
  };
}

/** The parser does not get the choices, because it would take a list such as `POST,PUT` for one value. */
function describeWithChoices({ describe, choices = [] }: OptionWords): string {
  const isComplete = choices.every((choice) => describe.includes(choice));
  return isComplete ? describe : `${describe}: ${choices.join(', ')}`;
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
  // The command's name, then the words after `--`.
  const [, ...behind] = parsed._ as string[];
  return { flags, words: [...words, ...behind] };
}

/** The first unknown command, unknown option, unknown choice, missing word or surplus word of a normalised line. */
function misuse(argv: readonly string[], commands: readonly Command[]): Failure | undefined {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  const tokens = argv.slice(0, end);
  if (tokens.some(asksForHelp)) return undefined;
  const words = [...tokens.filter((token) => !isOption(token)), ...argv.slice(end + 1)];
  const [name] = words;
  if (name === undefined) return new Failure('usage', 'no command', 'see soradns --help');
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    const meant = nearestWord(
      name,
      commands.map((candidate) => candidate.name),
    );
    return new Failure('usage', `${name}: unknown command`, suggestion(meant, 'soradns --help'));
  }
  const unknown = tokens.find((token) => isOption(token) && !isOptionOf(command, token));
  if (unknown !== undefined) return unknownOption(command, unknown);
  const failure = misusedWords(command, words);
  return failure && (separateValue(command, tokens) ?? failure);
}

/** A `true` or `false` behind a switch, which takes a value only in the form `--switch=false`. */
function separateValue({ options }: Command, tokens: readonly string[]): Failure | undefined {
  for (const [i, token] of tokens.entries()) {
    const word = tokens[i + 1];
    if (word !== 'true' && word !== 'false') continue;
    const option = options.find(
      ({ name, form }) => form === 'switch' && token === `--${name}=true`,
    );
    if (option === undefined) continue;
    return new Failure('usage', `${word}: unexpected argument`, `write --${option.name}=${word}`);
  }
  return undefined;
}

/** The command line that prints help for the command of a line: its first word. */
function helpLine(argv: readonly string[]): string {
  const command = argv.filter((token) => !isOption(token)).slice(0, 1);
  return ['soradns', ...command, '--help'].join(' ');
}

/** As in `--help`, `--h`, `-h`, `-qh` and `--help=true`. */
function asksForHelp(token: string): boolean {
  if (!isOption(token)) return false;
  const [name = ''] = token.split('=');
  return name.startsWith('--') ? name === '--help' || name === '--h' : name.includes('h');
}

function unknownOption({ name, options }: Command, token: string): Failure {
  const [given = ''] = token.split('=');
  const unknown = given.replace(/^-+/, '');
  const names = options.filter(({ hidden }) => !hidden).map((option) => option.name);
  const other = unknown.startsWith('register-') ? unknown.slice(9) : `register-${unknown}`;
  const meant = names.includes(other) ? other : nearestWord(unknown, names);
  const hint = suggestion(meant && `--${meant}`, `soradns ${name} --help`);
  return new Failure('usage', `${given}: unknown option`, hint);
}

function misusedWords(
  { name, positionals }: Command,
  words: readonly string[],
): Failure | undefined {
  const help = `soradns ${name} --help`;
  const given = words.slice(1);
  for (const [i, { choices }] of positionals.entries()) {
    const word = given[i];
    if (choices === undefined || word === undefined || choices.includes(word)) continue;
    const problem = `${name}: ${word} is not one of ${choices.join(', ')}`;
    return new Failure('usage', problem, suggestion(nearestWord(word, choices), help));
  }
  const required = positionals.filter((positional) => positional.required);
  if (given.length < required.length) {
    const needed = required.map(positionalUsage).join(' ');
    return new Failure('usage', `${name}: needs ${needed}`, `see ${help}`);
  }
  const surplus = positionals.some(({ many }) => many) ? undefined : given[positionals.length];
  return surplus === undefined
    ? undefined
    : new Failure('usage', `${surplus}: unexpected argument`, `see ${help}`);
}

function suggestion(meant: string | undefined, help: string): string {
  return meant === undefined ? `see ${help}` : `did you mean ${meant}?`;
}
