/**
 * Recognizes packets that one of our own listeners sent. A server that answers its own packets never stops
 * (CVE-2024-2169), and one packet with a forged source address starts such a loop.
 */
import { clientAddress } from '../../dns/address.ts';
import { interfaceAddresses } from '../../kernel/interfaces.ts';

export interface OwnAddresses {
  add(address: string, port: number): void;
  remove(address: string, port: number): void;
  /** True if a packet from this address (in `DnsClient`'s form) and port was sent by one of our listeners. */
  has(address: string, port: number): boolean;
}

/** `listLocal` lists this machine's addresses; it is called only for a listener on a wildcard address. */
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

/**
 * How long a list of this machine's addresses is used: it costs one system call per interface, and any client may send
 * from our port number.
 */
const LOCAL_LIST_MS = 5_000;

function listInterfaceAddresses(): readonly string[] {
  return interfaceAddresses().map(({ address }) => address);
}
