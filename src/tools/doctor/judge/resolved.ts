/**
 * systemd-resolved sends names under `.local` to a DNS server only if that server is configured for the domain
 * (systemd-resolved.service(8)). Its files contain the configuration; `resolvectl` shows the active one. Pure.
 */
import {
  DNS_PORT,
  printSocketAddress,
  reachableAddress,
  type SocketAddress,
} from '../../../dns/address.ts';
import type { Name } from '../../../dns/name.ts';
import { type Finding, findings, isReachedAt, isUnderLocal, plainName } from './finding.ts';
import { type DesiredServer, integrateLine } from './remedy.ts';

export interface ResolvedFacts {
  /** This host's programs query systemd-resolved. */
  readonly isQueried: boolean;
  /** resolved.conf and its drop-ins, in systemd's order. */
  readonly files: readonly string[];
  /** The output of `resolvectl domain`. */
  readonly liveDomains: string | undefined;
}

/** DNS= and Domains= of all files: each line adds to its list, and an empty one clears it. */
function readResolved(files: readonly string[]) {
  const lists = { DNS: [] as string[], Domains: [] as string[] };
  for (const line of files.flatMap((text) => text.split('\n'))) {
    const [, key, value = ''] = /^[ \t]*(DNS|Domains)[ \t]*=(.*)$/.exec(line) ?? [];
    if (key === undefined) continue;
    const words = value.split(/\s+/).filter(Boolean);
    const list = lists[key as keyof typeof lists];
    if (words.length === 0) list.length = 0;
    else list.push(...words);
  }
  return { servers: lists.DNS, domains: lists.Domains };
}

const { ok, warning } = findings('resolved');

/** A finding for each domain. */
export function judgeResolved(facts: ResolvedFacts, desired: DesiredServer): readonly Finding[] {
  if (!facts.isQueried) return [ok('this host does not query systemd-resolved')];
  const read = readResolved(facts.files);
  return desired.domains.map((domain) => judgeDomain(facts, desired, domain, read));
}

function judgeDomain(
  { liveDomains }: ResolvedFacts,
  desired: DesiredServer,
  domain: Name,
  { servers, domains }: ReturnType<typeof readResolved>,
): Finding {
  const name = plainName(domain);
  const asksUs = servers.some((server) => isOneOf(server, desired.endpoints));
  if (asksUs && domains.some((route) => routes(route, domain))) {
    const isKnown =
      liveDomains === undefined || liveWords(liveDomains).some((w) => routes(w, domain));
    if (isKnown) return ok(`systemd-resolved sends ${name} to the server`);
    const message = `systemd-resolved is configured to send ${name} to the server, but has not read its files yet`;
    return warning(message, 'sudo systemctl restart systemd-resolved');
  }
  const fix = `${integrateLine('systemd-resolved', desired)} --reload`;
  return isUnderLocal(domain)
    ? warning(`systemd-resolved sends ${name} to no DNS server, because it is under .local`, fix)
    : warning(`systemd-resolved does not send ${name} to the server`, fix);
}

/** `~skydns.local` and `skydns.local` cover the domain and all names below it; `~.` covers all but `.local`. */
function routes(word: string, domain: Name): boolean {
  const suffix = word.replace(/^~/, '').replace(/\.$/, '').toLowerCase();
  if (suffix === '') return word.startsWith('~') && !isUnderLocal(domain);
  const name = plainName(domain).toLowerCase();
  return name === suffix || name.endsWith(`.${suffix}`);
}

/** `server` is `IP`, `IP:PORT` or `[IP]:PORT`, with an optional `%interface` or `#name`. */
function isOneOf(server: string, endpoints: readonly SocketAddress[]): boolean {
  const plain = server.replace(/[#%].*$/, '');
  return endpoints.some((endpoint) => {
    const at = reachableAddress(endpoint);
    if (plain === printSocketAddress(at)) return true;
    return endpoint.port === DNS_PORT && (plain === at.address || isReachedAt(endpoint, plain));
  });
}

/** `Global: ~a b` and `Link 2 (eth0): c` as words. */
function liveWords(text: string): readonly string[] {
  return text
    .split('\n')
    .flatMap((line) => line.replace(/^[^:]*:/, '').split(/\s+/))
    .filter(Boolean);
}
