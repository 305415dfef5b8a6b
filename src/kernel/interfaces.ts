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
