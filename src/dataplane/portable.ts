/**
 * DNS over UDP on Node's own sockets: works everywhere, one datagram per system call. The receive buffer of the kernel
 * is the only queue in front of the table and `respond`; a packet is answered when it is read or not at all.
 *
 * A reply leaves from the address that the query came to only if that address was bound: Node cannot choose a source
 * address, so on a wildcard address of a machine with several the kernel's route decides. Bind each one.
 */
import dgram, { type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { clientAddress } from '../dns/clientAddress.ts';
import type { Respond } from '../dns/respond.ts';
import { type FastPath, Outcome, REPLY_OCTETS } from './fastPath.ts';
import type { Bound, Listen } from './listener.ts';
import { createOwnAddresses } from './ownAddresses.ts';

export interface UdpCounters {
  /** Packets given to `respond`. */
  queries: number;
  /** Replies that the kernel took. */
  replies: number;
  /** Dropped unread: source port 0, to which nothing can be sent. */
  sourcePortZero: number;
  /** Dropped unread: sent, or forged to look sent, by one of our own listeners. */
  ownAddress: number;
  /** Packets dropped unread and replies dropped because too many replies wait for the kernel. */
  shed: number;
  /** Replies that the kernel refused (EPERM, ENOBUFS, EMSGSIZE, ENETUNREACH …). */
  sendErrors: number;
  socketErrors: number;
}

/** The answer table, as a listener on the main thread uses it. */
export interface TableAccess {
  readonly fastPath: FastPath;
  /** Whether replies to this client (in `Client`'s form) say that recursion is available. */
  readonly recursionAvailable: (address: string) => boolean;
}

export interface UdpListenerOptions {
  /** A reply belongs to the listener once it is given to `send`: the kernel may copy it later. */
  readonly respond: Respond;
  /** Told of a socket's error other than a failed send; the listener goes on. */
  readonly onError?: (error: Error) => void;
}

export interface PortableOptions extends UdpListenerOptions {
  /** Asked before `respond`, which then gets what the table does not hold. */
  readonly answers?: TableAccess | undefined;
}

export interface UdpListener {
  /** May be called for several addresses. With `fd`, an inherited socket; `address` then tells its family. */
  readonly listen: Listen;
  /** Takes no more packets; replies to those that were taken still go out. Resolves when `respond` has all those. */
  stop(): Promise<void>;
  /** Closes every socket. Replies that come later are dropped. */
  close(): Promise<void>;
  counters(): Readonly<UdpCounters>;
}

export function createUdpListener(options: PortableOptions): UdpListener {
  const counters = newCounters();
  const own = createOwnAddresses();
  const sockets = new Set<Bound>();
  const respond =
    options.answers === undefined ? options.respond : withTable(options.answers, options.respond);
  const receiver = createReceiver(respond, counters, own.has);
  let stopped = false;

  const listen: Listen = async (address, port, fd) => {
    const socket = await bind(address, port, fd);
    const bound = { address: socket.address().address, port: socket.address().port };
    socket.on('error', (error) => {
      counters.socketErrors += 1;
      options.onError?.(error);
    });
    socket.on('message', (packet, peer) => {
      if (!stopped) receiver(socket, packet, peer);
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
    counters: () => ({ ...counters }),
  };
}

/** Answers from the table what it holds, and leaves the rest to another. */
function withTable({ fastPath, recursionAvailable }: TableAccess, otherwise: Respond): Respond {
  const place = new Uint8Array(REPLY_OCTETS);
  return (packet, client, send) => {
    let outcome: number = Outcome.OTHER;
    if (packet.length <= REPLY_OCTETS) {
      place.set(packet);
      fastPath.beginBatch();
      outcome = fastPath.answer(place, 0, packet.length, recursionAvailable(client.address));
      fastPath.endBatch();
    }
    // The kernel may copy the reply later.
    if (outcome > 0) send(Buffer.from(place.subarray(0, outcome)));
    else if (outcome !== Outcome.DROP) otherwise(packet, client, send);
  };
}

/** Replies that may wait for the kernel, of all sockets together: at 1,232 octets each, 1.3 MB. */
const MAX_UNSENT = 1024;

type Receive = (socket: Socket, packet: Buffer, peer: RemoteInfo) => void;

function createReceiver(
  respond: Respond,
  counters: UdpCounters,
  isOwn: (address: string, port: number) => boolean,
): Receive {
  let unsent = 0;

  const sent = (error: Error | null) => {
    unsent -= 1;
    if (error === null) counters.replies += 1;
    else counters.sendErrors += 1;
  };

  const send = (socket: Socket, reply: Uint8Array, peer: RemoteInfo) => {
    if (unsent >= MAX_UNSENT) {
      counters.shed += 1;
      return;
    }
    unsent += 1;
    try {
      socket.send(reply, peer.port, peer.address, sent);
    } catch {
      // A closed socket, or an argument that dgram itself refuses.
      unsent -= 1;
      counters.sendErrors += 1;
    }
  };

  return (socket, packet, peer) => {
    const { port } = peer;
    const address = clientAddress(peer.address);
    if (port === 0) counters.sourcePortZero += 1;
    else if (isOwn(address, port)) counters.ownAddress += 1;
    else if (unsent >= MAX_UNSENT) counters.shed += 1;
    else {
      counters.queries += 1;
      respond(packet, { transport: 'udp', address, port }, (reply) => send(socket, reply, peer));
    }
  };
}

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

function newCounters(): UdpCounters {
  return {
    queries: 0,
    replies: 0,
    sourcePortZero: 0,
    ownAddress: 0,
    shed: 0,
    sendErrors: 0,
    socketErrors: 0,
  };
}
