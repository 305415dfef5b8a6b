/**
 * config/: Options: one row each, from which help, completion, docs and the typed configuration are made.
 * Imports: dns, forward, observability, service.
 * Used by: app, app/process, app/registrar, cli, cli/commands, registrar, registrar/describe,
 *   registrar/registrator, tools/doctor.
 *
 * Flags, environment, config file and `/skydns/config` into one frozen `Config`. The only place that knows what the
 * sources look like; everybody else gets typed values with their units. Pure: arguments in, a value out.
 */
import { excerpt } from '../observability/printable.ts';
import { nearestWord } from '../observability/suggest.ts';
import { isEmpty, LEGACY_OPTIONS, readLegacy } from './legacyOptions.ts';
import { fileKeysOf, type Option, type OptionValues } from './option.ts';
import { SERVE_REGISTRAR_OPTIONS } from './registerOptions.ts';
import { type RegistrarSettingsAndOrigins, readRegistrarSettings } from './registrarSettings.ts';
import { SERVE_OPTIONS } from './serveOptions.ts';
import {
  type ConfigFile,
  MAX_SHOWN,
  type Origins,
  parseValue,
  type Rows,
  readSettings,
  type Sources,
} from './settings.ts';
import { chooseStore, type StoreLocation, storeOf } from './storeLocation.ts';
import { STORE_OPTIONS } from './storeOptions.ts';
import { strangeVariables, unknownKeys } from './unknownNames.ts';
import { isSameValue } from './valueForms.ts';

/** All that `serve` may be told, the store's options included. */
export const CONFIG_OPTIONS = { ...SERVE_OPTIONS, ...STORE_OPTIONS };

export interface Config
  extends Omit<OptionValues<typeof CONFIG_OPTIONS>, 'storeText' | 'register'> {
  readonly store: StoreLocation;
  /** Of the registrar in the server; undefined where there is none. */
  readonly registrar: RegistrarSettingsAndOrigins | undefined;
  /** Where each field's value came from, for `withStoreConfig` and for those who wonder. */
  readonly origins: Origins<typeof CONFIG_OPTIONS>;
}

/** What a command that reads or writes a store needs. */
export interface ClientConfig extends Omit<OptionValues<typeof STORE_OPTIONS>, 'storeText'> {
  readonly store: StoreLocation;
}

export type ConfigResult<C> =
  /** `notes` are for the log: options that have no effect, credentials in the clear. */
  | { readonly kind: 'config'; readonly config: C; readonly notes: readonly string[] }
  /** One line each, naming the option and the fix. Never empty. */
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] };

export interface ConfigInput extends Omit<Sources, 'file'> {
  /** Where the embedded store lies when nothing says otherwise. */
  readonly stateDirectory: string;
}

/** The server's configuration; `flags.config` names the config file. */
export function readConfig(input: ConfigInput): ConfigResult<Config> {
  const file = readConfigFile(input);
  if (file.kind === 'mistake') return { kind: 'mistakes', mistakes: [file.problem] };
  const sources: Sources = { ...input, file: file.file };
  const { settings, origins, mistakes } = readSettings(CONFIG_OPTIONS, sources);
  const registrar = readRegistrarSettings(SERVE_REGISTRAR_OPTIONS, sources, settings.domains);
  const legacy = readLegacy(sources);
  const chosen = chooseStore(settings, origins, `file:${input.stateDirectory}`);
  const all = [
    ...(sources.file === undefined ? [] : unknownKeys(sources.file, KNOWN_FILE_KEYS)),
    ...mistakes,
    ...registrar.mistakes,
    ...(settings.register ? [] : idleRegistrarFlags(registrar)),
    ...legacy.mistakes,
    ...(chosen.kind === 'mistake' ? [chosen.mistake] : []),
    ...(chosen.kind === 'mistake' ? [] : storeOfOne(settings, chosen.store)),
  ];
  if (chosen.kind === 'mistake' || all.length > 0) return { kind: 'mistakes', mistakes: all };
  // The text of --store may hold a password; the location keeps it as a `Secret`.
  const { storeText: _, register, ...values } = settings;
  const config = Object.freeze({
    ...values,
    store: chosen.store,
    registrar: register ? registrar : undefined,
    origins,
  });
  return {
    kind: 'config',
    config,
    notes: [...legacy.notes, ...strangeVariables(input.env, KNOWN_ROWS)],
  };
}

/** The configuration of a client command: `--store`, by default the local server's keys API. */
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

export const DEFAULT_CLIENT_STORE = 'http://127.0.0.1:4001';

export interface StoreConfigResult {
  readonly config: Config;
  readonly warnings: readonly string[];
  /** False: some of the warnings are about values that are none. */
  readonly isSound: boolean;
}

/**
 * The configuration with what SkyDNS's key `/<prefix>/config` says laid over defaults: a flag, a variable and the
 * config file count for more. Nothing in it is fatal; each part that is not applied gives a warning.
 */
export function withStoreConfig(config: Config, json: string): StoreConfigResult {
  const parsed = parseJsonObject(json);
  if (parsed === undefined) {
    return { config, warnings: ['the config key holds no JSON object'], isSound: false };
  }
  const warnings: string[] = [];
  const unknown: [key: string, raw: unknown][] = [];
  let isSound = true;
  const overlay: Record<string, unknown> = {};
  for (const [key, raw] of Object.entries(parsed)) {
    if (raw === null || key === 'Version') continue;
    const field = FIELD_OF_STORE_KEY.get(key);
    if (field === undefined) {
      unknown.push([key, raw]);
    } else if (!isEmpty(raw)) {
      // SkyDNS writes what is unset too. What the operator said counts for more, but hides no mistake.
      const counts = config.origins[field] === 'default';
      const { fixedAtStart } = CONFIG_OPTIONS[field];
      const value = parseValue(CONFIG_OPTIONS[field], raw);
      if (counts && fixedAtStart)
        warnings.push(`config key: ${key} has no effect, it comes too late; ${fixOf(field)}`);
      else if (value.kind === 'mistake') warnings.push(`config key: ${key}: ${value.problem}`);
      else if (counts) overlay[field] = value.value;
      if (counts && !fixedAtStart && value.kind === 'mistake') isSound = false;
    }
  }
  const overlaid = Object.freeze({ ...config, ...(overlay as Partial<Config>) });
  return { config: overlaid, warnings: [...warnings, ...unknownKeysOf(unknown)], isSound };
}

