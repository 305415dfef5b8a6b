/**
 * DNS over UDP on Node's own sockets: works everywhere, one datagram per system call. The receive buffer of the kernel
 * is the only queue in front of the table and `respond`; a packet is answered when it is read or not at all.
 *
 * A reply leaves from the address that the query came to only if that address was bound: Node cannot choose a source
 * address, so on a wildcard address of a machine with several the kernel's route decides. Bind each one.
 */
import dgram, { type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { newCounterMemory } from './counters.ts';
import type { Bound, Listen } from './listener.ts';
import { createOwnAddresses } from './ownAddresses.ts';
import { PortableReceiver } from './portableReceiver.ts';
import { RecursionRanges } from './recursionRanges.ts';
import {
  BLOCKS_PER_THREAD,
  familyBlock,
  familyBlocks,
  type UdpListener,
  type UdpListenerOptions,
  udpCounters,
} from './udpListener.ts';

/** A listener on this thread alone. */
export function createUdpListener(options: UdpListenerOptions): UdpListener {
  const memory = newCounterMemory(BLOCKS_PER_THREAD);
  const blocks = familyBlocks(memory, 1);
  const slow = { queries: 0, replies: 0, socketErrors: 0 };
  const own = createOwnAddresses();
  const sockets = new Set<Bound>();
  const receivers = {
    4: new PortableReceiver(options, familyBlock(memory, MAIN_THREAD, 4), slow, own.has),
    6: new PortableReceiver(options, familyBlock(memory, MAIN_THREAD, 6), slow, own.has),
  };
  let stopped = false;

  const listen: Listen = async (address, port, fd) => {
    const socket = await bind(address, port, fd);
    const bound = { address: socket.address().address, port: socket.address().port };
    const receiver = receivers[isIPv6(bound.address) ? 6 : 4];
    socket.on('error', (error) => {
      slow.socketErrors += 1;
      options.onError?.(error);
    });
    socket.on('message', (packet, peer) => {
      if (!stopped) receiver.receive(socket, packet, peer);
    });
    own.add(bound.address, bound.port);
    const close = async () => {
      if (!sockets.delete(listening)) return;
      own.remove(bound.address, bound.port);
      await new Promise<void>((resolve) => socket.close(resolve));
    };
    const listening: Bound = { ...bound, close };
    sockets.add(listening);
    return listening;
  };

  return {
    listen,
    stop: async () => {
      stopped = true;
    },
    close: async () => {
      await Promise.all([...sockets].map((socket) => socket.close()));
    },
    begin: async () => {},
    giveWay: () => {}, // Node's sockets are shared with nobody
    recurseFor(ranges) {
      receivers[4].recursionRanges = new RecursionRanges(ranges);
      receivers[6].recursionRanges = new RecursionRanges(ranges);
    },
    counters: () => udpCounters(blocks, slow),
    blocks,
  };
}

const MAIN_THREAD = 0;

/**
 * Room for bursts. Not more: in overload the buffer is full, and a packet waits for all before it. 1 MB holds some
 * 2,700 small packets, 40 ms of work at 15 µs each.
 */
const KERNEL_BUFFER_OCTETS = 1 << 20;

async function bind(address: string, port: number, fd: number | undefined): Promise<Socket> {
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
    // The kernel's own size has to do.
  }
}

/** Every address here is an IP address already: Node's resolver would only put off each send by a tick. */
function takeLiterally(
  address: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void {
  callback(null, address, address.includes(':') ? 6 : 4);
}
