/** The client of a connection: its address, the key under which limits count it, and the user of its process. */
import type { Socket } from 'node:net';
import { addressFamily, clientAddress, ipv6Octets } from '../../../dns/address.ts';
import { isLoopback } from '../../../forward/addresses.ts';
import { inodeOf, type PeerOwner, peerOwner } from '../../listening/peerOwner.ts';
import type { ClientConnection } from './exchange.ts';

export interface ConnectedClient extends ClientConnection {
  readonly address: string;
  /** The key of the client's limits: clients with the same value share them. */
  readonly share: string;
  /** The owner of the client's process. The first call looks it up, because the lookup is expensive. */
  owner(): Promise<PeerOwner>;
}

const clients = new WeakMap<Socket, ConnectedClient>();

/** Returns the same object for the same socket. */
export function connectedClientOf(socket: Socket): ConnectedClient {
  const known = clients.get(socket);
  if (known !== undefined) return known;
  const client = newClient(socket);
  clients.set(socket, client);
  return client;
}

function newClient(socket: Socket): ConnectedClient {
  const address = clientAddress(socket.remoteAddress ?? '');
  let owner: Promise<PeerOwner> | undefined;
  const onClose = new Set<() => void>();
  socket.once('close', () => {
    for (const callback of onClose) callback();
  });
  return {
    address,
    share: shareOf(address),
    isOpen: () => !socket.destroyed,
    onClose(callback) {
      onClose.add(callback);
      return () => void onClose.delete(callback);
    },
    owner() {
      owner ??= lookUp(socket).then((found) => {
        if (found === 'unknown') owner = undefined;
        return found;
      });
      return owner;
    },
  };
}

/** One value for all of 127.0.0.0/8 and for each IPv6 /64, because one host can use any address of them. */
export function shareOf(address: string): string {
  if (isLoopback(address)) return 'loopback';
  if (addressFamily(address) !== 6) return address;
  return Buffer.from(ipv6Octets(address).subarray(0, 8)).toString('hex');
}

async function lookUp(socket: Socket): Promise<PeerOwner> {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  const inode = inodeOf(socket);
  if (localAddress === undefined || localPort === undefined || inode === undefined) {
    return 'unknown';
  }
  if (remoteAddress === undefined || remotePort === undefined) return 'unknown';
  const local = { address: localAddress, port: localPort };
  return peerOwner({ local, remote: { address: remoteAddress, port: remotePort }, inode });
}
