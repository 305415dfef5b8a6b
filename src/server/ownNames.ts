/**
 * The names that the server answers whatever its zones are: the texts about it in class CH (RFC 4892), and
 * `resolver.arpa`. There a resolver tells its clients by which other transports they can reach it (RFC 9462).
 */
import { authoritative, Ede, type Question, type Response, refused } from '../dns/message.ts';
import { equalNames, foldName, isSubdomainOf, type Name, printName } from '../dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
import { emptyZoneSoa } from '../forward/privateNames.ts';

/** What the server says about itself. */
export interface ServerTexts {
  /** Which server answers; `undefined`: `localhost`, as in SkyDNS. */
  readonly identity: string | undefined;
  /** `undefined`: clients do not learn it. */
  readonly version: string | undefined;
}

export const DEFAULT_VERSION_TEXT = 'soradns';

const IDENTITY_NAMES = ['id.server.', 'hostname.bind.'];
const VERSION_NAMES = ['version.bind.', 'version.server.'];

/**
 * The answer in class CH. Everything else there is REFUSED, because resolvers repeat a question elsewhere after
 * SERVFAIL.
 */
export function chaosAnswer({ qname, qtype }: Question, texts: ServerTexts): Response {
  const name = printName(foldName(qname));
  if (qtype === Type.TXT && IDENTITY_NAMES.includes(name))
    return chaosText(qname, texts.identity ?? 'localhost');
  const isVersion = qtype === Type.TXT && VERSION_NAMES.includes(name);
  if (!isVersion) return refused('class CH has only this server’s identity', Ede.NOT_AUTHORITATIVE);
  if (texts.version === undefined) return refused('the version is not public');
  return chaosText(qname, texts.version);
}

function chaosText(owner: Name, text: string): Response {
  const rdata = { kind: 'txt', strings: [text] } as const;
  return authoritative(Rcode.NOERROR, [
    { owner, type: Type.TXT, class: Class.CH, ttlSeconds: 0, rdata },
  ]);
}

const RESOLVER_ARPA: Name = ['resolver', 'arpa'];

/**
 * The answer about a name in `resolver.arpa`, which is served locally (RFC 9462 §6.1 and §6.4, RFC 6303 §3); `undefined` for other
 * names. An upstream's answer would lead clients past this server, to the upstream.
 */
export function resolverArpaAnswer({ qname, qtype }: Question): Response | undefined {
  if (!isSubdomainOf(qname, RESOLVER_ARPA)) return undefined;
  const soa = emptyZoneSoa(RESOLVER_ARPA);
  const rrs = resolverArpaRrs(qname, soa);
  if (rrs === undefined) return authoritative(Rcode.NXDOMAIN, [], [soa]);
  const answer = rrs.filter(({ type }) => type === qtype || qtype === Type.ANY);
  return authoritative(Rcode.NOERROR, answer, answer.length === 0 ? [soa] : []);
}

/** The records at a name in the zone; `undefined` if it does not exist. */
function resolverArpaRrs(qname: Name, soa: Rr): readonly Rr[] | undefined {
  return equalNames(qname, RESOLVER_ARPA) ? [{ ...soa, owner: qname }] : undefined;
}
