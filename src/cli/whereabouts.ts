/**
 * Where this host's server is when nobody says, for the commands that have to know: whoever takes DNS on port 53 is
 * asked what it is (RFC 4892), as `up` chooses its address by itself and `serve` may have been given any.
 */
import type { Config } from '../config.ts';
import { Class, Rcode, Type } from '../dns/rr.ts';
import { DNS_PORT, type SocketAddress } from '../dns/socketAddress.ts';
import { reachable } from '../doctor/surroundings.ts';
import { isLoopback } from '../forward/addresses.ts';
import { ask } from './dns2.ts';
import type { Network } from './network.ts';

export interface Located {
  /** Its `addr` is where the server is, or where `up` or `serve` would put it; addresses of loopback come first. */
  readonly config: Config;
  /** `found`: it answers there, and nobody had to say so. */
  readonly by: 'said' | 'found' | 'default';
}

/** The configuration with the addresses of the server. */
export async function located(config: Config, network: Network): Promise<Located> {
  if (config.origins.addr !== 'default') return { config, by: 'said' };
  const found = await findServers(network);
  if (found.length > 0) return { config: { ...config, addr: found }, by: 'found' };
  const address = await network.bridgeAddress();
  const addr = address === undefined ? config.addr : [{ address, port: DNS_PORT }];
  return { config: { ...config, addr }, by: 'default' };
}

async function findServers(network: Network): Promise<readonly SocketAddress[]> {
  const listeners = await network.dnsListeners();
  const asked = await Promise.all(
    listeners.map(async (at) => ({ at, isOurs: await isSoradns(at) })),
  );
  const found = asked.filter(({ isOurs }) => isOurs).map(({ at }) => at);
  const rank = ({ address }: SocketAddress) => (isLoopback(address) ? 0 : 1);
  return found.sort((a, b) => rank(a) - rank(b));
}

const TIMEOUT_MS = 2_000;

/** Whether what answers there says that it is a soradns. */
export async function isSoradns(at: SocketAddress): Promise<boolean> {
  const asked = await ask({
    ...reachable(at),
    name: ['version', 'bind'],
    type: Type.TXT,
    class: Class.CH,
    transport: 'udp',
    timeoutMs: TIMEOUT_MS,
  });
  if (asked.kind !== 'reply' || asked.reply.rcode !== Rcode.NOERROR) return false;
  const texts = asked.reply.answer.flatMap(({ rdata }) =>
    rdata.kind === 'txt' ? rdata.strings : [],
  );
  return texts.includes('soradns');
}
