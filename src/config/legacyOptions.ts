import {
  fileKeysOf,
  type OptionForm,
  type OptionWords,
  parseSwitch,
  variablesOf,
} from './options/option.ts';
import type { Sources } from './settings.ts';

/**
 * A SkyDNS option without a counterpart. An `unneeded` one is accepted with a note. An `unavailable` one is refused
 * unless it is switched off, because its user relies on its effect.
 */
export interface LegacyOption extends OptionWords {
  readonly fate: 'unneeded' | 'unavailable';
  readonly env?: readonly string[];
  readonly jsonKeys?: readonly string[];
  /** The reason, or what to do instead, as the second half of a sentence. */
  readonly reason: string;
}

const memory = 'every answer comes from memory';

export const LEGACY_OPTIONS: readonly LegacyOption[] = [
  legacy('dnssec', 'text', 'unavailable', 'remove it: answers are not signed', ['dnssec']),
  legacy('rcache', 'text', 'unneeded', memory, ['rcache']),
  legacy('rcache-ttl', 'text', 'unneeded', memory, ['rcache_ttl']),
  legacy('scache', 'text', 'unneeded', 'answers are not signed', ['scache']),
  legacy('ns-rotate', 'switch', 'unneeded', 'a failing nameserver is skipped automatically', [
    'ns_rotate',
  ]),
  legacy('rtimeout', 'text', 'unneeded', 'the time limits on forwarding are fixed', [
    'read_timeout',
  ]),
  legacy('etcd3', 'switch', 'unneeded', 'etcd is always used by its v3 API', ['Etcd3']),
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

/** Notes and mistakes about the legacy options that are set. */
export function readLegacy(sources: Sources): { notes: string[]; mistakes: string[] } {
  const notes: string[] = [];
  const mistakes: string[] = [];
  for (const option of LEGACY_OPTIONS) {
    const found = findLegacy(option, sources);
    if (found === undefined) continue;
    if (option.fate === 'unneeded') {
      notes.push(`${found.setBy} has no effect: ${option.reason}`);
    } else if (!found.off) {
      const state = 'this option of SkyDNS is not available';
      mistakes.push(`${found.setBy}: ${state}; ${option.reason}`);
    }
  }
  return { notes, mistakes };
}

/** What set the option, and whether the value switches it off. */
function findLegacy(
  option: LegacyOption,
  { flags, env, file }: Sources,
): { setBy: string; off: boolean } | undefined {
  const flag = flags[option.name];
  if (flag !== undefined) return { setBy: `--${option.name}`, off: isOff(flag) };
  for (const name of variablesOf(option)) {
    if (env[name]) return { setBy: name, off: isOff(env[name]) };
  }
  for (const key of fileKeysOf(option)) {
    const raw = file?.values[key];
    if (raw !== undefined && raw !== null) {
      return { setBy: `${key} in ${file?.path}`, off: isOff(raw) || isEmpty(raw) };
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
