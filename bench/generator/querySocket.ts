/**
 * The generator's sockets: those of the data plane turned round. A batch sends its packets along the addresses that its
 * headers hold; here that is the server's from the start, and every packet that is read comes from it.
 */

import { BATCH_PACKETS, Batch } from '../../src/dataplane/sockets/batch.ts';
import { MSG_DONTWAIT, writeSockaddr } from '../../src/dataplane/sockets/layout.ts';
import { type Libc, loadLibc } from '../../src/dataplane/sockets/libc.ts';
import { Poll, SocketMaker } from '../../src/dataplane/sockets/socket.ts';
import {
  type CounterBlock,
  counterBlock,
  newCounterMemory,
  Single,
} from '../../src/dataplane/table/counters.ts';

/** At most so many messages leave or come with one system call. */
export const BATCH = BATCH_PACKETS;

const LOOPBACK = '127.0.0.1';

/** One UDP socket with a port of its own, towards one server. */
export interface QuerySocket {
  readonly fd: number;
  readonly octets: Uint8Array;
  /** Where in `octets` the message of a slot stands, to be sent as received. */
  at(slot: number): number;
  /** The message in the slot is to be sent; slots are filled in their order. */
  put(slot: number, length: number): void;
  /** Sends what was put; how much of it the kernel took. */
  send(): number;
  /** Reads what is there; the number of messages. Those that were put and not sent are gone. */
  receive(): number;
  /** Octets of the message received in a slot. */
  length(slot: number): number;
  close(): void;
}

/** Throws where batched sockets are missing, or the system's error. */
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

/** Makes a function that waits until one of the links can be read, or for so long. */
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
