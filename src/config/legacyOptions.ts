import { fileKeysOf, type OptionForm, type OptionWords, variablesOf } from './option.ts';
import { parseSwitch, type Sources } from './settings.ts';

/**
 * SkyDNS's options without a counterpart. `unneeded` ones are accepted with a note, `unavailable` ones are refused
 * unless they are switched off: whoever sets them relies on what they do.
 */
export interface LegacyOption extends OptionWords {
  readonly fate: 'unneeded' | 'unavailable';
  readonly env?: readonly string[];
  readonly jsonKeys?: readonly string[];
  /** Why, or what to do instead, as the second half of a sentence. */
  readonly reason: string;
}

const memory = 'answers come from memory anyway';

export const LEGACY_OPTIONS: readonly LegacyOption[] = [
  legacy('dnssec', 'text', 'unavailable', 'leave it out: answers are not signed', ['dnssec']),
  legacy(
    'stubzones',
    'switch',
    'unavailable',
    'leave it out, and give --nameservers a server that knows the zones',
    [],
  ),
  legacy('rcache', 'text', 'unneeded', memory, ['rcache']),
  legacy('rcache-ttl', 'text', 'unneeded', memory, ['rcache_ttl']),
  legacy('scache', 'text', 'unneeded', 'there are no signatures to keep', ['scache']),
  legacy('ns-rotate', 'switch', 'unneeded', 'a nameserver that fails is passed over by itself', [
    'ns_rotate',
  ]),
  legacy('rtimeout', 'text', 'unneeded', 'the limits on forwarding are fixed', ['read_timeout']),
  legacy('etcd3', 'switch', 'unneeded', 'etcd is always spoken to in version 3', ['Etcd3']),
  legacy('verbose', 'switch', 'unneeded', 'use --log-level debug or --log-queries', []),
];

function legacy(
  name: string,
  form: OptionForm,
  fate: LegacyOption['fate'],
  reason: string,
  jsonKeys: readonly string[],
): LegacyOption {
  return { name, form, fate, reason, jsonKeys, describe: reason, hidden: true };
}

/** What the options set here are worth saying. */
export function readLegacy(sources: Sources): { notes: string[]; mistakes: string[] } {
  const notes: string[] = [];
  const mistakes: string[] = [];
  for (const option of LEGACY_OPTIONS) {
    const found = findLegacy(option, sources);
    if (found === undefined) continue;
    if (option.fate === 'unneeded') {
      notes.push(`${found.place} has no effect: ${option.reason}`);
    } else if (!found.off) {
      const state = 'is not available in this version, though SkyDNS has it';
      mistakes.push(`${found.place}: ${state}; ${option.reason}`);
    }
  }
  return { notes, mistakes };
}

/** Where the option was set, and whether to a value that switches it off. */
function findLegacy(
  option: LegacyOption,
  { flags, env, file }: Sources,
): { place: string; off: boolean } | undefined {
  const flag = flags[option.name];
  if (flag !== undefined) return { place: `--${option.name}`, off: isOff(flag) };
  for (const name of variablesOf(option)) {
    if (env[name]) return { place: name, off: isOff(env[name]) };
  }
  for (const key of fileKeysOf(option)) {
    const raw = file?.values[key];
    if (raw !== undefined && raw !== null) {
      return { place: `${key} in ${file?.path}`, off: isOff(raw) || isEmpty(raw) };
    }
  }
  return undefined;
}

function isOff(raw: unknown): boolean {
  return raw === false || (typeof raw === 'string' && parseSwitch(raw) === false);
}

/** SkyDNS writes unset values as `""`, `0` or `[]`. */
export function isEmpty(raw: unknown): boolean {
  return raw === '' || raw === 0 || (Array.isArray(raw) && raw.length === 0);
}
