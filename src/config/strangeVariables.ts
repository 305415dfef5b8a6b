import { REGISTER_OPTIONS } from './registerOptions.ts';
import { type NamedOption, type Sources, variablesOf } from './settings.ts';
import { nearest } from './suggest.ts';

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
      const meant = nearest(name.slice('SORADNS_'.length), endings);
      return meant === undefined ? [] : [`${name} has no effect; did you mean SORADNS_${meant}?`];
    });
}

function namesOf(rows: readonly NamedOption[]): readonly string[] {
  return rows.flatMap((row) => {
    const names = variablesOf(row);
    return row.secret ? [...names, ...names.map((name) => `${name}_FILE`)] : names;
  });
}
