/** The tables of docs/options.md, made from the program's option rows. */

import { DEFAULT_CLIENT_STORE } from '../../src/config/clientConfig.ts';
import {
  AMBASSADOR_COMMAND_OPTIONS,
  SERVE_AMBASSADOR_OPTIONS,
} from '../../src/config/options/ambassadorOptions.ts';
import {
  type Option,
  type OptionWords,
  variablesOf,
  wordsOf,
} from '../../src/config/options/option.ts';
import {
  REGISTER_COMMAND_OPTIONS,
  REGISTRAR_OPTIONS,
  SERVE_REGISTRAR_OPTIONS,
} from '../../src/config/options/registrarOptions.ts';
import { SERVE_OPTIONS } from '../../src/config/options/serveOptions.ts';
import { STORE_OPTIONS } from '../../src/config/options/storeOptions.ts';
import { COMMANDS } from './commands.ts';

type Rows = Readonly<Record<string, Option<unknown>>>;

/** The text between the marks of docs/options.md. */
export function optionTables(): string {
  const ofRegister = Object.entries(REGISTER_COMMAND_OPTIONS);
  const own = Object.fromEntries(ofRegister.filter(([field]) => !(field in REGISTRAR_OPTIONS)));
  return [
    '### serve and up',
    "The default of `--addr` in `up` is the host's address on Docker's bridge. `up` always registers.",
    table(SERVE_OPTIONS),
    '### Commands with a store',
    table({ ...STORE_OPTIONS, storeText: storeRow() }),
    '### The registrar',
    `\`register\` has these names. \`serve\` and \`up\` prefix them with \`register-\`, and read only the variables that begin with
\`SORADNS_REGISTER_\`: \`--register-ip\`, \`SORADNS_REGISTER_IP\`. The default of their \`--register-zone\` is the value of \`--domain\`.
\`dockerproxy\` has only \`--docker-host\`, \`--env-prefix\`, \`--label-prefix\` and \`--ip-label\`.`,
    table(REGISTRAR_OPTIONS),
    '### The ambassador of a host',
    '`serve` and `up` have these options. [Linking](linking.md) says what they are for.',
    table(SERVE_AMBASSADOR_OPTIONS),
    '### soradns ambassador',
    '`soradns ambassador` also has the options of commands with a store.',
    table(AMBASSADOR_COMMAND_OPTIONS),
    '### register only',
    '`serve` and `up` have options of their own with these names.',
    table(own),
    '### Other options of commands',
    commandTable(),
  ].join('\n\n');
}

function storeRow(): Option<unknown> {
  const defaultText = `\`serve\` and \`up\`: file: in the state directory; else ${DEFAULT_CLIENT_STORE}`;
  return { ...STORE_OPTIONS.storeText, defaultText };
}

function table(rows: Rows): string {
  const lines = Object.values(rows)
    .filter(({ hidden }) => hidden !== true)
    .map((row) => [option(row), variables(row), fallback(row), meaning(row)]);
  return printed(['option', 'variables', 'default', 'meaning'], lines);
}

function printed(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = rows.map((cells) => `| ${cells.join(' | ')} |`);
  return [`| ${head.join(' | ').trim()} |`, `|${'---|'.repeat(head.length)}`, ...lines].join('\n');
}

function option(row: OptionWords & { readonly secret?: boolean }): string {
  const { name, short, placeholder, form, secret } = row;
  const value = form === 'switch' ? '' : ` ${placeholder ?? 'VALUE'}`;
  if (secret === true) return `\`--${name}-file FILE\``;
  const names = [`\`--${name}${value}\``];
  if (short !== undefined) names.push(`\`-${short}\``);
  return names.join(', ');
}

function variables(row: Option<unknown>): string {
  const [own = '', ...others] = variablesOf(row);
  const all = [own, ...(row.secret === true ? [`${own}_FILE`] : []), ...others];
  return list(all);
}

function fallback({ defaultText, form }: OptionWords): string {
  return defaultText ?? (form === 'switch' ? 'false' : '–');
}

function meaning({ describe, choices = [] }: OptionWords): string {
  const isComplete = choices.every((choice) => describe.includes(choice));
  return `${describe}${isComplete ? '' : `: ${choices.join(', ')}`}`.replaceAll('|', '\\|');
}

function list(words: readonly string[]): string {
  return words.map((word) => `\`${word}\``).join(', ');
}

/** A line for each option that no other table contains, with the commands that have it. */
function commandTable(): string {
  const commandsOf = new Map<string, { words: OptionWords; commands: string[] }>();
  for (const { name, options } of COMMANDS) {
    for (const words of options) {
      if (words.hidden || LISTED.has(keyOf(words))) continue;
      const line = commandsOf.get(keyOf(words)) ?? { words, commands: [] };
      line.commands.push(name);
      commandsOf.set(keyOf(words), line);
    }
  }
  const rows = [...commandsOf.values()].map(({ words, commands }) => {
    // The command itself reads such an option; its help names the variable.
    const [named = '', variable] = /\s*\((SORADNS_[A-Z]+)\)/.exec(words.describe) ?? [];
    const cells = [option(words), holders(commands), list(variable ? [variable] : [])];
    return [...cells, fallback(words), meaning(words).replace(named, '')];
  });
  return printed(['option', 'commands', 'variable', 'default', 'meaning'], rows);
}

const LISTED = new Set(
  [
    ...[SERVE_OPTIONS, STORE_OPTIONS, REGISTER_COMMAND_OPTIONS, SERVE_REGISTRAR_OPTIONS],
    ...[SERVE_AMBASSADOR_OPTIONS, AMBASSADOR_COMMAND_OPTIONS],
  ]
    .flatMap((rows) => wordsOf(rows))
    .map(keyOf),
);

/** Options of several commands count as one if their name and description are equal. */
function keyOf({ name, describe }: OptionWords): string {
  return `${name} ${describe}`;
}

function holders(commands: readonly string[]): string {
  const others = COMMANDS.map(({ name }) => name).filter((name) => !commands.includes(name));
  return others.length < commands.length ? `all but ${list(others)}` : list(commands);
}
