/**
 * Reads the command lines that have no mistake and do not ask for help, which are nearly all, so that a command starts
 * without loading a parser. Leaves every other line to `parser.ts`, and reads the lines in between as that would: a
 * test compares the two.
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
  const words: string[] = [];
  for (const [index, token] of argv.entries()) {
    if (token === '--') {
      words.push(...argv.slice(index + 1));
      break;
    }
    if (!token.startsWith('-')) words.push(token);
    else if (!setOption(flags, token, command.options)) return undefined;
  }
  return fits(words, command) ? { flags, words } : undefined;
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
  const before = flags[name];
  if (option === undefined) return false;
  if (option.form === 'switch') {
    if (before !== undefined) return false;
    flags[name] = value === 'true';
    return value === 'true' || value === 'false';
  }
  // The parser takes quotation marks around a value away.
  if (/^["']/.test(value)) return false;
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
    if (option?.form !== 'switch' || flags[option.name] !== undefined) return false;
    flags[option.name] = true;
  }
  return true;
}

/** Whether the command takes these words. */
function fits(words: readonly string[], { positionals }: Command): boolean {
  const required = positionals.filter((positional) => positional.required).length;
  const isSurplus = words.length > positionals.length && !positionals.some(({ many }) => many);
  if (words.length < required || isSurplus) return false;
  return positionals.every(({ choices }, i) => {
    const word = words[i];
    return choices === undefined || word === undefined || choices.includes(word);
  });
}
