/**
 * The host's own resolvers, from the text of resolv.conf(5): our default upstreams. Unlike glibc, which uses the first
 * three, we take every `nameserver` line.
 */
import { isIP } from 'node:net';
import { DNS_PORT } from '../dns/socketAddress.ts';
import type { Upstream } from './upstream.ts';

/** Upstreams in the file's order, each once; lines that name no IP address are skipped. */
export function parseResolvConf(text: string): Upstream[] {
  const addresses = new Set<string>();
  for (const line of text.split(/\r?\n/)) {
    const address = /^nameserver[ \t]+([^ \t#;]+)/.exec(line)?.[1];
    if (address !== undefined && isIP(address) !== 0) addresses.add(address);
  }
  return [...addresses].map((address) => ({ address, port: DNS_PORT }));
}
