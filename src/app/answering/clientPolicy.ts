/** What the configuration in force says about clients, for all parts of the server that answer them. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config } from '../../config/config.ts';
import { cookieSecretsOf } from '../../config/options/accessOptions.ts';
import { newRateMemory } from '../../dataplane/reply/rateLimiter.ts';
import type {
  ClientPolicy,
  PolicyFollower,
  RateLimit,
} from '../../dataplane/sockets/clientPolicy.ts';
import { MAX_NSID_OCTETS } from '../../dns/edns.ts';
import type { ServerTexts } from '../../server/ownNames.ts';
import type { LiveConfig } from './liveConfig.ts';

const COOKIE_SECRET_OCTETS = 16;

/**
 * Gives each follower the policy in force, now and after each change of the configuration. A server has one: its
 * listeners share the secret of cookies, because a client has one cookie for a server, and the counts of the rate limit.
 */
export class PolicySource {
  readonly #liveConfig: Pick<LiveConfig, 'config' | 'forwarder'>;
  readonly #followers: PolicyFollower[] = [];
  readonly #randomSecret = Uint8Array.from(randomBytes(COOKIE_SECRET_OCTETS));
  #rateMemory: SharedArrayBuffer | undefined;
  #policy: ClientPolicy;

  constructor(liveConfig: Pick<LiveConfig, 'config' | 'forwarder' | 'onChanged'>) {
    this.#liveConfig = liveConfig;
    this.#policy = this.#current();
    liveConfig.onChanged(() => {
      this.#policy = this.#current();
      for (const follower of this.#followers) follower.setPolicy(this.#policy);
    });
  }

  add(...followers: readonly PolicyFollower[]): void {
    this.#followers.push(...followers);
    for (const follower of followers) follower.setPolicy(this.#policy);
  }

  #current(): ClientPolicy {
    const { config, forwarder } = this.#liveConfig;
    return {
      allowed: config.allow,
      recursionRanges: forwarder === undefined ? [] : config.recursionAllow,
      nsid: serverIdentity(config),
      cookieSecrets: secretsOf(config, this.#randomSecret),
      rateLimit: config.rrl === 0 ? undefined : { ...limitOf(config), memory: this.#memory() },
    };
  }

  #memory(): SharedArrayBuffer {
    this.#rateMemory ??= newRateMemory(randomBytes(4).readInt32LE());
    return this.#rateMemory;
  }
}

function secretsOf(
  { cookies, cookieSecrets }: Pick<Config, 'cookies' | 'cookieSecrets'>,
  randomSecret: Uint8Array,
): readonly Uint8Array[] {
  if (!cookies) return [];
  return cookieSecrets === undefined ? [randomSecret] : cookieSecretsOf(cookieSecrets);
}

function limitOf({
  rrl,
  rrlSlip,
  rrlPrefix,
  rrlExempt,
}: Pick<Config, 'rrl' | 'rrlSlip' | 'rrlPrefix' | 'rrlExempt'>): Omit<RateLimit, 'memory'> {
  return { perSecond: rrl, slip: rrlSlip, ...rrlPrefix, exempt: rrlExempt };
}

export function serverTextsOf(config: Pick<Config, 'identity' | 'versionText'>): ServerTexts {
  return { identity: serverIdentity(config), version: config.versionText };
}

/** `host` stands for this host's name. */
export function serverIdentity({ identity }: Pick<Config, 'identity'>): string | undefined {
  return identity === 'host' ? hostname().slice(0, MAX_NSID_OCTETS) : identity;
}
