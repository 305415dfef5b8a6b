/**
 * config/: Reads the options from flags, environment and files into the typed configuration.
 * Imports: config/options, dns, observability, service, transfer.
 * Used by: app, app/ambassador, app/answering, app/process, app/registrar, cli, cli/commands, cli/host, cli/linking,
 *   cli/signing, registrar, registrar/describe, tools/doctor, tools/doctor/ambassador.
 *
 * `readConfig` turns flags, environment, config file and `/skydns/config` into one frozen `Config` of typed values with
 * their units. Pure.
 */
import { equalNames, printName } from '../dns/name.ts';
import { LEGACY_OPTIONS, legacyNotes } from './legacyOptions.ts';
import { type AmbassadorSettings, SERVE_AMBASSADOR_OPTIONS } from './options/ambassadorOptions.ts';
import { fileKeysOf, type Option, type OptionValues } from './options/option.ts';
import { SERVE_REGISTRAR_OPTIONS } from './options/registrarOptions.ts';
import { secureMistakes } from './options/secureOptions.ts';
import { SERVE_OPTIONS } from './options/serveOptions.ts';
import { STORE_OPTIONS } from './options/storeOptions.ts';
import { isSameValue } from './options/valueForms.ts';
import {
  idlePatternNotes,
  type RegistrarSettingsAndOrigins,
  readRegistrarSettings,
} from './registrarSettings.ts';
import {
  type ConfigFile,
  type Origins,
  type ReadSettings,
  type Rows,
  readSettings,
  type Sources,
} from './settings.ts';
import { chooseStore, type StoreLocation } from './storeLocation.ts';
import { transferMistakes } from './transferMistakes.ts';
import { misspeltVariables, unknownKeys, unprefixedVariables } from './unknownNames.ts';

/** All options of `serve`, including the store's. */
export const CONFIG_OPTIONS = { ...SERVE_OPTIONS, ...STORE_OPTIONS };

export interface Config
  extends Omit<OptionValues<typeof CONFIG_OPTIONS>, 'storeText' | 'register'> {
  readonly store: StoreLocation;
  /** The settings of the registrar in the server; undefined without --register. */
  readonly registrar: RegistrarSettingsAndOrigins | undefined;
  /** The settings of the ambassador in the server; undefined without --ambassador. */
  readonly ambassador: AmbassadorSettings | undefined;
  /** The origin of each field's value: `withStoreConfig` replaces only defaults. */
  readonly origins: Origins<typeof CONFIG_OPTIONS>;
}

export type ConfigResult<C> =
  /** `notes` are for the log, for example about options without effect. */
  | { readonly kind: 'config'; readonly config: C; readonly notes: readonly string[] }
  /** One line each, with the option and the fix. Never empty. */
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] };

export interface ConfigInput extends Omit<Sources, 'file'> {
  /** The default directory of the embedded store. */
  readonly stateDirectory: string;
}

