/**
 * Upstreams, the servers that questions are forwarded to: from options, from resolv.conf, and without this server
 * itself, which would forward a question to itself for ever.
 */
import { isIP } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import {
  DNS_PORT,
  parseSocketAddress,
  printSocketAddress,
  type SocketAddress,
} from '../dns/address.ts';
import { addressSet, type Cidr, withoutZone } from './addresses.ts';

/** Its port is never 0. */
export interface Upstream extends SocketAddress {
  /**
   * The domain name or IP address that the upstream's certificate must have: questions go over DNS over TLS (RFC 7858)
   * and no other transport. Absent: plain DNS.
   */
  readonly tlsName?: string;
}

/** RFC 7858 §3.1. */
const TLS_PORT = 853;
const TLS_SCHEME = 'tls://';

/**
 * The upstream that `1.1.1.1`, `1.1.1.1:5353`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:53` stands for, or
 * `tls://` and one of these, with `#NAME` at the end if the certificate has a name instead of the address; `undefined`
 * for any other text. A host name in place of the address is not accepted, since resolving it would need an upstream.
 */
export function parseNameserver(text: string): Upstream | undefined {
  const server = text.trim();
  if (server.startsWith(TLS_SCHEME)) return parseTlsServer(server.slice(TLS_SCHEME.length));
  const upstream = parseSocketAddress(server, DNS_PORT);
  return upstream?.port === 0 ? undefined : upstream;
}

function parseTlsServer(text: string): Upstream | undefined {
  const [, where = '', name] = /^([^#]*)(?:#(.*))?$/.exec(text) ?? [];
  const server = parseSocketAddress(where, TLS_PORT);
  if (server === undefined || server.port === 0) return undefined;
  if (name === undefined) return { ...server, tlsName: withoutZone(server.address) };
  return isCertificateName(name) ? { ...server, tlsName: name.toLowerCase() } : undefined;
}

/** An IP address, or a domain name as certificates have them (RFC 5280 §4.2.1.6). */
function isCertificateName(text: string): boolean {
  const labels = text.split('.');
  const isName = labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label));
  return (
    isIP(text) !== 0 || (isName && text.length <= 253 && !/^[0-9]*$/.test(labels.at(-1) ?? ''))
  );
}

/** The form that `parseNameserver` reads. */
export function printUpstream({ tlsName, ...server }: Upstream): string {
  const where = printSocketAddress(server);
  if (tlsName === undefined) return where;
  const name = tlsName === withoutZone(server.address) ? '' : `#${tlsName}`;
  return `${TLS_SCHEME}${where}${name}`;
}

/** The result of `os.networkInterfaces()`. */
export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/**
 * Removes the upstreams that would reach one of our own listening addresses. A wildcard address (`0.0.0.0`, `::`)
 * listens on every address of the host.
 */
export function withoutOwnAddresses(
  upstreams: readonly Upstream[],
  listening: readonly SocketAddress[],
  interfaces: Interfaces,
): Upstream[] {
  return upstreams.filter(
    (upstream) => !listening.some((own) => own.port === upstream.port && reaches(upstream, own)),
  );

  function reaches(upstream: Upstream, own: SocketAddress): boolean {
    const ranges = isWildcard(own.address) ? hostRanges(interfaces) : [hostRange(own.address)];
    return addressSet(ranges)(destination(upstream.address));
  }
}

/** The address that packets to `address` go to: a connection to the wildcard address reaches loopback. */
function destination(address: string): string {
  if (!isWildcard(address)) return address;
  return isIP(address) === 4 ? '127.0.0.1' : '::1';
}

const unspecified = addressSet([
  { address: '0.0.0.0', prefixLength: 32 },
  { address: '::', prefixLength: 128 },
]);

function isWildcard(address: string): boolean {
  return unspecified(address);
}

function hostRange(address: string): Cidr {
  return { address, prefixLength: isIP(address) === 4 ? 32 : 128 };
}

/** All addresses of this host. On Linux they include the whole of 127.0.0.0/8, which the interfaces do not list. */
function hostRanges(interfaces: Interfaces): Cidr[] {
  const ranges: Cidr[] = [{ address: '127.0.0.0', prefixLength: 8 }, hostRange('::1')];
  for (const infos of Object.values(interfaces))
    for (const info of infos ?? []) ranges.push(hostRange(info.address));
  return ranges;
}

/**
 * The default upstreams: the host's resolvers from the text of resolv.conf(5), in the file's order, each once. Lines
 * without an IP address are skipped. Unlike glibc, which uses the first three `nameserver` lines, it takes them all.
 */
export function parseResolvConf(text: string): Upstream[] {
  const addresses = new Set<string>();
  for (const line of text.split(/\r?\n/)) {
    const address = /^nameserver[ \t]+([^ \t#;]+)/.exec(line)?.[1];
    if (address !== undefined && isIP(address) !== 0) addresses.add(address);
  }
  return [...addresses].map((address) => ({ address, port: DNS_PORT }));
}
