/**
 * What the operator and the host decide about every container: the second argument of `describeContainer`. A value of
 * an option has the name of its row in config/registrarOptions.ts.
 */
import type { RegistrarSettings } from '../../config/registrarSettings.ts';
import type { Name } from '../../dns/name.ts';
import type { NamePattern } from '../../service/namePattern.ts';

export type Mode = RegistrarSettings['mode'];
export type StopPolicy = RegistrarSettings['stop'];

/** Option values that apply to containers without a change. */
type DescribingSettings = Pick<
  RegistrarSettings,
  | 'environment'
  | 'region'
  | 'serviceDomain'
  | 'exposedByDefault'
  | 'mode'
  | 'ip'
  | 'ipLabel'
  | 'networks'
  | 'recordTtlSeconds'
  | 'anyRr'
  | 'wildcards'
  | 'health'
  | 'stop'
  | 'stopTimeoutSeconds'
  | 'ptr'
  | 'envPrefix'
  | 'labelPrefix'
  | 'node'
  | 'nodeMeta'
  | 'compat'
>;

/** The part of the context that is known before the registrar has seen its host. */
export interface ConfiguredContext extends DescribingSettings {
  /** The prefix of the store's keys, as `keyPrefix` returns it: `/skydns/`. */
  readonly prefix: string;
  /** The prefix of option names in messages: `register-` in a server. */
  readonly optionPrefix: OptionPrefix;
  /** Folded. Every record except a PTR record lies inside one of the zones. */
  readonly zones: readonly Name[];
  /** One of the zones. */
  readonly defaultZone: Name;
  /** Without it, containers may have any name inside the zones and any address. */
  readonly policy?: RegistrationPolicy | undefined;
  /** Only read if `compat` contains registrator. */
  readonly registrator?: CompatContext | undefined;
}

/** What the registrar reads from its host while it runs. */
export interface HostFacts {
  readonly hostAddresses: HostAddresses;
  /** Names or ids of the networks of the registrar's own container. */
  readonly ownNetworks: readonly string[];
}

/** The addresses under which other hosts reach this one; `undefined` if unknown. */
export interface HostAddresses {
  readonly v4?: string | undefined;
  readonly v6?: string | undefined;
}

export interface RegistrarContext extends ConfiguredContext, HostFacts {}

export interface CompatContext {
  /** The first part of each service id. It is the engine's name, which outlives the registrar's own container. */
  readonly hostName: string;
  /** Whether ids have registrator's form `host:name:80`, which is not a host name, instead of `host-name-80`. */
  readonly rawIds: boolean;
  /** Appended to the tags of every service. */
  readonly tags: readonly string[];
  /** HTTP methods that containers may choose for their checks besides the safe ones. */
  readonly checkMethods?: RegistrarSettings['checkMethods'];
}

export type OptionPrefix = '' | 'register-';

export interface RegistrationPolicy {
  /** `undefined` allows any name. */
  readonly allow: readonly NamePattern[] | undefined;
  /** Whether a name must lie in its project's part of the zones. */
  readonly projectScope: boolean;
  /** Addresses that DNS_IP may state; `undefined` allows any. */
  readonly dnsIpAllow: AllowedAddresses | undefined;
  /** Where links may lead; `undefined` allows any place. */
  readonly linkAllow: AllowedLinks | undefined;
}

export interface AllowedLinks {
  readonly names: readonly NamePattern[];
  readonly addresses: AllowedAddresses;
}

export interface AllowedAddresses {
  has(address: string): boolean;
  /** The networks, for messages; empty without any. */
  readonly networks: string;
}
