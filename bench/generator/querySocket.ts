/**
 * The generator's sockets: the data plane's batched sockets in the role of a client. A batch sends each packet to the
 * address in its message header; here that is the server's address from the start, and every received packet has it too.
 */
import { BATCH_PACKETS, Batch } from '../../src/dataplane/sockets/batch.ts';
import { MSG_DONTWAIT, writeSockaddr } from '../../src/dataplane/sockets/layout.ts';
import { Poll, SocketMaker } from '../../src/dataplane/sockets/socket.ts';
import {
  type CounterBlock,
  counterBlock,
  newCounterMemory,
  Single,
} from '../../src/dataplane/table/counters.ts';
import { type Libc, loadLibc } from '../../src/kernel/libc.ts';

/** The most messages that one system call sends or receives. */
export const BATCH = BATCH_PACKETS;

const LOOPBACK = '127.0.0.1';

/** One UDP socket with its own port for queries to one server. */
export interface QuerySocket {
  readonly fd: number;
  readonly octets: Uint8Array;
  /** Offset in `octets` of a slot's message, for sent and for received messages. */
  at(slot: number): number;
  /** Queues the slot's message for `send`. Slots are filled in order. */
  put(slot: number, length: number): void;
  /** Sends the queued messages; returns how many the kernel accepted. */
  send(): number;
  /** Receives the waiting messages; returns their number. Drops queued messages that were not sent. */
  receive(): number;
  /** Length of the message received in a slot, in octets. */
  length(slot: number): number;
  close(): void;
}

/** Throws where batched sockets are not available, and on system errors. */
export function openQuerySockets(port: number, count: number): QuerySocket[] {
  const libc = needLibc();
  const maker = new SocketMaker(libc);
  const counters = counterBlock(newCounterMemory(1), 0);
  const sockets = Array.from({ length: count }, () =>
    maker.open({ address: LOOPBACK, port: 0 }, 1),
  );
  return sockets.flat().map((socket) => {
    const batch = new Batch(libc, socket, 0);
    for (let slot = 0; slot < BATCH; slot++) {
      const room = new DataView(batch.octets.buffer, batch.nameAt(slot));
      writeSockaddr(room, { address: LOOPBACK, port }, () => 0);
    }
    return querySocket(libc, batch, counters);
  });
}

function querySocket(libc: Libc, batch: Batch, counters: CounterBlock): QuerySocket {
  const { fd } = batch.socket;
  return {
    fd,
    octets: batch.octets,
    at: (slot) => batch.packetAt(slot),
    put: (slot, length) => batch.reply(slot, length),
    send: () => {
      const before = counters[Single.sent] as number;
      batch.send(counters);
      return (counters[Single.sent] as number) - before;
    },
    receive: () => batch.receive(MSG_DONTWAIT),
    length: (slot) => batch.length(slot),
    close: () => {
      libc.close(fd);
    },
  };
}

/** Returns a function that waits until one of the sockets is readable, or for `timeoutMs`. */
export function waiter(sockets: readonly QuerySocket[]): (timeoutMs: number) => void {
  const poll = new Poll(
    needLibc(),
    sockets.map(({ fd }) => fd),
  );
  return (timeoutMs) => {
    poll.wait(timeoutMs);
  };
}

function needLibc(): Libc {
  const result = loadLibc();
  if (result.kind === 'missing') throw new Error(result.reason);
  return result.libc;
}
