/** This host on its network, as far as Linux tells: its addresses, Docker's bridge, who takes DNS. Never rejects. */
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { Config } from '../config.ts';
import { DNS_PORT, type SocketAddress } from '../dns/socketAddress.ts';
import { knownBridgeAddress, readOwnAddresses } from '../docker/bridgeAddress.ts';
import type { EngineEndpoint } from '../docker/endpoint.ts';
import { readSockets } from '../server/socketTable.ts';
import { engineEndpoint } from './engineEndpoint.ts';
import type { Io } from './io.ts';

export interface Network {
  /** This host's IP addresses, also those of interfaces without carrier. */
  addresses(): Promise<ReadonlySet<string>>;
  /** This host's IPv4 address on Docker's default bridge; undefined where there is no sign of one. */
  bridgeAddress(): Promise<string | undefined>;
  /** Where somebody listens on UDP port 53, wildcard addresses as they are. */
  dnsListeners(): Promise<readonly SocketAddress[]>;
}

/** This host's own, with the engine that the server would talk to. */
export function networkOf(config: Config, io: Io): Network {
  let bridge: Promise<string | undefined> | undefined;
  return {
    async addresses() {
      const shown = Object.values(networkInterfaces()).flatMap((found = []) => found);
      return new Set([
        ...shown.map(({ address }) => address),
        ...(await readOwnAddresses(readIfThere)),
      ]);
    },
    bridgeAddress() {
      bridge ??= askBridgeAddress(engineOf(config, io));
      return bridge;
    },
    async dnsListeners() {
      const held = (await readSockets('udp')).filter(({ port }) => port === DNS_PORT);
      const addresses = new Set(held.map(({ address }) => address));
      return [...addresses].map((address) => ({ address, port: DNS_PORT }));
    },
  };
}

/** Settings that cannot work are `register`'s to complain of. */
function engineOf({ registrar }: Config, io: Io): EngineEndpoint | undefined {
  try {
    return engineEndpoint(registrar?.settings.dockerHost, '--register-docker-host', io);
  } catch {
    return undefined;
  }
}

async function askBridgeAddress(endpoint: EngineEndpoint | undefined): Promise<string | undefined> {
  const { connectEngine } = await import('../docker/dockerode.ts');
  const engine = endpoint && connectEngine(endpoint);
  try {
    return (await knownBridgeAddress(engine, readIfThere))?.address;
  } finally {
    engine?.close();
  }
}

/** A file's text; undefined where there is none. */
export function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}
