/**
 * DNS over UDP on Node's own sockets: works everywhere, with one system call per datagram. The kernel's receive buffer
 * is the only queue in front of the table and `respond`.
 *
 * Node cannot choose the source address of a reply. A reply leaves from the address that received the query only if
 * that address was bound; on a wildcard address the kernel's route decides. On a machine with several addresses bind
 * each one.
 */
import type { RemoteInfo, Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { clientAddress } from '../../dns/address.ts';
import type { DnsClient } from '../../dns/message.ts';
import { type FastPath, Outcome } from '../reply/fastPath.ts';
import { openFastPath } from '../reply/reader.ts';
import { AddressRanges } from '../sockets/addressRanges.ts';
import type { ClientPolicy } from '../sockets/clientPolicy.ts';
import { sendDropReason } from '../sockets/dropReason.ts';
import { sockaddrOf } from '../sockets/layout.ts';
import {
  bucketOf,
  type CounterBlock,
  count,
  countDrop,
  LATENCY_BOUNDS_US,
  newCounterMemory,
  Single,
  Slot,
} from '../table/counters.ts';
import { bindDatagramSocket } from './datagramSocket.ts';
import { createLocalAddresses } from './localAddress.ts';
import { createOwnAddresses } from './ownAddresses.ts';
import {
  BLOCKS_PER_THREAD,
  type Bound,
  type FamilyBlock,
  familyBlock,
  familyBlocks,
  type SlowCounts,
  type UdpCounters,
  type UdpListener,
  type UdpListenerOptions,
  udpCounters,
} from './udpListener.ts';

const MAIN_THREAD = 0;

/** A listener that uses this thread alone. */
export function createPortableListener(options: UdpListenerOptions): UdpListener {
  return new PortableListener(options);
}

/** Reads each socket from `listen` until it is closed or the listener is stopped. */
class PortableListener implements UdpListener {
  readonly blocks: readonly FamilyBlock[];
  readonly #onError: UdpListenerOptions['onError'];
  readonly #slow = { queries: 0, replies: 0, socketErrors: 0 };
  readonly #receivers: Readonly<Record<4 | 6, PortableReceiver>>;
  /** The addresses of `#open`. */
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
    const socket = await bindDatagramSocket(address, port, fd);
    const at = socket.address();
    const bound: Bound = {
      address: at.address,
      port: at.port,
      close: () => this.#close(socket, bound),
    };
    this.#read(socket, bound, this.#receivers[isIPv6(at.address) ? 6 : 4]);
    this.#own.add(bound.address, bound.port);
    this.#open.add(bound);
    return bound;
  }

  divertToSuccessor(): void {} // Node's sockets are not shared.

  async stop(): Promise<void> {
    this.#isStopped = true;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((bound) => bound.close()));
  }

  setPolicy(policy: ClientPolicy): void {
    this.#receivers[4].setPolicy(policy);
    this.#receivers[6].setPolicy(policy);
  }

  counters(): UdpCounters {
    return udpCounters(this.blocks, this.#slow);
  }

  #read(socket: Socket, { address, port }: Bound, receiver: PortableReceiver): void {
    const localAddress = isWildcardAddress(address) ? undefined : clientAddress(address);
    const local = { localAddress, localPort: port };
    socket.on('error', (error) => {
      this.#slow.socketErrors += 1;
      this.#onError?.(error);
    });
    socket.on('message', (packet, peer) => {
      if (!this.#isStopped) receiver.receive(socket, local, packet, peer);
    });
  }

  async #close(socket: Socket, bound: Bound): Promise<void> {
    if (!this.#open.delete(bound)) return;
    this.#own.remove(bound.address, bound.port);
    await new Promise<void>((resolve) => socket.close(resolve));
  }
}

function isWildcardAddress(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

type LocalEnd = Pick<DnsClient, 'localAddress' | 'localPort'>;

/** Replies of one family that may wait for the kernel: at 1,232 octets each, 1.3 MB. */
const MAX_UNSENT = 1024;

/**
 * Takes packets from Node's sockets of one address family: drops them, answers them from the table, or passes them to
 * `respond`. Bounds the replies that wait for the kernel.
 */
class PortableReceiver {
  #allowed: AddressRanges | undefined;
  #recursion = new AddressRanges([]);
  readonly #options: UdpListenerOptions;
  readonly #block: CounterBlock;
  readonly #slow: SlowCounts;
  readonly #isOwn: (address: string, port: number) => boolean;
  readonly #fastPath: FastPath | undefined;
  readonly #localAddresses = createLocalAddresses();
  /** The table writes its reply here, because the packet's own memory has no room for it. */
  readonly #room = new Uint8Array(1 << 16);
  #unsent = 0;

  constructor(
    options: UdpListenerOptions,
    block: CounterBlock,
    slow: SlowCounts,
    isOwn: (address: string, port: number) => boolean,
  ) {
    const { table } = options;
    this.#options = options;
    this.#block = block;
    this.#slow = slow;
    this.#isOwn = isOwn;
    this.#fastPath = table && openFastPath(table, MAIN_THREAD, block, () => performance.now());
  }

  setPolicy(policy: ClientPolicy): void {
    const { allowed, recursionRanges } = policy;
    this.#allowed = allowed && new AddressRanges(allowed);
    this.#recursion = new AddressRanges(recursionRanges);
    this.#fastPath?.setPolicy(policy);
  }

  /** `local`: the socket's address and port; `undefined` for a wildcard address. */
  receive(socket: Socket, local: LocalEnd, packet: Uint8Array, peer: RemoteInfo): void {
    const { port } = peer;
    const address = clientAddress(peer.address);
    if (port === 0) countDrop(this.#block, 'sourcePortZero');
    else if (this.#allowed?.hasAddress(address) === false) countDrop(this.#block, 'notAllowed');
    else if (this.#isOwn(address, port)) countDrop(this.#block, 'ownAddress');
    else if (this.#unsent >= MAX_UNSENT) countDrop(this.#block, 'overload');
    else if (!this.#answer(socket, packet, peer, address, local)) {
      this.#slow.queries += 1;
      const localAddress = local.localAddress ?? this.#localAddresses.towards(address);
      const client = { transport: 'udp', address, port, ...local, localAddress } as const;
      this.#options.respond(packet, client, (reply) =>
        this.#send(socket, reply, peer, () => {
          this.#slow.replies += 1;
        }),
      );
    }
  }

  /** False if the table cannot answer the packet. */
  #answer(
    socket: Socket,
    packet: Uint8Array,
    peer: RemoteInfo,
    address: string,
    local: LocalEnd,
  ): boolean {
    if (this.#fastPath === undefined) return false;
    const startedMs = performance.now();
    this.#room.set(packet);
    const mayRecurse = this.#recursion.hasAddress(address);
    if (this.#fastPath.needsClient) this.#fastPath.setClient(sockaddrOf(address), 0);
    this.#fastPath.beginBatch();
    const outcome = this.#fastPath.answer(this.#room, 0, packet.length, mayRecurse);
    this.#fastPath.endBatch();
    if (outcome < Outcome.DROP) return false;
    count(this.#block, Single.received);
    count(this.#block, Single.receivedOctets, packet.length);
    if (outcome === Outcome.DROP) return true;
    const micros = (performance.now() - startedMs) * 1000;
    count(this.#block, Slot.latency + bucketOf(LATENCY_BOUNDS_US, micros));
    count(this.#block, Single.latencyMicros, micros);
    const reply = this.#room.slice(0, outcome);
    const tap = this.#options.tap?.client;
    tap?.answered(
      { transport: 'udp', address, port: peer.port, ...local },
      packet,
      reply,
      startedMs,
    );
    this.#send(socket, reply, peer, () => {
      count(this.#block, Single.sent);
      count(this.#block, Single.sentOctets, outcome);
    });
    return true;
  }

  #send(socket: Socket, reply: Uint8Array, peer: RemoteInfo, onSent: () => void): void {
    if (this.#unsent >= MAX_UNSENT) {
      countDrop(this.#block, 'noRoom');
      return;
    }
    this.#unsent += 1;
    try {
      socket.send(reply, peer.port, peer.address, (error: NodeJS.ErrnoException | null) => {
        this.#unsent -= 1;
        if (error === null) onSent();
        else countDrop(this.#block, sendDropReason(-(error.errno ?? 0)));
      });
    } catch {
      // The socket is closed, or dgram rejected an argument.
      this.#unsent -= 1;
      countDrop(this.#block, 'otherSendError');
    }
  }
}
