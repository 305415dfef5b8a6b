/**
 * Makes the registrar's configuration from option values and, with `--compat registrator`, from registrator's flags.
 * Pure.
 */
import type {
  RegistrarSettings,
  RegistrarSettingsAndOrigins,
} from '../../config/registrarSettings.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import type { SocketAddress } from '../../dns/address.ts';
import { type Name, printName } from '../../dns/name.ts';
import { addressSet, type Cidr } from '../../forward/addresses.ts';
import type { LogLevel } from '../../observability/log.ts';
import type {
  AllowedAddresses,
  ConfiguredContext,
  OptionPrefix,
  RegistrationPolicy,
} from '../../registrar/describe/context.ts';
import type { EngineEndpoint } from '../../registrar/engine/endpoint.ts';
import {
  parseRegistratorFlags,
  type RegistratorOptions,
} from '../../registrar/registrator/flags.ts';

/** The configuration of `soradns register`. */
export interface RegisterConfig {
  readonly endpoint: EngineEndpoint;
  readonly store: StoreLocation;
  readonly settings: RegistrarSettings;
  readonly context: ConfiguredContext;
  readonly http: SocketAddress | undefined;
  /** Whether the operator set this address, so that a failure to listen on it ends the process. */
  readonly mustHaveHttp: boolean;
  readonly httpHosts: readonly string[];
  readonly logLevel: LogLevel;
  readonly json: boolean;
  readonly quiet: boolean;
  /** For the log. */
  readonly notes: readonly string[];
}

/** The values of a context that the registrar's options do not set. */
export interface ContextSources {
  /** The prefix of the store's keys, as `keyPrefix` returns it. */
  readonly prefix: string;
  /** The zones if the options set none. Never empty. */
  readonly domains: readonly Name[];
  /** The prefix of the options' names; empty, the default, for `register`. */
  readonly optionPrefix?: OptionPrefix;
  /** registrator's `-tags`. */
  readonly tags?: readonly string[];
}

/** Makes the context for every container. All values that depend on options are derived here. */
export function registrarContextOf(
  settings: RegistrarSettings,
  { prefix, domains, optionPrefix = '', tags = [] }: ContextSources,
): ConfiguredContext {
  const { zones = domains, rawIds, checkMethods } = settings;
  const { defaultZone = zones[0] as Name } = settings;
  return {
    ...settings,
    prefix,
    optionPrefix,
    zones: zones.map(printName).includes(printName(defaultZone)) ? zones : [...zones, defaultZone],
    defaultZone,
    policy: policyOf(settings),
    // The registrar replaces an empty host name with the engine's name.
    registrator: { hostName: '', rawIds, tags, checkMethods },
  };
}

function policyOf(settings: RegistrarSettings): RegistrationPolicy {
  const { allow, projectScope, dnsIpAllow, linkAllow } = settings;
  return {
    allow,
    projectScope,
    dnsIpAllow: dnsIpAllow && allowedAddresses(dnsIpAllow),
    linkAllow: linkAllow && {
      names: linkAllow.filter((rule) => 'labels' in rule),
      addresses: allowedAddresses(linkAllow.filter((rule) => 'prefixLength' in rule)),
    },
  };
}

function allowedAddresses(ranges: readonly Cidr[]): AllowedAddresses {
  const networks = ranges.map(({ address, prefixLength }) => `${address}/${prefixLength}`);
  return { has: addressSet(ranges), networks: networks.join(', ') };
}

export type RegistratorLine =
  | {
      readonly kind: 'line';
      readonly settings: RegistrarSettings;
      /** The store in the URI, in the form of `--store`. */
      readonly store: string | undefined;
      readonly tags: readonly string[];
      readonly notes: readonly string[];
    }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] };

/**
 * Applies registrator's command line: a setting that no option sets gets the value of registrator's flag or default.
 * Without `words` it gets the default.
 */
export function registratorLine(
  options: RegistrarSettingsAndOrigins,
  words: readonly string[],
): RegistratorLine {
  if (words.length === 0) {
    const settings = withDefaults(options, REGISTRATOR_DEFAULTS);
    return { kind: 'line', settings, store: undefined, tags: [], notes: [] };
  }
  const command = parseRegistratorFlags(words);
  if (command.kind === 'mistakes') return command;
  if (command.kind !== 'options') {
    const mistakes = [`-${command.kind}: write soradns ${command.kind}`];
    return { kind: 'mistakes', mistakes };
  }
  const { domain, store, tags, keepaliveSeconds } = command.options;
  const { zones = [] } = options.settings;
  const settings = {
    ...withDefaults(options, settingsOfFlags(command.options)),
    zones: [...zones, domain],
    defaultZone: domain,
  };
  const notes = [...command.notes];
  if (keepaliveSeconds !== undefined)
    notes.push('-ttl-refresh has no effect: the lease is renewed three times in its TTL');
  return { kind: 'line', settings, store, tags, notes };
}

/** registrator registers every container with a port and ignores HEALTHCHECKs. */
const REGISTRATOR_DEFAULTS: Partial<RegistrarSettings> = {
  exposedByDefault: true,
  health: 'ignore',
};

function settingsOfFlags(options: RegistratorOptions): Partial<RegistrarSettings> {
  const { ip, mode, exposedByDefault, ipLabel, health } = options;
  const { leaseTtlSeconds, reconcileSeconds } = options;
  return {
    ...{ ip, mode, exposedByDefault, ipLabel, health },
    ...(leaseTtlSeconds === undefined ? {} : { leaseTtlSeconds }),
    ...(reconcileSeconds === undefined ? {} : { reconcileSeconds }),
  };
}

/** Replaces the settings that have soradns's default. */
function withDefaults(
  { settings, origins }: RegistrarSettingsAndOrigins,
  defaults: Partial<RegistrarSettings>,
): RegistrarSettings {
  const unset = Object.entries(defaults).filter(
    ([field]) => origins[field as keyof RegistrarSettings] === 'default',
  );
  return { ...settings, ...(Object.fromEntries(unset) as Partial<RegistrarSettings>) };
}