/** A few of them by name: what is one slip in a person's file may be thousands in one that is none. */
function unknownKeysOf(unknown: readonly (readonly [key: string, raw: unknown])[]): string[] {
  const named = unknown.slice(0, MAX_UNKNOWN);
  const more = unknown.length - named.length;
  return [
    ...named.map(([key, raw]) => `config key: ${unknownStoreKey(key, raw)}`),
    ...(more > 0 ? [`config key: ${more} more keys are unknown`] : []),
  ];
}

const MAX_UNKNOWN = 10;

/** The configuration after what was read anew, where its options are `live`; the others stay as they are. */
export function withLiveOptions(
  config: Config,
  read: Config,
): {
  readonly config: Config;
  /** The options that changed and wait for the next start, as flags. */
  readonly waiting: readonly string[];
} {
  const live: Record<string, unknown> = { origins: read.origins };
  const waiting: string[] = [];
  for (const field of Object.keys(read) as (keyof Config)[]) {
    if (field === 'origins' || isSameValue(config[field], read[field])) continue;
    if (isLive(field)) live[field] = read[field];
    else waiting.push(`--${nameOfField(field)}`);
  }
  const merged = { ...config, ...(live as Partial<Config>) };
  return { config: Object.freeze(merged), waiting };
}

function isLive(field: keyof Config): boolean {
  const row: Option<unknown> | undefined = (CONFIG_OPTIONS as Rows)[field];
  return row?.live === true;
}

function nameOfField(field: keyof Config): string {
  if (field === 'registrar') return 'register';
  return (CONFIG_OPTIONS as Rows)[field]?.name ?? field;
}

type ConfigField = keyof typeof CONFIG_OPTIONS;

const FIELD_OF_STORE_KEY: ReadonlyMap<string, ConfigField> = new Map(
  Object.entries(CONFIG_OPTIONS as Rows).flatMap(([field, row]) =>
    (row.jsonKeys ?? []).map((key): [string, ConfigField] => [key, field as ConfigField]),
  ),
);

const KNOWN_ROWS = [
  ...Object.values(CONFIG_OPTIONS as Rows),
  ...Object.values(SERVE_REGISTRAR_OPTIONS as Rows),
  ...LEGACY_OPTIONS,
];

const KNOWN_FILE_KEYS: ReadonlySet<string> = new Set(KNOWN_ROWS.flatMap(fileKeysOf));

function fixOf(field: ConfigField): string {
  const { name, env = [] } = CONFIG_OPTIONS[field];
  return `give ${[`--${name}`, ...env].join(' or ')}`;
}

function unknownStoreKey(key: string, raw: unknown): string {
  const legacy = LEGACY_OPTIONS.find((option) => option.jsonKeys?.includes(key));
  if (legacy !== undefined) {
    const off = raw === false || isEmpty(raw);
    const effect = legacy.fate === 'unneeded' || off ? 'has no effect' : 'is not available';
    return `${key} ${effect}: ${legacy.reason}`;
  }
  const meant = nearestWord(key, FIELD_OF_STORE_KEY.keys());
  return `${excerpt(key, MAX_SHOWN)} is unknown${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

/** The file that `flags.config` or SORADNS_CONFIG names, if one does. */
export function readConfigFile({
  flags,
  env,
  readFile,
}: Omit<Sources, 'file'>):
  | { readonly kind: 'read'; readonly file: ConfigFile | undefined }
  | { readonly kind: 'mistake'; readonly problem: string } {
  const path = flags.config ?? (env.SORADNS_CONFIG || undefined);
  if (path === undefined) return { kind: 'read', file: undefined };
  const place = flags.config === undefined ? 'SORADNS_CONFIG' : '--config';
  if (typeof path !== 'string') return { kind: 'mistake', problem: `${place}: give one file` };
  const content = readFile(path);
  if ('problem' in content) {
    const problem = `${place}: cannot read ${path} (${content.problem}); give a file that can be read`;
    return { kind: 'mistake', problem };
  }
  const values = parseJsonObject(content.text);
  return values === undefined
    ? {
        kind: 'mistake',
        problem: `${place}: ${path} holds no JSON object; write for example {"ttl": 60}`,
      }
    : { kind: 'read', file: { path, values } };
}

function parseJsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** What was said of a registrar that there is not to be. */
function idleRegistrarFlags({ origins }: RegistrarSettingsAndOrigins): readonly string[] {
  return Object.entries(SERVE_REGISTRAR_OPTIONS)
    .filter(([field]) => origins[field as keyof typeof origins] === 'flag')
    .map(([, { name }]) => `--${name}: is for a registrar in the server; add --register`);
}

/** Two servers are to have the store at once. */
function storeOfOne(
  { takeover }: OptionValues<typeof SERVE_OPTIONS>,
  { kind }: StoreLocation,
): readonly string[] {
  if (!takeover || kind === 'etcd' || kind === 'http') return [];
  return [
    '--takeover: the store is of one server only; give --store etcd://…, or end the old one first',
  ];
}
