/** What the descriptors are that were handed over: Node does not tell, Linux's /proc does. */
import { readlink } from 'node:fs/promises';
import type { InheritedSocket } from '../server/listen.ts';
import { readSockets } from '../server/socketTable.ts';
import type { HandedOver } from './activation.ts';

export type Identified =
  | { readonly kind: 'sockets'; readonly sockets: readonly InheritedSocket[] }
  /** One line that names the descriptor and what it should have been. */
  | { readonly kind: 'mistake'; readonly problem: string };

/** Each must be a bound UDP socket or a listening TCP one. */
export async function identify(descriptors: readonly HandedOver[]): Promise<Identified> {
  const known = [...(await readSockets('udp')), ...(await readSockets('tcp'))];
  const sockets: InheritedSocket[] = [];
  for (const { fd, name } of descriptors) {
    const link = await readlink(`/proc/self/fd/${fd}`).catch(() => 'closed');
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    const socket = known.find((one) => one.inode === inode);
    if (socket === undefined || !socket.isListening) {
      const problem = `descriptor ${fd} (${name}) is no UDP and no listening TCP socket`;
      return { kind: 'mistake', problem };
    }
    const { transport, address, port } = socket;
    sockets.push({ transport, address, port, fd });
  }
  return { kind: 'sockets', sockets };
}