/** The server's configuration; `flags.config` names the config file. */
export function readConfig(input: ConfigInput): ConfigResult<Config> {
  const file = readConfigFile(input);
  if (file.kind === 'mistake') return { kind: 'mistakes', mistakes: [file.problem] };
  const sources: Sources = { ...input, file: file.file };
  const { settings, origins, mistakes } = readSettings(CONFIG_OPTIONS, sources);
  const registrar = readRegistrarSettings(SERVE_REGISTRAR_OPTIONS, sources, settings.domains);
  const ambassador = readSettings(SERVE_AMBASSADOR_OPTIONS, sources);
  const chosen = chooseStore(settings, origins, `file:${input.stateDirectory}`);
  const all = [
    ...(sources.file === undefined ? [] : unknownKeys(sources.file, KNOWN_FILE_KEYS)),
    ...mistakes,
    ...registrar.mistakes,
    ...(settings.register ? [] : idleRegistrarFlags(registrar)),
    ...ambassador.mistakes,
    ...ambassadorMistakes(ambassador),
    ...consulMistakes(settings, origins),
    ...secureMistakes(settings),
    ...forwardMistakes(settings, origins),
    ...transferMistakes(settings),
    ...(chosen.kind === 'mistake' ? [chosen.mistake] : []),
    ...(chosen.kind === 'mistake' ? [] : takeoverMistakes(settings, chosen.store)),
  ];
  if (chosen.kind === 'mistake' || all.length > 0) return { kind: 'mistakes', mistakes: all };
  // The text of --store may contain a password; the location keeps it as a `Secret`.
  const { storeText: _, register, ...values } = settings;
  // `/skydns/config` may set the domains later, if nothing that precedes it does.
  const areZonesStated = registrar.settings.zones !== undefined || origins.domains !== 'default';
  const config = Object.freeze({
    ...values,
    store: chosen.store,
    registrar: register ? registrar : undefined,
    ambassador: isAmbassador(ambassador.settings) ? ambassador.settings : undefined,
    origins,
  });
  return {
    kind: 'config',
    config,
    notes: [
      ...legacyNotes(sources),
      ...hostsNotes(settings.hosts, input.readFile),
      ...idleNotes(settings, origins),
      ...misspeltVariables(input.env, KNOWN_ROWS),
      ...(register ? unprefixedVariables(input.env, KNOWN_ROWS) : []),
      ...(register && areZonesStated
        ? idlePatternNotes(registrar.settings, settings.domains, 'register-allow')
        : []),
    ],
  };
}

/** Options that were set although the option that they refine is off. */
function idleNotes(
  { cookies, rrl }: OptionValues<typeof CONFIG_OPTIONS>,
  origins: Origins<typeof CONFIG_OPTIONS>,
): readonly string[] {
  const idle = [
    ...(cookies ? [] : (['cookieSecrets'] as const)),
    ...(rrl > 0 ? [] : (['rrlSlip', 'rrlPrefix', 'rrlExempt'] as const)),
  ];
  return idle
    .filter((field) => origins[field] !== 'default')
    .map((field) =>
      field === 'cookieSecrets'
        ? '--cookie-secret-file has no effect without --cookies'
        : `--${CONFIG_OPTIONS[field].name} has no effect without --rrl`,
    );
}

function consulMistakes(
  { domains, consulDomain, consulDatacenters }: OptionValues<typeof CONFIG_OPTIONS>,
  origins: Origins<typeof CONFIG_OPTIONS>,
): readonly string[] {
  if (consulDomain === undefined) {
    return (['consulBase', 'consulDatacenters'] as const)
      .filter((field) => origins[field] !== 'default')
      .map((field) => `--${CONFIG_OPTIONS[field].name}: needs --consul-domain as well`);
  }
  const shown = printName(consulDomain);
  const isTaken = domains.some((domain) => equalNames(domain, consulDomain));
  const labels = consulDatacenters.map(({ label }) => label);
  const repeated = labels.find((label, i) => labels.indexOf(label) < i);
  return [
    ...(isTaken ? [`--consul-domain: ${shown} is a --domain; give a domain of its own`] : []),
    ...(repeated === undefined ? [] : [`--consul-dc: ${repeated} is given twice`]),
  ];
}

/** A hosts file may come later, so one that is missing is no mistake. */
function hostsNotes(paths: readonly string[], readFile: Sources['readFile']): readonly string[] {
  return paths.flatMap((path) => {
    const content = readFile(path);
    return 'problem' in content
      ? [`--${CONFIG_OPTIONS.hosts.name}: cannot read ${path} (${content.problem})`]
      : [];
  });
}

/** `.` in --forward is another way to write --nameservers, and the names of our zones are answered here. */
function forwardMistakes(
  { forward, domains, consulDomain }: OptionValues<typeof CONFIG_OPTIONS>,
  origins: Origins<typeof CONFIG_OPTIONS>,
): readonly string[] {
  const flag = `--${CONFIG_OPTIONS.forward.name}`;
  const own = consulDomain === undefined ? domains : [...domains, consulDomain];
  const isRoot = forward.some(({ name }) => name.length === 0);
  return [
    ...(isRoot && origins.nameservers !== 'default'
      ? [`${flag}: . and --${CONFIG_OPTIONS.nameservers.name} mean the same; give one of them`]
      : []),
    ...forward
      .filter(({ name }) => own.some((domain) => equalNames(domain, name)))
      .map(({ name }) => `${flag}: ${printName(name)} is answered here; give a domain below it`),
  ];
}

