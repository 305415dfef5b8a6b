/** What the configuration in force says about clients, for all parts of the server that answer them. */
import { hostname } from 'node:os';
import type { Config } from '../../config/config.ts';
import type { ClientPolicy, PolicyFollower } from '../../dataplane/sockets/clientPolicy.ts';
import { MAX_NSID_OCTETS } from '../../dns/edns.ts';
import type { ServerTexts } from '../../server/ownNames.ts';
import type { LiveConfig } from './liveConfig.ts';

/** Gives each follower the policy in force, now and after each change of the configuration. */
export function followPolicy(
  liveConfig: Pick<LiveConfig, 'config' | 'forwarder' | 'onChanged'>,
  ...followers: readonly PolicyFollower[]
): void {
  const follow = (): void => {
    const policy = policyOf(liveConfig);
    for (const follower of followers) follower.setPolicy(policy);
  };
  liveConfig.onChanged(follow);
  follow();
}

function policyOf({ config, forwarder }: Pick<LiveConfig, 'config' | 'forwarder'>): ClientPolicy {
  return {
    allowed: config.allow,
    recursionRanges: forwarder === undefined ? [] : config.recursionAllow,
    nsid: identityOf(config),
  };
}

export function serverTextsOf(config: Pick<Config, 'identity' | 'versionText'>): ServerTexts {
  return { identity: identityOf(config), version: config.versionText };
}

/** `host` stands for this host's name. */
function identityOf({ identity }: Pick<Config, 'identity'>): string | undefined {
  return identity === 'host' ? hostname().slice(0, MAX_NSID_OCTETS) : identity;
}
