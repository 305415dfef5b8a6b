import { type NamedOption, type Sources, variablesOf } from './settings.ts';
import { nearest } from './suggest.ts';

/**
 * A note for each variable that begins with SORADNS_, sets none of the options, and looks like a slip. Others are
 * passed over: container runtimes make variables such as SORADNS_PORT for a service of that name.
 */
export function strangeVariables(
  env: Sources['env'],
  rows: readonly NamedOption[],
): readonly string[] {
  const known = new Set(rows.flatMap((row) => [...variablesOf(row)]).concat('SORADNS_CONFIG'));
  for (const row of rows) {
    if (row.secret) for (const name of variablesOf(row)) known.add(`${name}_FILE`);
  }
  const endings = [...known].map((name) => name.replace('SORADNS_', ''));
  return Object.keys(env)
    .filter((name) => /^SORADNS_/.test(name) && !/^SORADNS_(PORT|SERVICE)/.test(name))
    .filter((name) => !known.has(name))
    .flatMap((name) => {
      const meant = nearest(name.slice('SORADNS_'.length), endings);
      return meant === undefined ? [] : [`${name} has no effect; did you mean SORADNS_${meant}?`];
    });
}
