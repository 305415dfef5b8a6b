/** The sockets from which secondaries are told about new versions: one for each address family, opened when needed. */
import { createSocket, type Socket } from 'node:dgram';
import { clientAddress, familyOfAddress, type SocketAddress } from '../../dns/address.ts';

/** Never throws: a server must run without its secondaries. */
export class NotifySockets {
  readonly #sockets = new Map<4 | 6, Socket>();
  readonly #onPacket: (packet: Uint8Array, from: SocketAddress) => void;

  constructor(onPacket: (packet: Uint8Array, from: SocketAddress) => void) {
    this.#onPacket = onPacket;
  }

  /** An error of the network is a packet that is lost. The port must not be 0. */
  send(packet: Uint8Array, { address, port }: SocketAddress): void {
    const family = familyOfAddress(address);
    const socket = this.#sockets.get(family) ?? this.#open(family);
    socket.send(packet, port, address, () => {});
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #open(family: 4 | 6): Socket {
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    socket.on('message', (packet, { address, port }) =>
      this.#onPacket(packet, { address: clientAddress(address), port }),
    );
    // A socket with an error is opened again for the next packet.
    socket.on('error', () => {
      socket.close();
      this.#sockets.delete(family);
    });
    socket.unref();
    this.#sockets.set(family, socket);
    return socket;
  }
}
