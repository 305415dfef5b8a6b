/**
 * Upstreams, the servers that questions are forwarded to: from options, from resolv.conf, and without this server
 * itself, which would forward a question to itself for ever.
 */
import { isIP } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import { DNS_PORT, parseSocketAddress, type SocketAddress } from '../dns/address.ts';
import { addressSet, type Cidr } from './addresses.ts';

/** Its port is never 0. */
export type Upstream = SocketAddress;

/**
 * The upstream that `1.1.1.1`, `1.1.1.1:5353`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:53` stands for;
 * `undefined` for any other text. A host name is not accepted, since resolving it would need an upstream.
 */
export function parseNameserver(text: string): Upstream | undefined {
  const upstream = parseSocketAddress(text.trim(), DNS_PORT);
  return upstream?.port === 0 ? undefined : upstream;
}

/** The result of `os.networkInterfaces()`. */
export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/**
 * Removes the upstreams that would reach one of our own listening addresses. A wildcard address (`0.0.0.0`, `::`)
 * listens on every address of the host.
 */
export function withoutOwnAddresses(
  upstreams: readonly Upstream[],
  listening: readonly Upstream[],
  interfaces: Interfaces,
): Upstream[] {
  return upstreams.filter(
    (upstream) => !listening.some((own) => own.port === upstream.port && reaches(upstream, own)),
  );

  function reaches(upstream: Upstream, own: Upstream): boolean {
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
