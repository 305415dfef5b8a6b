/**
 * The address of this machine at which a packet arrived, where the system does not say it: the address that is in one
 * network with the client.
 */
import { isIP } from 'node:net';
import { clientAddress } from '../../dns/address.ts';
import { interfaceAddresses } from '../../kernel/interfaces.ts';
import { type AddressRange, AddressRanges } from '../sockets/addressRanges.ts';

export interface LocalAddresses {
  /** The address for a client (in `DnsClient`'s form); `undefined` if no network of this machine contains the client. */
  towards(client: string): string | undefined;
}

interface LocalNetwork {
  readonly address: string;
  readonly range: AddressRanges;
}

/** The list of networks is used for this long, because it costs one system call per interface. */
const LIST_MS = 5_000;

/** `listNetworks` lists this machine's addresses with their networks. */
export function createLocalAddresses(
  listNetworks: () => readonly AddressRange[] = listInterfaceNetworks,
  nowMs: () => number = () => performance.now(),
): LocalAddresses {
  let networks: readonly LocalNetwork[] = [];
  let untilMs = Number.NEGATIVE_INFINITY;

  return {
    towards(client) {
      if (nowMs() >= untilMs) {
        networks = listNetworks().map(localNetwork);
        untilMs = nowMs() + LIST_MS;
      }
      if (isIP(client) === 0) return undefined;
      return networks.find(({ range }) => range.hasAddress(client))?.address;
    },
  };
}

function localNetwork(network: AddressRange): LocalNetwork {
  return { address: clientAddress(network.address), range: new AddressRanges([network]) };
}

function listInterfaceNetworks(): AddressRange[] {
  return interfaceAddresses().flatMap(({ address, cidr }) => {
    const prefixLength = Number(cidr?.split('/')[1]);
    return Number.isInteger(prefixLength) ? [{ address, prefixLength }] : [];
  });
}
