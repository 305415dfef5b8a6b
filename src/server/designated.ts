/**
 * The encrypted transports of this server as records at `_dns.resolver.arpa` (RFC 9462): a client that has the server's
 * address asks for them, and then uses DNS over TLS or HTTPS. It compares the certificate with that address. Pure.
 */
import { addressFamily, addressOctets, type SocketAddress } from '../dns/address.ts';
import { authoritative, type DnsClient, type Question, type Response } from '../dns/message.ts';
import { equalNames, type Name, wireName } from '../dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
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
    const octets = svcbOctets(i + 1, target, transport);
    const fields = { owner: qname, type: SVCB, class: Class.IN, ttlSeconds: TTL_SECONDS };
    return { ...fields, rdata: { kind: 'unknown', octets } };
  });
  return authoritative(Rcode.NOERROR, rrs);
}

function byPort(
  endpoints: readonly SocketAddress[],
): readonly (readonly [number, readonly SocketAddress[]])[] {
  const ports = new Set(endpoints.map(({ port }) => port));
  return [...ports].map((port) => [port, endpoints.filter((each) => each.port === port)]);
}

/** The addresses to connect to; a wildcard address stands for the one that the client has asked. */
function hintsOf(at: readonly SocketAddress[], localAddress: string | undefined): string[] {
  const addresses = at.flatMap(({ address }) =>
    address === '0.0.0.0' || address === '::' ? (localAddress ?? []) : address,
  );
  return [...new Set(addresses)];
}

interface AdvertisedTransport {
  readonly alpn: readonly string[];
  readonly port: number;
  readonly hints: readonly string[];
  readonly path: string | undefined;
}

/** RFC 9460 §14.3.2, and RFC 9461 for the path. */
const Parameter = { ALPN: 1, PORT: 3, IPV4HINT: 4, IPV6HINT: 6, DOHPATH: 7 } as const;

/** RFC 9460 §2.2: the parameters are in the order of their numbers, and no name is compressed. */
function svcbOctets(
  priority: number,
  target: Name,
  { alpn, port, hints, path }: AdvertisedTransport,
): Uint8Array {
  const ids = alpn.map((id) => Buffer.concat([Buffer.of(id.length), Buffer.from(id)]));
  const addresses = (family: 4 | 6): Buffer[] =>
    hints
      .filter((hint) => addressFamily(hint) === family)
      .map((hint) => Buffer.from(addressOctets(hint)));
  const parameters: readonly (readonly [number, readonly Buffer[]])[] = [
    [Parameter.ALPN, ids],
    [Parameter.PORT, [u16(port)]],
    [Parameter.IPV4HINT, addresses(4)],
    [Parameter.IPV6HINT, addresses(6)],
    [Parameter.DOHPATH, path === undefined ? [] : [Buffer.from(path)]],
  ];
  const encoded = parameters
    .filter(([, values]) => values.length > 0)
    .flatMap(([key, values]) => {
      const value = Buffer.concat(values);
      return [u16(key), u16(value.length), value];
    });
  return Buffer.concat([u16(priority), wireName(target), ...encoded]);
}

function u16(value: number): Buffer {
  return Buffer.of(value >>> 8, value & 0xff);
}
