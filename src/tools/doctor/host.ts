/** The host as `doctor` looks at it: its files, its programs, its network. Reads only; what is not there is undefined. */
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type HostNetwork, readIfThere } from '../../app/process/network.ts';
import type { Config } from '../../config/config.ts';
import { DNS_PORT, reachableAddress, type SocketAddress } from '../../dns/address.ts';
import { Class, Rcode, Type } from '../../dns/rr.ts';
import { isLoopback } from '../../forward/addresses.ts';
import { queryDns } from './dnsClient.ts';

export interface Host extends HostNetwork {
  /** A file's text. */
  read(path: string): Promise<string | undefined>;
  /** The names in a folder; none where there is no such folder. */
  list(path: string): Promise<readonly string[]>;
  /** What a program prints; undefined where it fails, is not there, or takes too long. */
  run(command: string, ...args: readonly string[]): Promise<string | undefined>;
}

const RUN_TIMEOUT_MS = 3_000;

/** This host on its network, its files taken from below `root`. */
export function hostAt(root: string, network: HostNetwork): Host {
  return {
    ...network,
    read: (path) => readIfThere(join(root, path)),
    list: (path) => readdir(join(root, path)).catch(() => []),
    run: (command, ...args) =>
      new Promise((resolve) => {
        execFile(command, args, { timeout: RUN_TIMEOUT_MS }, (error, stdout) =>
          resolve(error === null ? stdout : undefined),
        );
      }),
  };
}

/**
 * Where this host's server is when nobody says, for the commands that have to know: whoever takes DNS on port 53 is
 * asked what it is (RFC 4892), as `up` chooses its address by itself and `serve` may have been given any.
 */

export interface LocatedServer {
  /** Its `addr` is where the server is, or where `up` or `serve` would put it; addresses of loopback come first. */
  readonly config: Config;
  /** `found`: it answers there, and nobody had to say so. */
  readonly by: 'said' | 'found' | 'default';
}

/** The configuration with the addresses of the server. */
export async function locateServer(config: Config, network: HostNetwork): Promise<LocatedServer> {
  if (config.origins.addr !== 'default') return { config, by: 'said' };
  const found = await findServers(network);
  if (found.length > 0) return { config: { ...config, addr: found }, by: 'found' };
  const address = await network.bridgeAddress();
  const addr = address === undefined ? config.addr : [{ address, port: DNS_PORT }];
  return { config: { ...config, addr }, by: 'default' };
}

async function findServers(network: HostNetwork): Promise<readonly SocketAddress[]> {
  const listeners = await network.dnsListeners();
  const asked = await Promise.all(
    listeners.map(async (at) => ({ at, isOurs: await isSoradns(at) })),
  );
  const found = asked.filter(({ isOurs }) => isOurs).map(({ at }) => at);
  const rank = ({ address }: SocketAddress) => (isLoopback(address) ? 0 : 1);
  return found.sort((a, b) => rank(a) - rank(b));
}

const TIMEOUT_MS = 2_000;

/** Whether what answers there says that it is a soradns. */
export async function isSoradns(at: SocketAddress): Promise<boolean> {
  const asked = await queryDns({
    ...reachableAddress(at),
    name: ['version', 'bind'],
    type: Type.TXT,
    class: Class.CH,
    transport: 'udp',
    timeoutMs: TIMEOUT_MS,
  });
  if (asked.kind !== 'reply' || asked.reply.rcode !== Rcode.NOERROR) return false;
  const texts = asked.reply.answer.flatMap(({ rdata }) =>
    rdata.kind === 'txt' ? rdata.strings : [],
  );
  return texts.includes('soradns');
}