/** The configuration with the `live` options of one that was read again; the other options keep their values. */
export function withLiveOptions(
  config: Config,
  read: Config,
): {
  readonly config: Config;
  /** The changed options that take effect after a restart, as flags. */
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
  if (field === 'ambassador') return field;
  return (CONFIG_OPTIONS as Rows)[field]?.name ?? field;
}

const KNOWN_ROWS = [
  ...Object.values(CONFIG_OPTIONS as Rows),
  ...Object.values(SERVE_REGISTRAR_OPTIONS as Rows),
  ...Object.values(SERVE_AMBASSADOR_OPTIONS as Rows),
  ...LEGACY_OPTIONS,
];

const KNOWN_FILE_KEYS: ReadonlySet<string> = new Set(KNOWN_ROWS.flatMap(fileKeysOf));

/** The file that `flags.config` or else SORADNS_CONFIG names. */
export function readConfigFile({
  flags,
  env,
  readFile,
}: Omit<Sources, 'file'>):
  | { readonly kind: 'read'; readonly file: ConfigFile | undefined }
  | { readonly kind: 'mistake'; readonly problem: string } {
  const path = flags.config ?? (env.SORADNS_CONFIG || undefined);
  if (path === undefined) return { kind: 'read', file: undefined };
  const setBy = flags.config === undefined ? 'SORADNS_CONFIG' : '--config';
  if (typeof path !== 'string') return { kind: 'mistake', problem: `${setBy}: give one file` };
  const content = readFile(path);
  if ('problem' in content) {
    const problem = `${setBy}: cannot read ${path} (${content.problem}); name a readable file`;
    return { kind: 'mistake', problem };
  }
  const values = readJsonObject(content.text);
  return values === undefined
    ? {
        kind: 'mistake',
        problem: `${setBy}: ${path} is not a JSON object; write for example {"ttl": 60}`,
      }
    : { kind: 'read', file: { path, values } };
}

export function readJsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** Mistakes for the registrar's flags without --register. */
function idleRegistrarFlags({ origins }: RegistrarSettingsAndOrigins): readonly string[] {
  return Object.entries(SERVE_REGISTRAR_OPTIONS)
    .filter(([field]) => origins[field as keyof typeof origins] === 'flag')
    .map(([, { name }]) => `--${name}: needs --register`);
}

function isAmbassador({ ambassador, vip }: AmbassadorSettings): boolean {
  return ambassador || vip;
}

/** Flags without --ambassador, and options that exclude each other. */
function ambassadorMistakes({
  settings,
  origins,
}: ReadSettings<typeof SERVE_AMBASSADOR_OPTIONS>): readonly string[] {
  const rows = SERVE_AMBASSADOR_OPTIONS;
  const idle = Object.entries(rows as Rows)
    .filter(([field]) => field !== 'ambassador' && field !== 'vip')
    .filter(([field]) => origins[field as keyof typeof origins] === 'flag')
    .map(
      ([field, { name }]) => `--${name}: needs --${field.startsWith('vip') ? 'vip' : 'ambassador'}`,
    );
  const isVipRow = (text: string) => text.startsWith('--vip');
  return [
    ...(isAmbassador(settings) ? [] : idle.filter((text) => !isVipRow(text))),
    ...(settings.vip ? [] : idle.filter(isVipRow)),
    ...(settings.vip && settings.plane === 'proxy'
      ? [
          `--${rows.plane.name}: the proxy cannot take connections to virtual addresses; use nft or auto with --vip`,
        ]
      : []),
  ];
}

/** --takeover needs a store that two servers can use at once. */
function takeoverMistakes(
  { takeover }: OptionValues<typeof SERVE_OPTIONS>,
  { kind }: StoreLocation,
): readonly string[] {
  if (!takeover || kind === 'etcd' || kind === 'http') return [];
  return [
    '--takeover: only one server at a time can open this store; use --store etcd://…, or stop the running server first',
  ];
}
