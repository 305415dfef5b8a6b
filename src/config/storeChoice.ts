/** Which store the options mean, and a mistake among them as a line that names the option to mend. */
import type { Settings } from './option.ts';
import type { SERVE_OPTIONS } from './serveOptions.ts';
import { EXPOSED, type Origin, type Origins } from './settings.ts';
import {
  holdsPassword,
  parseMachines,
  parseStoreLocation,
  type StoreLocation,
  type StoreLocationResult,
} from './storeLocation.ts';
import type { STORE_OPTIONS } from './storeOptions.ts';
import { Secret } from './values.ts';

export type ChosenStore =
  | { readonly kind: 'store'; readonly store: StoreLocation }
  | { readonly kind: 'mistake'; readonly mistake: string };

type ServerRows = typeof STORE_OPTIONS & Pick<typeof SERVE_OPTIONS, 'machines'>;

/** `--store` or `--machines`, whichever was said with more weight; `fallback` when neither was. */
export function chooseStore(
  settings: Settings<ServerRows>,
  { machines: saidMachines, storeText: saidStore }: Origins<ServerRows>,
  fallback: string,
): ChosenStore {
  const { machines } = settings;
  if (machines === undefined || weight(saidMachines) < weight(saidStore)) {
    return storeOf(settings, saidStore, fallback);
  }
  if (weight(saidMachines) > weight(saidStore)) {
    return chosen(parseMachines(machines, credentialsOf(settings)), '--machines');
  }
  return {
    kind: 'mistake',
    mistake: '--machines: means the same as --store; give one of the two',
  };
}

/** `--store`, by default `fallback`. */
export function storeOf(
  settings: Settings<typeof STORE_OPTIONS>,
  origin: Origin,
  fallback: string,
): ChosenStore {
  const text = settings.storeText ?? fallback;
  if (origin === 'flag' && holdsPassword(text)) {
    const fix = 'give --username USER and --password-file FILE, or the variable SORADNS_STORE';
    return { kind: 'mistake', mistake: `--store: ${EXPOSED} with the password in it; ${fix}` };
  }
  const location = parseStoreLocation(text, credentialsOf(settings), (s) => new Secret(s));
  return chosen(location, '--store');
}

function chosen(result: StoreLocationResult, said: string): ChosenStore {
  if (result.kind === 'location') return { kind: 'store', store: result.location };
  return { kind: 'mistake', mistake: `${result.option ?? said}: ${result.problem}` };
}

function credentialsOf(settings: Settings<typeof STORE_OPTIONS>) {
  return { ...settings, user: settings.username };
}

function weight(origin: Origin): number {
  return ['default', 'file', 'environment', 'flag'].indexOf(origin);
}
