/** From what a registrar was told, in our options or in registrator's words, to the registrar's own terms. Pure. */
import type { RegistrarSettings, RegistrarWishes } from '../../config/registrarSettings.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import type { SocketAddress } from '../../dns/address.ts';
import { type Name, printName } from '../../dns/name.ts';
import { addressSet } from '../../forward/addresses.ts';
import type { LogLevel } from '../../observability/log.ts';
import type { RegistrarContext } from '../../registrar/describe/context.ts';
import type { RegistrationPolicy } from '../../registrar/describe/policy.ts';
import type { EngineEndpoint } from '../../registrar/engine/endpoint.ts';
import {
  parseRegistratorFlags,
  type RegistratorOptions,
} from '../../registrar/registrator/flags.ts';

/** The context of every container, as far as it does not depend on where the registrar runs. */
export type FixedContext = Omit<RegistrarContext, 'hostAddresses' | 'ownNetworks'>;

/** What is known besides the settings. */
export interface ContextSources {
  /** As `keyPrefix` gives it. */
  readonly prefix: string;
  /** Stand for zones that were not given. Never empty. */
  readonly domains: readonly Name[];
  /** In front of the options' names; none for `register`. */
  readonly optionPrefix?: 'register-';
  /** registrator's `-tags`. */
  readonly tags?: readonly string[];
}

export function registrarContextOf(
  settings: RegistrarSettings,
  sources: ContextSources,
): FixedContext {
  const { zones = sources.domains, envPrefix, labelPrefix } = settings;
  const { defaultZone = zones[0] as Name } = settings;
  return {
    prefix: sources.prefix,
    metadata: { env: envPrefix, label: labelPrefix },
    zones: zones.map(printName).includes(printName(defaultZone)) ? zones : [...zones, defaultZone],
    defaultZone,
    environment: settings.environment,
    region: settings.region,
    domain: settings.serviceDomain,
    exposedByDefault: settings.exposedByDefault,
    policy: policyOf(settings, sources.optionPrefix ?? ''),
    mode: settings.mode,
    ip: settings.ip,
    ipFromLabel: settings.ipLabel,
    networks: settings.networks,
    ttlSeconds: settings.recordTtlSeconds,
    health: settings.health,
    stop: settings.stop,
    stopSeconds: settings.stopTimeoutSeconds,
    ptr: settings.ptr,
    compat: settings.compat,
    // The engine's name takes the place of an empty one.
    registrator: {
      hostName: '',
      rawIds: settings.rawIds,
      tags: sources.tags ?? [],
      checkMethods: settings.checkMethods,
    },
  };
}

function policyOf(
  { allow, projectScope, dnsIpAllow }: RegistrarSettings,
  optionPrefix: RegistrationPolicy['optionPrefix'],
): RegistrationPolicy {
  const networks = dnsIpAllow?.map(({ address, prefixLength }) => `${address}/${prefixLength}`);
  return {
    optionPrefix,
    allow,
    isScopedToProject: projectScope,
    statedAddresses:
      dnsIpAllow === undefined || networks === undefined
        ? undefined
        : { has: addressSet(dnsIpAllow), networks: networks.join(', ') },
  };
}

export type RegistratorLine =
  | {
      readonly kind: 'line';
      readonly settings: RegistrarSettings;
      /** The URI's, as `--store` takes it. */
      readonly store: string | undefined;
      readonly tags: readonly string[];
      readonly notes: readonly string[];
    }
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] };

/**
 * Settings as registrator would have them: what its line says, and its defaults where nothing else was said. Without
 * any words the defaults alone.
 */
export function registratorSettings(
  wishes: RegistrarWishes,
  words: readonly string[],
): RegistratorLine {
  if (words.length === 0) {
    const settings = withDefaults(wishes, REGISTRATOR_DEFAULTS);
    return { kind: 'line', settings, store: undefined, tags: [], notes: [] };
  }
  const command = parseRegistratorFlags(words);
  if (command.kind === 'mistakes') return command;
  if (command.kind !== 'options') {
    const mistakes = [`-${command.kind}: write soradns ${command.kind}`];
    return { kind: 'mistakes', mistakes };
  }
  const { options } = command;
  const { zones = [] } = wishes.settings;
  const settings = {
    ...withDefaults(wishes, settingsOfFlags(options)),
    zones: [...zones, options.domain],
    defaultZone: options.domain,
  };
  const notes = [...command.notes];
  if (options.keepaliveSeconds !== undefined)
    notes.push('-ttl-refresh has no effect: the lease is renewed three times in its TTL');
  return { kind: 'line', settings, store: options.store, tags: options.tags, notes };
}

/** It never asked for health, and took whatever has a port. */
const REGISTRATOR_DEFAULTS: Partial<RegistrarSettings> = {
  exposedByDefault: true,
  health: 'ignore',
};

function settingsOfFlags(options: RegistratorOptions): Partial<RegistrarSettings> {
  const { ip, mode, exposedByDefault, ipFromLabel, health } = options;
  const { leaseTtlSeconds, reconcileSeconds } = options;
  return {
    ...{ ip, mode, exposedByDefault, health, ipLabel: ipFromLabel },
    ...(leaseTtlSeconds === undefined ? {} : { leaseTtlSeconds }),
    ...(reconcileSeconds === undefined ? {} : { reconcileSeconds }),
  };
}

/** The settings with these in place of what nobody set. */
function withDefaults(
  { settings, origins }: RegistrarWishes,
  defaults: Partial<RegistrarSettings>,
): RegistrarSettings {
  const free = Object.entries(defaults).filter(
    ([field]) => origins[field as keyof RegistrarSettings] === 'default',
  );
  return { ...settings, ...(Object.fromEntries(free) as Partial<RegistrarSettings>) };
}

/** All that `register` was told. */
export interface RegisterConfig {
  readonly endpoint: EngineEndpoint;
  readonly store: StoreLocation;
  readonly settings: RegistrarSettings;
  readonly context: FixedContext;
  readonly http: SocketAddress | undefined;
  /** Somebody asked for exactly this address. */
  readonly mustHaveHttp: boolean;
  readonly httpHosts: readonly string[];
  readonly logLevel: LogLevel;
  readonly json: boolean;
  readonly quiet: boolean;
  /** For the log. */
  readonly notes: readonly string[];
}
