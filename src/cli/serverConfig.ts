/** The server's options, for `serve` and for the commands that examine its configuration. */
import { Failure } from '../app/process/failure.ts';
import type { Io } from '../app/process/process.ts';
import { type Config, readConfig } from '../config/config.ts';
import { LEGACY_OPTIONS } from '../config/legacyOptions.ts';
import { SERVE_AMBASSADOR_OPTIONS } from '../config/options/ambassadorOptions.ts';
import { type OptionWords, wordsOf } from '../config/options/option.ts';
import { SERVE_REGISTRAR_OPTIONS } from '../config/options/registrarOptions.ts';
import { SERVE_OPTIONS } from '../config/options/serveOptions.ts';
import { STORE_OPTIONS } from '../config/options/storeOptions.ts';
import type { Arguments } from '../config/settings.ts';

/** In the order of `soradns serve --help`. */
export const SERVER_OPTIONS: readonly OptionWords[] = [
  {
    name: 'config',
    form: 'text',
    placeholder: 'FILE',
    describe: 'JSON file with options by name (SORADNS_CONFIG)',
  },
  ...wordsOf(SERVE_OPTIONS),
  ...wordsOf(STORE_OPTIONS).map((words) =>
    words.name === 'store' ? { ...words, defaultText: 'file: in the state directory' } : words,
  ),
  ...wordsOf(SERVE_REGISTRAR_OPTIONS),
  ...wordsOf(SERVE_AMBASSADOR_OPTIONS),
  ...LEGACY_OPTIONS,
];

/** The options, of which help shows only those with these names. */
export function shownOnly(
  names: readonly string[],
  options: readonly OptionWords[],
): readonly OptionWords[] {
  return options.map((words) => (names.includes(words.name) ? words : { ...words, hidden: true }));
}

/** The configuration of `serve`. Throws a `Failure` that lists every mistake. */
export function configOf(
  flags: Arguments['flags'],
  { env, readFile, stateDirectory }: Io,
): { readonly config: Config; readonly notes: readonly string[] } {
  const read = readConfig({ flags, env, readFile, stateDirectory });
  if (read.kind === 'mistakes') throw new Failure('usage', read.mistakes.join('; '));
  return read;
}
