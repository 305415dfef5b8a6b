/**
 * Which packets come from ourselves. Two servers, or one, that answer each other's packets never stop (CVE-2024-2169);
 * a packet with a forged source of our own is how such a loop is started.
 */
import { networkInterfaces } from 'node:os';
import { clientAddress } from '../../dns/address.ts';

export interface OwnAddresses {
  add(address: string, port: number): void;
  remove(address: string, port: number): void;
  /** True if a packet from this address (in `Client`'s form) and port was sent by one of our listeners. */
  has(address: string, port: number): boolean;
}

/** `listLocal` lists this machine's addresses; it is asked only for a listener on a wildcard address. */
export function createOwnAddresses(
  listLocal: () => readonly string[] = listInterfaceAddresses,
  nowMs: () => number = () => performance.now(),
): OwnAddresses {
  const addressesByPort = new Map<number, Set<string>>();
  let local: ReadonlySet<string> = new Set();
  let localUntilMs = Number.NEGATIVE_INFINITY;

  const isLocal = (address: string) => {
    if (address.startsWith('127.')) return true;
    if (nowMs() >= localUntilMs) {
      local = new Set(listLocal().map(clientAddress));
      localUntilMs = nowMs() + LOCAL_LIST_MS;
    }
    return local.has(address);
  };

  return {
    add(address, port) {
      const addresses = addressesByPort.get(port) ?? new Set();
      addressesByPort.set(port, addresses.add(clientAddress(address)));
    },
    remove(address, port) {
      const addresses = addressesByPort.get(port);
      addresses?.delete(clientAddress(address));
      if (addresses?.size === 0) addressesByPort.delete(port);
    },
    has(address, port) {
      const addresses = addressesByPort.get(port);
      if (addresses === undefined) return false; // nearly every packet ends here
      if (addresses.has(address)) return true;
      return (addresses.has('0.0.0.0') || addresses.has('::')) && isLocal(address);
    },
  };
}

/** Listing interfaces costs a system call per interface, and anybody may send from our port number. */
const LOCAL_LIST_MS = 5_000;

function listInterfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((interfaces) =>
    (interfaces ?? []).map(({ address }) => address),
  );
}
