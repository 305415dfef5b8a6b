/** What the operator and the host decide about every container: `describe`'s other argument. */
import type { Name } from '../../dns/name.ts';
import type { RegistrationPolicy } from './policy.ts';

export type Mode = 'published' | 'internal';
export type HealthPolicy = 'auto' | 'ignore' | 'require';
export type StopPolicy = 'drain' | 'die';

export interface HostAddresses {
  readonly v4?: string | undefined;
  readonly v6?: string | undefined;
}

export interface RegistrarContext {
  /** Of the store's keys, as `keyPrefix` gives it: `/skydns/`. */
  readonly prefix: string;
  /** In front of metadata keys: `DNS_` in the environment, `dns.` in labels. */
  readonly metadata: { readonly env: string; readonly label: string };
  /** Folded; nothing outside of them is ever written, but for PTR. `defaultZone` is one of them. */
  readonly zones: readonly Name[];
  readonly defaultZone: Name;
  /** Defaults for the parts of a name; `domain` stands for `defaultZone` if it is not set. */
  readonly environment?: string | undefined;
  readonly region?: string | undefined;
  readonly domain?: string | undefined;
  readonly exposedByDefault: boolean;
  /** Which names and addresses containers may have. Absent: any names in the zones, and any addresses. */
  readonly policy?: RegistrationPolicy | undefined;
  readonly mode: Mode;
  /** `--ip`: stands for all of the host's addresses. */
  readonly ip?: string | undefined;
  /** This host's as others reach it, as far as they are known. */
  readonly hostAddresses: HostAddresses;
  /** A label that holds the container's address (registrator's `-useIpFromLabel`). */
  readonly ipFromLabel?: string | undefined;
  /** `--network`: names or ids, the first that a container is on counts. */
  readonly networks: readonly string[];
  /** Names or ids of the networks that the registrar's own container is on. */
  readonly ownNetworks: readonly string[];
  readonly ttlSeconds: number;
  readonly health: HealthPolicy;
  readonly stop: StopPolicy;
  /** How long a container that runs on after its stop signal is kept out, unless it is seen to have survived before. */
  readonly stopSeconds: number;
  /** Also PTR records for internal addresses. */
  readonly ptr: boolean;
  readonly compat: 'dns' | 'registrator';
  /** Only read with `compat: 'registrator'`. */
  readonly registrator?: RegistratorContext | undefined;
}

export interface RegistratorContext {
  /** First part of the ids; the engine's name, as that outlives the registrar's own container. */
  readonly hostName: string;
  /** `host:name:80` as registrator wrote it, though no host name, instead of `host-name-80`. */
  readonly rawIds: boolean;
  /** Appended to every service's tags. */
  readonly tags: readonly string[];
  /** HTTP methods that containers may choose for their checks, besides the safe ones. */
  readonly checkMethods?: readonly string[];
}
