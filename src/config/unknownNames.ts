/** Finds names that set no option: keys of the config file, and environment variables. */
import { excerpt } from '../observability/printable.ts';
import { nearestWord } from '../observability/suggest.ts';
import { type NamedOption, variablesOf } from './options/option.ts';
import { REGISTER_COMMAND_OPTIONS, REGISTRAR_OPTIONS } from './options/registrarOptions.ts';
import { type ConfigFile, MAX_SHOWN, type Sources } from './settings.ts';

/** A mistake for each key of the config file that sets no option. */
export function unknownKeys(file: ConfigFile, known: ReadonlySet<string>): readonly string[] {
  return Object.keys(file.values)
    .filter((key) => !known.has(key))
    .map((key) => {
      const meant = nearestWord(key, known);
      const fix = meant === undefined ? 'remove it' : `did you mean ${meant}?`;
      const shown = excerpt(JSON.stringify(key), MAX_SHOWN);
      return `${shown} in ${file.path}: unknown option; ${fix}`;
    });
}

const OTHER_COMMANDS_VARIABLES = [
  ...namesOf(Object.values(REGISTER_COMMAND_OPTIONS)),
  'SORADNS_REGISTRAR',
  'SORADNS_SERVER',
];

/**
 * A note for each SORADNS_ variable that sets no option and looks like a misspelt one. Variables of other commands are
 * fine, and so are those that container runtimes make for a service named soradns (SORADNS_PORT, SORADNS_SERVICE_HOST).
 */
export function misspeltVariables(
  env: Sources['env'],
  rows: readonly NamedOption[],
): readonly string[] {
  const own = [...namesOf(rows), 'SORADNS_CONFIG'];
  const known = new Set([...own, ...OTHER_COMMANDS_VARIABLES]);
  const endings = own.map((name) => name.replace('SORADNS_', ''));
  return Object.keys(env)
    .filter((name) => /^SORADNS_/.test(name) && !/^SORADNS_(PORT|SERVICE)/.test(name))
    .filter((name) => !known.has(name))
    .flatMap((name) => {
      const meant = nearestWord(name.slice('SORADNS_'.length), endings);
      return meant === undefined ? [] : [`${name} has no effect; did you mean SORADNS_${meant}?`];
    });
}

/** A note for each variable of `soradns register` that the registrar in a server reads under another name. */
export function unprefixedVariables(
  env: Sources['env'],
  rows: readonly NamedOption[],
): readonly string[] {
  const own = new Set(namesOf(rows));
  return Object.values(REGISTRAR_OPTIONS).flatMap(({ name }) => {
    const [variable = ''] = variablesOf({ name });
    if (!env[variable] || own.has(variable)) return [];
    const [meant = ''] = variablesOf({ name: `register-${name}` });
    return [`${variable} has no effect on the registrar in a server; use ${meant}`];
  });
}

function namesOf(rows: readonly NamedOption[]): readonly string[] {
  return rows.flatMap((row) => {
    const names = variablesOf(row);
    return row.secret ? [...names, ...names.map((name) => `${name}_FILE`)] : names;
  });
}
