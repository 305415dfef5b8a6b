/** The interfaces of this host. Node needs a descriptor to list them, and throws if the process has none left. */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

let listed: ReturnType<typeof networkInterfaces> = {};

/** By name. Returns the last list of this thread if the system gives none now, which is empty before the first one. */
export function hostInterfaces(): ReturnType<typeof networkInterfaces> {
  try {
    listed = networkInterfaces();
  } catch {
    // The process runs out of descriptors under load, and must not end because of it.
  }
  return listed;
}

/** The addresses of all interfaces. */
export function interfaceAddresses(): readonly NetworkInterfaceInfo[] {
  return Object.values(hostInterfaces()).flatMap((addresses = []) => addresses);
}
