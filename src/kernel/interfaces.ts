/** The interfaces of this host. Node needs a descriptor to list them, and throws if the process has none left. */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

let listed: ReturnType<typeof networkInterfaces> = {};

/** By name. Returns this thread's last list if the system gives none now; empty if it has never given one. */
export function hostInterfaces(): ReturnType<typeof networkInterfaces> {
  try {
    listed = networkInterfaces();
  } catch {
    // A process without free descriptors must go on.
  }
  return listed;
}

/** The addresses of all interfaces. */
export function interfaceAddresses(): readonly NetworkInterfaceInfo[] {
  return Object.values(hostInterfaces()).flatMap((addresses = []) => addresses);
}

/** An address of this host, or a network of containers that only this host has. */
export interface HostRange {
  readonly address: string;
  readonly prefixLength: number;
}

/**
 * Bridges that Docker and Podman make: the default one, one for each network, and the one through which containers of a
 * swarm leave the host. Any other bridge may join this host to a network of others.
 */
const CONTAINER_BRIDGE = /^(?:docker0|br-[0-9a-f]{12}|docker_gwbridge|podman[0-9]+)$/;

/** This host's addresses, and the networks of its containers' bridges. Node hides a bridge without running containers. */
export function hostRanges(): readonly HostRange[] {
  return Object.entries(hostInterfaces()).flatMap(([device, addresses = []]) =>
    addresses.flatMap(({ address, cidr, family }) => {
      if (address.toLowerCase().startsWith('fe80:')) return [];
      const all = family === 'IPv4' ? 32 : 128;
      const isBridge = CONTAINER_BRIDGE.test(device);
      const prefixLength = isBridge ? Number(cidr?.split('/')[1] ?? all) : all;
      return [{ address, prefixLength }];
    }),
  );
}
