import { excerpt } from '../observability/printable.ts';
import { nearestWord } from '../observability/suggest.ts';
import { type NamedOption, variablesOf } from './option.ts';
import { REGISTER_OPTIONS } from './registerOptions.ts';
import { type ConfigFile, MAX_SHOWN, type Sources } from './settings.ts';

/** A mistake for each key of the config file that sets nothing. */
export function unknownKeys(file: ConfigFile, known: ReadonlySet<string>): readonly string[] {
  return Object.keys(file.values)
    .filter((key) => !known.has(key))
    .map((key) => {
      const meant = nearestWord(key, known);
      const fix = meant === undefined ? 'remove it' : `did you mean ${meant}?`;
      const shown = excerpt(JSON.stringify(key), MAX_SHOWN);
      return `${shown} in ${file.path}: there is no such option; ${fix}`;
    });
}

const OF_OTHER_COMMANDS = [
  ...namesOf(Object.values(REGISTER_OPTIONS)),
  'SORADNS_REGISTRAR',
  'SORADNS_SERVER',
];

/**
 * A note for each variable that begins with SORADNS_, sets none of the options, and looks like a slip. Others are
 * passed over: those of other commands, and container runtimes make ones such as SORADNS_PORT for a service of that name.
 */
export function strangeVariables(
  env: Sources['env'],
  rows: readonly NamedOption[],
): readonly string[] {
  const own = [...namesOf(rows), 'SORADNS_CONFIG'];
  const known = new Set([...own, ...OF_OTHER_COMMANDS]);
  const endings = own.map((name) => name.replace('SORADNS_', ''));
  return Object.keys(env)
    .filter((name) => /^SORADNS_/.test(name) && !/^SORADNS_(PORT|SERVICE)/.test(name))
    .filter((name) => !known.has(name))
    .flatMap((name) => {
      const meant = nearestWord(name.slice('SORADNS_'.length), endings);
      return meant === undefined ? [] : [`${name} has no effect; did you mean SORADNS_${meant}?`];
    });
}

function namesOf(rows: readonly NamedOption[]): readonly string[] {
  return rows.flatMap((row) => {
    const names = variablesOf(row);
    return row.secret ? [...names, ...names.map((name) => `${name}_FILE`)] : names;
  });
}
