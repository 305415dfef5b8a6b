/** resolv.conf(5): which servers this host's own programs query, and how often. Pure. */
import { DNS_PORT, reachableAddress, type SocketAddress } from '../../../dns/address.ts';
import { isLoopback } from '../../../forward/addresses.ts';
import { parseResolvConf } from '../../../forward/upstream.ts';
import { type Finding, findings, isReachedAt } from './finding.ts';
import { type DesiredServer, integrateLine } from './remedy.ts';

export interface Resolving {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  /** glibc's default is 1. */
  readonly ndots: number;
}

/** The last `search` and `ndots` of the file, as in glibc. */
export function readResolvConf(text: string): Resolving {
  let search: readonly string[] = [];
  let ndots = 1;
  for (const line of text.split(/\r?\n/)) {
    const [, keyword, rest = ''] = /^(search|domain|options)[ \t]+(.*)$/.exec(line) ?? [];
    const words = rest.split(/[ \t]+/).filter(Boolean);
    if (keyword === 'options') ndots = ndotsOf(words) ?? ndots;
    else if (keyword !== undefined) search = words;
  }
  return { nameservers: parseResolvConf(text).map(({ address }) => address), search, ndots };
}

/** The number in `ndots:N`; undefined without this option. */
export function ndotsOf(options: readonly string[]): number | undefined {
  return options.reduce<number | undefined>((found, option) => {
    const digits = /^ndots:([0-9]+)$/.exec(option)?.[1];
    return digits === undefined ? found : Math.min(15, Number(digits));
  }, undefined);
}

/** systemd-resolved's two addresses. */
const STUBS = ['127.0.0.53', '127.0.0.54'];

/** Whether this host's programs query systemd-resolved. */
export function queriesResolved({ nameservers }: Resolving): boolean {
  return nameservers.some((address) => STUBS.includes(address));
}

/** With a higher `ndots` the resolver tries the search list before most names. */
const USUAL_NDOTS = 2;

const { ok, warning } = findings('resolv.conf');

/** `text` is undefined without the file. `usesResolved`: by this file or by nsswitch.conf. */
export function judgeResolvConf(
  text: string | undefined,
  usesResolved: boolean,
  desired: DesiredServer,
): readonly Finding[] {
  const read = readResolvConf(text ?? '');
  return [judgeNameservers(read, usesResolved, desired), ...judgeNdots(read)];
}

function judgeNameservers(
  { nameservers }: Resolving,
  usesResolved: boolean,
  desired: DesiredServer,
): Finding {
  const { endpoints } = desired;
  if (usesResolved) return ok('this host queries systemd-resolved');
  const ours = nameservers.find((address) => endpoints.some((at) => isAt(at, address)));
  if (ours !== undefined) return ok(`this host queries the server at ${ours}`);
  const local = nameservers.find(isLoopback);
  if (local !== undefined) {
    const message = `this host queries another resolver, at ${local}, which must forward the domain to the server`;
    return warning(message, `${integrateLine('dnsmasq', desired)}   # or: networkmanager`);
  }
  const servers = nameservers.length === 0 ? 'no nameserver' : nameservers.join(', ');
  const message = `this host's own programs query ${servers}, not the server; this does not affect containers`;
  const usable = endpoints.map(reachableAddress).find(({ port }) => port === DNS_PORT);
  const fix =
    usable === undefined
      ? `${integrateLine('dnsmasq', desired)}   # resolv.conf cannot name a port, so another resolver must forward`
      : `sudo sed -i '1i nameserver ${usable.address}' /etc/resolv.conf`;
  return warning(message, fix);
}

/** resolv.conf cannot name a port. */
function isAt(endpoint: SocketAddress, address: string): boolean {
  const isWildcard = endpoint.address === '0.0.0.0' && isLoopback(address);
  return endpoint.port === DNS_PORT && (isReachedAt(endpoint, address) || isWildcard);
}

function judgeNdots({ ndots, search }: Resolving): readonly Finding[] {
  if (search.length === 0 || ndots <= USUAL_NDOTS) return [];
  const count = `${search.length} search ${search.length === 1 ? 'domain' : 'domains'}`;
  const message = `ndots:${ndots}: the resolver tries a name with fewer dots in ${count} first`;
  return [warning(message, `sudo sed -i 's/ndots:${ndots}/ndots:1/' /etc/resolv.conf`)];
}
