/** From the configuration to a forwarder that never asks ourselves. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Config } from '../config.ts';
import { printName } from '../dns/name.ts';
import { createForwarder } from '../forward/forward.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import { parseResolvConf } from '../forward/resolvconf.ts';
import { type Upstream, withoutOwnAddresses } from '../forward/upstream.ts';
import type { Log } from '../log.ts';

/** `undefined` when nothing is to be forwarded, or, which is logged, when there is nobody to ask. */
export function createForwarderOf(config: Config, log: Log): Forwarder | undefined {
  if (!config.recursion) return undefined;
  const named = config.nameservers === 'resolv.conf' ? hostUpstreams() : config.nameservers;
  const upstreams = withoutOwnAddresses(named, config.addr, networkInterfaces());
  if (upstreams.length === 0) {
    const apexes = config.domains.map(printName).join(' ');
    log.warn({}, `no nameservers to ask: only names in ${apexes} are answered`);
    return undefined;
  }
  return createForwarder({ upstreams, ndots: config.ndots });
}

/** A host without a resolv.conf has nobody to ask, which is no mistake. */
function hostUpstreams(): readonly Upstream[] {
  try {
    return parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return [];
  }
}
