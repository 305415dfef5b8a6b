/**
 * From a packet that a worker handed over to its reply: `respond` in between, at once or later, and out through the
 * socket that the packet came by. Counts under the main thread.
 */
import { clientAddress } from '../dns/clientAddress.ts';
import type { Client, Respond } from '../dns/respond.ts';
import { type CounterBlock, count, Single } from './counters.ts';
import { Envelope } from './envelope.ts';
import type { Handed } from './handover.ts';
import { countDrop } from './sockets/batch.ts';
import { sendDropReason } from './sockets/errno.ts';
import type { ReplySender } from './sockets/sender.ts';
import { sockaddrPort, sockaddrText } from './sockets/sockaddr.ts';

export interface HandedPacketsOptions {
  readonly respond: Respond;
  readonly sender: ReplySender;
  readonly counters: CounterBlock;
  readonly isOwn: (address: string, port: number) => boolean;
  /** The listener's socket with that descriptor, and whether it is still there; `undefined` when it is not. */
  readonly socketOf: (fd: number) => { readonly isOpen: boolean } | undefined;
}

const WORD = Int32Array.BYTES_PER_ELEMENT;

export class HandedPackets {
  readonly #options: HandedPacketsOptions;

  constructor(options: HandedPacketsOptions) {
    this.#options = options;
  }

  answer(handed: Handed): void {
    const { respond, isOwn, socketOf, counters } = this.#options;
    const client = clientOf(handed.envelope);
    const socket = socketOf(handed.envelope[Envelope.FD] as number);
    if (socket === undefined) return;
    if (isOwn(client.address, client.port)) {
      countDrop(counters, 'ownAddress');
      return;
    }
    let { envelope } = handed;
    let isAnswered = false;
    respond(handed.packet, client, (reply) => {
      isAnswered = true;
      if (socket.isOpen) this.#send(envelope, reply);
    });
    // The next packet will be where this one was.
    if (!isAnswered) envelope = envelope.slice();
  }

  #send(envelope: Int32Array, reply: Uint8Array): void {
    const { sender, counters } = this.#options;
    const errno = sender.send(envelope, reply);
    if (errno !== 0) {
      countDrop(counters, sendDropReason(errno));
      return;
    }
    count(counters, Single.sent);
    count(counters, Single.sentOctets, reply.length);
  }
}

function clientOf(envelope: Int32Array): Client {
  const at = envelope.byteOffset + Envelope.NAME * WORD;
  const name = new Uint8Array(envelope.buffer, at, Envelope.NAME_WORDS * WORD);
  const address = clientAddress(sockaddrText(name));
  return { transport: 'udp', address, port: sockaddrPort(name) };
}
