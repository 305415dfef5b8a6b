/**
 * Where a socket is, between text and value: the one form in which options, commands, listeners and upstreams give an
 * address with a port.
 */
import { addressFamily } from './address.ts';

export interface SocketAddress {
  /** An IP address without brackets, never a host name; a link-local IPv6 address may have its `%zone`. */
  readonly address: string;
  /** 0..65535; what 0 means is the reader's business. */
  readonly port: number;
}

/** RFC 1035 §4.2. */
export const DNS_PORT = 53;

/**
 * From `192.0.2.1:53` or `[2001:db8::1]:53`; with a default port also from an address alone, in brackets or not.
 * `undefined` for anything else: host names are not looked up here.
 */
export function parseSocketAddress(text: string, defaultPort?: number): SocketAddress | undefined {
  const [, v6, v4, digits] = /^(?:\[([^\]]+)\]|([0-9.]+))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port === undefined || port > 65535) return undefined;
  if (v4 !== undefined) return addressFamily(v4) === 4 ? { address: v4, port } : undefined;
  const address = v6 ?? text;
  return isIpv6(address) ? { address, port } : undefined;
}

function isIpv6(text: string): boolean {
  const [, address = ''] = /^([^%]*)(?:%[0-9A-Za-z.:_-]+)?$/.exec(text) ?? [];
  return addressFamily(address) === 6;
}

/** `host:port` as a URL or a message writes it, an IPv6 address in brackets. */
export function printSocketAddress({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
