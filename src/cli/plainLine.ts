/**
 * Reads the command lines that have no mistake and do not ask for help, which are nearly all, so that a command starts
 * without loading a parser. Leaves every other line to `parser.ts`, and reads a line as `parser.ts` would read it: a test
 * compares the two.
 */
import type { OptionWords } from '../config/options/option.ts';
import type { Arguments, FlagValue } from '../config/settings.ts';
import type { Command, CommandEntry } from './command.ts';
import { normalise } from './commandLine.ts';

export interface CommandCall {
  readonly command: Command;
  readonly args: Arguments;
}

/** The command of a line that begins with it, and its arguments; undefined for a line that needs the parser. */
export async function plainCall(
  table: readonly CommandEntry[],
  line: readonly string[],
): Promise<CommandCall | undefined> {
  const command = await table.find(({ name }) => name === line[0])?.load();
  if (command === undefined) return undefined;
  const normal = normalise(line.slice(1), command.options);
  const args = normal.kind === 'arguments' ? plainArguments(normal.argv, command) : undefined;
  return args && { command, args };
}

/** The arguments behind the command's name, from a normalised line; undefined if they need the parser. */
function plainArguments(argv: readonly string[], command: Command): Arguments | undefined {
  const flags: Record<string, FlagValue> = {};
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  const words: string[] = [];
  let before = '';
  for (const token of argv.slice(0, end)) {
    // The parser may take such a word as the value of the switch before it.
    if ((token === 'true' || token === 'false') && before.startsWith('-')) return undefined;
    if (!token.startsWith('-')) words.push(token);
    else if (!setOption(flags, token, command.options)) return undefined;
    before = token;
  }
  const behind = argv.slice(end + 1);
  return fits(words, behind, command) ? { flags, words: [...words, ...behind] } : undefined;
}

/** Sets what `--name=value` or a group of letters gives; false for any other token. */
function setOption(
  flags: Record<string, FlagValue>,
  token: string,
  options: readonly OptionWords[],
): boolean {
  const [, name, value = ''] = /^--([^=]+)=(.*)$/s.exec(token) ?? [];
  if (name === undefined) return setSwitches(flags, token, options);
  const option = options.find((each) => each.name === name);
  if (option === undefined) return false;
  if (option.form === 'switch') {
    flags[name] = value === 'true';
    return value === 'true' || value === 'false';
  }
  const before = flags[name];
  flags[name] = before === undefined ? value : [...[before].flat().map(String), value];
  return true;
}

/** Sets the switches of `-rq`. */
function setSwitches(
  flags: Record<string, FlagValue>,
  token: string,
  options: readonly OptionWords[],
): boolean {
  if (!/^-[A-Za-z]+$/.test(token)) return false;
  for (const letter of token.slice(1)) {
    const option = options.find(({ short }) => short === letter);
    if (option?.form !== 'switch') return false;
    flags[option.name] = true;
  }
  return true;
}

/** Whether the command takes these words, and `behind` after `--`. */
function fits(
  words: readonly string[],
  behind: readonly string[],
  { positionals }: Command,
): boolean {
  const required = positionals.filter((positional) => positional.required).length;
  const isEndless = positionals.some(({ many }) => many);
  // To the parser, `ls help` asks for help, and a word behind `--` does not count as a required one.
  if (words.includes('help') || words.length < required) return false;
  if (words.length + behind.length > positionals.length && !isEndless) return false;
  return positionals.every(({ choices }, i) => {
    const word = words[i];
    return choices === undefined || word === undefined || choices.includes(word);
  });
}
