/** UDP sockets of Node, for IP addresses alone. */
import dgram, { type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { KERNEL_BUFFER_OCTETS } from '../sockets/socket.ts';

/** Binds the address alone, or takes over a bound descriptor. Rejects with the system's error. */
export async function bindDatagramSocket(
  address: string,
  port: number,
  fd?: number,
): Promise<Socket> {
  const ipv6Only = isIPv6(address);
  const type = ipv6Only ? 'udp6' : 'udp4';
  const socket = dgram.createSocket({ type, ipv6Only, lookup: takeLiterally });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      const bound = () => {
        socket.off('error', reject);
        resolve();
      };
      socket.bind(fd === undefined ? { address, port, exclusive: true } : { fd }, bound);
    });
  } catch (error) {
    socket.close();
    throw error;
  }
  enlargeBuffers(socket);
  return socket;
}

function enlargeBuffers(socket: Socket): void {
  try {
    socket.setRecvBufferSize(KERNEL_BUFFER_OCTETS);
    socket.setSendBufferSize(KERNEL_BUFFER_OCTETS);
  } catch {
    // The kernel's default size remains.
  }
}

/** A `lookup` for sockets whose addresses are all IP addresses: Node's resolver would delay each send by a tick. */
export function takeLiterally(
  address: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void {
  callback(null, address, address.includes(':') ? 6 : 4);
}
