/** The rules of `--forward`: `DOMAIN=SERVER[,SERVER…]`, `DOMAIN=local`, and reverse zones as address ranges. */
import { addressOctets } from '../../dns/address.ts';
import { foldName, type Label, type Name, nameKey, parseName } from '../../dns/name.ts';
import { type Cidr, parseCidr } from '../addresses.ts';
import { parseNameserver, type Upstream } from '../upstream.ts';
import type { ForwardedDomain } from './domainForwarder.ts';

/**
 * The domains of rules. They may have been split at commas: a text without `=` is one more server of the rule before it.
 * Rules about one domain add up. The root stands for the general upstreams. `undefined` if a text is not a rule.
 */
export function parseForwardRules(
  texts: readonly string[],
): readonly ForwardedDomain[] | undefined {
  const rules: { readonly names: readonly Name[]; readonly servers: string[] }[] = [];
  for (const text of texts.flatMap((each) => each.split(',')).map((each) => each.trim())) {
    const at = text.indexOf('=');
    const names = at < 0 ? undefined : domainsOf(text.slice(0, at).trim());
    if (names !== undefined) rules.push({ names, servers: [text.slice(at + 1).trim()] });
    else if (at >= 0 || rules.length === 0) return undefined;
    else rules.at(-1)?.servers.push(text);
  }
  const domains = new Map<string, ForwardedDomain>();
  for (const { names, servers: words } of rules) {
    const servers = serversOf(words);
    if (servers === undefined) return undefined;
    for (const name of names) if (!add(domains, name, servers)) return undefined;
  }
  return [...domains.values()];
}

/** False if the domain is kept local and also has servers. */
function add(
  domains: Map<string, ForwardedDomain>,
  name: Name,
  servers: ForwardedDomain['servers'],
): boolean {
  const key = nameKey(name);
  const before = domains.get(key)?.servers ?? [];
  if (before === 'local' || (servers === 'local' && before.length > 0)) return before === servers;
  const all = servers === 'local' ? servers : [...before, ...servers];
  domains.set(key, { name, isStubZone: false, servers: all });
  return true;
}

function serversOf(words: readonly string[]): ForwardedDomain['servers'] | undefined {
  if (words.length === 1 && words[0] === 'local') return 'local';
  const servers: Upstream[] = [];
  for (const word of words) {
    const server = parseNameserver(word);
    if (server === undefined) return undefined;
    servers.push(server);
  }
  return servers;
}

/** A domain's name, or the reverse zones of a range of addresses. */
function domainsOf(text: string): readonly Name[] | undefined {
  const range = text.includes('/') ? parseCidr(text) : undefined;
  if (range !== undefined) return reverseZones(range);
  const name = text === '' || text.includes('/') ? undefined : parseName(text);
  return name && [foldName(name)];
}

/**
 * The reverse zones that have exactly the addresses of a range. A range that ends inside a label has several, at most
 * 128 for IPv4 and 8 for IPv6.
 */
export function reverseZones({ address, prefixLength }: Cidr): readonly Name[] {
  const octets = addressOctets(address);
  const isIpv4 = octets.length === 4;
  const bits = isIpv4 ? 8 : 4;
  const units = isIpv4 ? [...octets] : [...octets].flatMap((octet) => [octet >> 4, octet & 0xf]);
  const whole = Math.floor(prefixLength / bits);
  const rest = prefixLength % bits;
  const suffix: Name = [isIpv4 ? 'in-addr' : 'ip6', 'arpa'];
  const labelOf = (unit: number): Label => unit.toString(isIpv4 ? 10 : 16);
  const base = [...units.slice(0, whole).reverse().map(labelOf), ...suffix];
  if (rest === 0) return [base];
  const count = 1 << (bits - rest);
  const first = ((units[whole] ?? 0) >> (bits - rest)) << (bits - rest);
  return Array.from({ length: count }, (_, i) => [labelOf(first + i), ...base]);
}
