/** From the configuration to a forwarder that never asks ourselves. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { sameValue } from '../config/sameValue.ts';
import type { Config } from '../config.ts';
import { printName } from '../dns/name.ts';
import { createForwarder } from '../forward/forward.ts';
import type { ForwardCounters } from '../forward/forwardCounters.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import { parseResolvConf } from '../forward/resolvconf.ts';
import { type Upstream, withoutOwnAddresses } from '../forward/upstream.ts';
import type { Log } from '../log.ts';

/** A forwarder, and what it was made from. */
export interface Forwarding {
  readonly upstreams: readonly Upstream[];
  readonly ndots: number;
  /** `undefined` when there is nobody to ask. */
  readonly forwarder: Forwarder | undefined;
}

/** The one before when nothing differs, with all that it remembers. `undefined` when nothing is to be forwarded. */
export function forwardingOf(
  config: Config,
  before: Forwarding | undefined,
  counters: ForwardCounters,
  log: Log,
): Forwarding | undefined {
  if (!config.recursion) return undefined;
  const named = config.nameservers === 'resolv.conf' ? hostUpstreams() : config.nameservers;
  const upstreams = withoutOwnAddresses(named, config.addr, networkInterfaces());
  const { ndots } = config;
  if (before?.ndots === ndots && sameValue(before.upstreams, upstreams)) return before;
  if (upstreams.length > 0) {
    return { upstreams, ndots, forwarder: createForwarder({ upstreams, ndots, counters }) };
  }
  const apexes = config.domains.map(printName).join(' ');
  log.warn({}, `no nameservers to ask: only names in ${apexes} are answered`);
  return { upstreams, ndots, forwarder: undefined };
}

/** A host without a resolv.conf has nobody to ask, which is no mistake. */
function hostUpstreams(): readonly Upstream[] {
  try {
    return parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return [];
  }
}
