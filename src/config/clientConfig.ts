/** Reads the configuration of a command on a store. Apart from the options of `serve`, which are many more. Pure. */
import type { ConfigResult } from './config.ts';
import type { OptionValues } from './options/option.ts';
import { STORE_OPTIONS } from './options/storeOptions.ts';
import { readSettings, type Sources } from './settings.ts';
import { type StoreLocation, storeOf } from './storeLocation.ts';

/** The configuration of a command that reads or writes a store. */
export interface ClientConfig extends Omit<OptionValues<typeof STORE_OPTIONS>, 'storeText'> {
  readonly store: StoreLocation;
}

export const DEFAULT_CLIENT_STORE = 'http://127.0.0.1:4001';

/** The configuration of a client command; its default store is the local server. */
export function readClientConfig(input: Omit<Sources, 'file'>): ConfigResult<ClientConfig> {
  const sources: Sources = { ...input, file: undefined };
  const { settings, origins, mistakes } = readSettings(STORE_OPTIONS, sources);
  const chosen = storeOf(settings, origins.storeText, DEFAULT_CLIENT_STORE);
  if (chosen.kind === 'mistake') {
    return { kind: 'mistakes', mistakes: [...mistakes, chosen.mistake] };
  }
  if (mistakes.length > 0) return { kind: 'mistakes', mistakes };
  const { storeText: _, ...values } = settings;
  const config = Object.freeze({ ...values, store: chosen.store });
  return { kind: 'config', config, notes: [] };
}
