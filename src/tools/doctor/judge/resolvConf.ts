/** resolv.conf(5): whom this host's own programs ask, and how often. Pure. */
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

/** The file's last `search` and `ndots` count, as in glibc. */
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

/** What options as `ndots:2` come to; undefined when none of them is that. */
export function ndotsOf(options: readonly string[]): number | undefined {
  return options.reduce<number | undefined>((found, option) => {
    const digits = /^ndots:([0-9]+)$/.exec(option)?.[1];
    return digits === undefined ? found : Math.min(15, Number(digits));
  }, undefined);
}

/** systemd-resolved's two addresses. */
const STUBS = ['127.0.0.53', '127.0.0.54'];

/** Whether this host's programs ask systemd-resolved. */
export function asksResolved({ nameservers }: Resolving): boolean {
  return nameservers.some((address) => STUBS.includes(address));
}

/** More dots than this in `ndots` make the search list come before most of our names. */
const USUAL_NDOTS = 2;

const { ok, warning } = findings('resolv.conf');

/** `text` undefined: there is no such file. `usesResolved`: programs ask systemd-resolved, here or by nsswitch.conf. */
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
  if (usesResolved) return ok('this host asks systemd-resolved');
  const ours = nameservers.find((address) => endpoints.some((at) => isAt(at, address)));
  if (ours !== undefined) return ok(`this host asks the server at ${ours}`);
  const local = nameservers.find(isLoopback);
  if (local !== undefined) {
    const message = `this host asks another resolver, at ${local}, which must know of our domain`;
    return warning(message, `${integrateLine('dnsmasq', desired)}   # or: networkmanager`);
  }
  const whom = nameservers.length === 0 ? 'nobody' : nameservers.join(', ');
  const message = `this host's own programs ask ${whom}, not the server; containers are not concerned`;
  const usable = endpoints.map(reachableAddress).find(({ port }) => port === DNS_PORT);
  const fix =
    usable === undefined
      ? `${integrateLine('dnsmasq', desired)}   # resolv.conf knows no ports: let another resolver ask`
      : `sudo sed -i '1i nameserver ${usable.address}' /etc/resolv.conf`;
  return warning(message, fix);
}

/** resolv.conf knows no ports. */
function isAt(endpoint: SocketAddress, address: string): boolean {
  const isWildcard = endpoint.address === '0.0.0.0' && isLoopback(address);
  return endpoint.port === DNS_PORT && (isReachedAt(endpoint, address) || isWildcard);
}

function judgeNdots({ ndots, search }: Resolving): readonly Finding[] {
  if (search.length === 0 || ndots <= USUAL_NDOTS) return [];
  const count = `${search.length} search ${search.length === 1 ? 'domain' : 'domains'}`;
  const message = `ndots:${ndots}: a name with fewer dots is tried in ${count} before it is asked for itself`;
  return [warning(message, `sudo sed -i 's/ndots:${ndots}/ndots:1/' /etc/resolv.conf`)];
}
