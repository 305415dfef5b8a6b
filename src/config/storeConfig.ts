/** Applies SkyDNS's key `/<prefix>/config` in the store to a configuration. Pure. */
import { excerpt } from '../observability/printable.ts';
import { nearestWord } from '../observability/suggest.ts';
import { CONFIG_OPTIONS, type Config, readJsonObject } from './config.ts';
import { isEmpty, LEGACY_OPTIONS } from './legacyOptions.ts';
import { MAX_SHOWN, parseValue, type Rows } from './settings.ts';

export interface StoreConfigResult {
  readonly config: Config;
  readonly warnings: readonly string[];
  /** False if a value in the key is invalid. */
  readonly isSound: boolean;
}

/**
 * The configuration with SkyDNS's key `/<prefix>/config` in place of defaults: flags, variables and the config file
 * take precedence. No mistake in it is fatal; each part that is not applied causes a warning.
 */
export function withStoreConfig(config: Config, json: string): StoreConfigResult {
  const parsed = readJsonObject(json);
  if (parsed === undefined) {
    return { config, warnings: ['config key: the value is not a JSON object'], isSound: false };
  }
  const warnings: string[] = [];
  const unknown: string[] = [];
  let isSound = true;
  const applied: Record<string, unknown> = {};
  for (const [key, raw] of Object.entries(parsed)) {
    if (raw === null || key === 'Version') continue;
    const field = FIELD_OF_STORE_KEY.get(key);
    if (field === undefined) {
      unknown.push(key);
    } else if (!isEmpty(raw)) {
      // SkyDNS also writes unset values. A value that another source overrides is still checked.
      const isApplied = config.origins[field] === 'default';
      const { fixedAtStart } = CONFIG_OPTIONS[field];
      const value = parseValue(CONFIG_OPTIONS[field], raw);
      if (isApplied && fixedAtStart)
        warnings.push(`config key: ${key} has no effect in the store; ${fixOf(field)}`);
      else if (value.kind === 'mistake') warnings.push(`config key: ${key}: ${value.problem}`);
      else if (isApplied) applied[field] = value.value;
      if (isApplied && !fixedAtStart && value.kind === 'mistake') isSound = false;
    }
  }
  const merged = Object.freeze({ ...config, ...(applied as Partial<Config>) });
  return { config: merged, warnings: [...warnings, ...unknownKeysOf(unknown)], isSound };
}

/** Names the first few: a value that is not a configuration may have thousands of keys. */
function unknownKeysOf(unknown: readonly string[]): string[] {
  const named = unknown.slice(0, MAX_UNKNOWN);
  const more = unknown.length - named.length;
  return [
    ...named.map((key) => `config key: ${unknownStoreKey(key)}`),
    ...(more > 0 ? [`config key: ${more} more keys are unknown`] : []),
  ];
}

const MAX_UNKNOWN = 10;

type ConfigField = keyof typeof CONFIG_OPTIONS;

const FIELD_OF_STORE_KEY: ReadonlyMap<string, ConfigField> = new Map(
  Object.entries(CONFIG_OPTIONS as Rows).flatMap(([field, row]) =>
    (row.jsonKeys ?? []).map((key): [string, ConfigField] => [key, field as ConfigField]),
  ),
);

function fixOf(field: ConfigField): string {
  const { name, env = [] } = CONFIG_OPTIONS[field];
  return `give ${[`--${name}`, ...env].join(' or ')}`;
}

function unknownStoreKey(key: string): string {
  const legacy = LEGACY_OPTIONS.find((option) => option.jsonKeys?.includes(key));
  if (legacy !== undefined) return `${key} has no effect: ${legacy.reason}`;
  const meant = nearestWord(key, FIELD_OF_STORE_KEY.keys());
  return `${excerpt(key, MAX_SHOWN)} is unknown${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}
