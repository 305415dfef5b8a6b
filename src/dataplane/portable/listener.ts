/**
 * DNS over UDP on Node's own sockets: works everywhere, one datagram per system call. The receive buffer of the kernel
 * is the only queue in front of the table and `respond`; a packet is answered when it is read or not at all.
 *
 * A reply leaves from the address that the query came to only if that address was bound: Node cannot choose a source
 * address, so on a wildcard address of a machine with several the kernel's route decides. Bind each one.
 */
import dgram, { type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { newCounterMemory } from '../counters.ts';
import { KERNEL_BUFFER_OCTETS } from '../kernelBuffer.ts';
import type { Bound } from '../listener.ts';
import { createOwnAddresses } from '../ownAddresses.ts';
import { type AddressRange, RecursionRanges } from '../recursionRanges.ts';
import {
  BLOCKS_PER_THREAD,
  type FamilyBlock,
  familyBlock,
  familyBlocks,
  type UdpCounters,
  type UdpListener,
  type UdpListenerOptions,
  udpCounters,
} from '../udpListener.ts';
import { PortableReceiver } from './receiver.ts';

const MAIN_THREAD = 0;

/** A listener on this thread alone. */
export function createUdpListener(options: UdpListenerOptions): UdpListener {
  return new PortableListener(options);
}

/** Reads each socket from `listen` until it is closed; once stopped it takes nothing more from any of them. */
class PortableListener implements UdpListener {
  readonly blocks: readonly FamilyBlock[];
  readonly #onError: UdpListenerOptions['onError'];
  readonly #slow = { queries: 0, replies: 0, socketErrors: 0 };
  readonly #receivers: Readonly<Record<4 | 6, PortableReceiver>>;
  /** Exactly the addresses of `#open`. */
  readonly #own = createOwnAddresses();
  readonly #open = new Set<Bound>();
  #isStopped = false;

  constructor(options: UdpListenerOptions) {
    this.#onError = options.onError;
    const memory = newCounterMemory(BLOCKS_PER_THREAD);
    this.blocks = familyBlocks(memory, 1);
    const receiver = (family: 4 | 6): PortableReceiver => {
      const block = familyBlock(memory, MAIN_THREAD, family);
      return new PortableReceiver(options, block, this.#slow, this.#own.has);
    };
    this.#receivers = { 4: receiver(4), 6: receiver(6) };
  }

  async begin(): Promise<void> {}

  async listen(address: string, port: number, fd?: number): Promise<Bound> {
    const socket = await bind(address, port, fd);
    const at = socket.address();
    const bound: Bound = {
      address: at.address,
      port: at.port,
      close: () => this.#close(socket, bound),
    };
    this.#read(socket, this.#receivers[isIPv6(at.address) ? 6 : 4]);
    this.#own.add(bound.address, bound.port);
    this.#open.add(bound);
    return bound;
  }

  giveWay(): void {} // Node's sockets are shared with nobody.

  async stop(): Promise<void> {
    this.#isStopped = true;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((bound) => bound.close()));
  }

  recurseFor(ranges: readonly AddressRange[]): void {
    this.#receivers[4].recursionRanges = new RecursionRanges(ranges);
    this.#receivers[6].recursionRanges = new RecursionRanges(ranges);
  }

  counters(): UdpCounters {
    return udpCounters(this.blocks, this.#slow);
  }

  #read(socket: Socket, receiver: PortableReceiver): void {
    socket.on('error', (error) => {
      this.#slow.socketErrors += 1;
      this.#onError?.(error);
    });
    socket.on('message', (packet, peer) => {
      if (!this.#isStopped) receiver.receive(socket, packet, peer);
    });
  }

  async #close(socket: Socket, bound: Bound): Promise<void> {
    if (!this.#open.delete(bound)) return;
    this.#own.remove(bound.address, bound.port);
    await new Promise<void>((resolve) => socket.close(resolve));
  }
}

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
