import { fileKeysOf, type OptionForm, type OptionWords, variablesOf } from './options/option.ts';
import type { Sources } from './settings.ts';

/** A SkyDNS option without a counterpart. It is not needed, so it is accepted with a note. */
export interface LegacyOption extends OptionWords {
  readonly env?: readonly string[];
  readonly jsonKeys?: readonly string[];
  /** The reason, or what to do instead, as the second half of a sentence. */
  readonly reason: string;
}

const memory = 'every answer comes from memory';

export const LEGACY_OPTIONS: readonly LegacyOption[] = [
  legacy('rcache', 'text', memory, ['rcache']),
  legacy('rcache-ttl', 'text', memory, ['rcache_ttl']),
  legacy('scache', 'text', 'signatures are kept in memory of a fixed size', ['scache']),
  legacy('ns-rotate', 'switch', 'a failing nameserver is skipped automatically', ['ns_rotate']),
  legacy('rtimeout', 'text', 'the time limits on forwarding are fixed', ['read_timeout']),
  legacy('etcd3', 'switch', 'etcd is always used by its v3 API', ['Etcd3']),
  legacy('verbose', 'switch', 'use --log-level debug or --log-queries', []),
];

function legacy(
  name: string,
  form: OptionForm,
  reason: string,
  jsonKeys: readonly string[],
): LegacyOption {
  return { name, form, reason, jsonKeys, describe: reason, hidden: true };
}

/** Notes about the legacy options that are set. */
export function legacyNotes(sources: Sources): readonly string[] {
  return LEGACY_OPTIONS.flatMap((option) => {
    const setBy = sourceOf(option, sources);
    return setBy === undefined ? [] : [`${setBy} has no effect: ${option.reason}`];
  });
}

/** What set the option. */
function sourceOf(option: LegacyOption, { flags, env, file }: Sources): string | undefined {
  if (flags[option.name] !== undefined) return `--${option.name}`;
  const variable = variablesOf(option).find((name) => env[name]);
  if (variable !== undefined) return variable;
  const key = fileKeysOf(option).find((name) => (file?.values[name] ?? null) !== null);
  return key && `${key} in ${file?.path}`;
}

/** SkyDNS writes unset values as `""`, `0` or `[]`. */
export function isEmpty(raw: unknown): boolean {
  return raw === '' || raw === 0 || (Array.isArray(raw) && raw.length === 0);
}
