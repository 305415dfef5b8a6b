/** The host for `doctor`: its files, programs and network, all read-only; and where this host's server is. */
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
  /** A file's text; undefined if it does not exist. */
  read(path: string): Promise<string | undefined>;
  /** The names in a folder; empty if it does not exist. */
  list(path: string): Promise<readonly string[]>;
  /** What a program prints; undefined if it fails, is not installed, or takes too long. */
  run(command: string, ...args: readonly string[]): Promise<string | undefined>;
}

const RUN_TIMEOUT_MS = 3_000;

/** This host, with its files read below `root`. */
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

export interface LocatedServer {
  /** Its `addr` is where the server is, or where `up` or `serve` would put it; loopback addresses come first. */
  readonly config: Config;
  /** `given`: by --addr; `found`: a server answers there. */
  readonly by: 'given' | 'found' | 'default';
}

/**
 * The configuration with the addresses of this host's server. Without --addr each listener on port 53 is asked for its
 * version (RFC 4892), because `up` chooses its address itself and `serve` may use any.
 */
export async function locateServer(
  config: Config,
  network: Pick<HostNetwork, 'bridgeAddress' | 'dnsListeners'>,
): Promise<LocatedServer> {
  if (config.origins.addr !== 'default') return { config, by: 'given' };
  const found = await findServers(network, config.versionText);
  if (found.length > 0) return { config: { ...config, addr: found }, by: 'found' };
  const address = await network.bridgeAddress();
  const addr = address === undefined ? config.addr : [{ address, port: DNS_PORT }];
  return { config: { ...config, addr }, by: 'default' };
}

async function findServers(
  network: Pick<HostNetwork, 'dnsListeners'>,
  versionText: string | undefined,
): Promise<readonly SocketAddress[]> {
  const listeners = await network.dnsListeners();
  const asked = await Promise.all(
    listeners.map(async (at) => ({ at, isOurs: await isSoradns(at, versionText) })),
  );
  const found = asked.filter(({ isOurs }) => isOurs).map(({ at }) => at);
  const rank = ({ address }: SocketAddress) => (isLoopback(address) ? 0 : 1);
  return found.sort((a, b) => rank(a) - rank(b));
}

const TIMEOUT_MS = 2_000;

/** Whether a soradns server answers there; `versionText` is its --version-text. */
export async function isSoradns(
  at: SocketAddress,
  versionText: string | undefined,
): Promise<boolean> {
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
  return versionText !== undefined && texts.includes(versionText);
}
