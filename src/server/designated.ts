/**
 * The encrypted transports of this server as records at `_dns.resolver.arpa` (RFC 9462): a client that has the server's
 * address asks for them, and then uses DNS over TLS or HTTPS. It compares the certificate with that address. Pure.
 */
import { addressFamily, type SocketAddress } from '../dns/address.ts';
import { authoritative, type DnsClient, type Question, type Response } from '../dns/message.ts';
import { equalNames, type Name, printName } from '../dns/name.ts';
import { parseTypedRdata } from '../dns/presentation/presentation.ts';
import { quote } from '../dns/presentation/words.ts';
import { Class, Rcode, type Rdata, type Rr, Type } from '../dns/rr.ts';
import { emptyZoneSoa } from '../forward/privateNames.ts';

/** The transports, and the name that the certificate has. */
export interface Designated {
  readonly target: Name;
  readonly dot: readonly SocketAddress[];
  readonly doh: readonly SocketAddress[];
  readonly dohPath: string;
}

const OWNER: Name = ['_dns', 'resolver', 'arpa'];

export function isDesignatedName(qname: Name): boolean {
  return equalNames(qname, OWNER);
}

/** RFC 9460 §14.1. */
const SVCB = 64;
/** Short, so that clients notice soon that a transport is gone. */
const TTL_SECONDS = 300;

/** The answer about `_dns.resolver.arpa`; undefined for any other question. */
export function designatedAnswer(
  { qname, qtype, qclass }: Question,
  designated: Designated,
  { localAddress }: Pick<DnsClient, 'localAddress'>,
): Response | undefined {
  if (qclass !== Class.IN || !isDesignatedName(qname)) return undefined;
  if (qtype !== SVCB && qtype !== Type.ANY)
    return authoritative(Rcode.NOERROR, [], [emptyZoneSoa(OWNER.slice(1))]);
  const { target, dot, doh, dohPath } = designated;
  const hints = (at: readonly SocketAddress[]) => hintsOf(at, localAddress);
  const transports = [
    ...byPort(dot).map(([port, at]) => ({
      alpn: ['dot'],
      port,
      hints: hints(at),
      path: undefined,
    })),
    ...byPort(doh).map(([port, at]) => ({
      ...{ alpn: ['h2', 'http/1.1'], port, hints: hints(at) },
      path: `${dohPath}{?dns}`, // RFC 9461 §5
    })),
  ];
  const rrs = transports.map((transport, i): Rr => {
    const rdata = svcbData(i + 1, target, transport);
    return { owner: qname, type: SVCB, class: Class.IN, ttlSeconds: TTL_SECONDS, rdata };
  });
  return authoritative(Rcode.NOERROR, rrs);
}

function byPort(
  endpoints: readonly SocketAddress[],
): readonly (readonly [number, readonly SocketAddress[]])[] {
  const ports = new Set(endpoints.map(({ port }) => port));
  return [...ports].map((port) => [port, endpoints.filter((each) => each.port === port)]);
}

/**
 * The addresses to connect to. A wildcard address stands for the one that the client has asked, if that is of its family:
 * a listener on `::` takes no IPv4.
 */
function hintsOf(at: readonly SocketAddress[], localAddress = ''): string[] {
  const addresses = at.flatMap(({ address }) => {
    if (address !== '0.0.0.0' && address !== '::') return address;
    return addressFamily(localAddress) === addressFamily(address) ? localAddress : [];
  });
  return [...new Set(addresses)];
}

interface AdvertisedTransport {
  readonly alpn: readonly string[];
  readonly port: number;
  readonly hints: readonly string[];
  readonly path: string | undefined;
}

/** RFC 9460 §2.1; the path is that of RFC 9461 §5. */
function svcbData(
  priority: number,
  target: Name,
  { alpn, port, hints, path }: AdvertisedTransport,
): Rdata {
  const hintsOfFamily = (family: 4 | 6): string => {
    const addresses = hints.filter((hint) => addressFamily(hint) === family);
    return addresses.length === 0 ? '' : `ipv${family}hint=${addresses.join(',')}`;
  };
  const parameters = [
    `alpn=${alpn.join(',')}`,
    `port=${port}`,
    ...[hintsOfFamily(4), hintsOfFamily(6)],
    path === undefined ? '' : `dohpath=${quote(path)}`,
  ];
  const parsed = parseTypedRdata(`SVCB ${priority} ${printName(target)} ${parameters.join(' ')}`);
  if (parsed.kind === 'invalid') throw new Error(`a transport has no record: ${parsed.reason}`);
  return parsed.rdata;
}
