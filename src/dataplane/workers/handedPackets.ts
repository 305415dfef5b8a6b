/**
 * From a packet that a worker handed over to its reply: `respond` in between, at once or later, and out through the
 * socket that the packet came by.
 */
import { clientAddress } from '../../dns/clientAddress.ts';
import type { Client, Respond } from '../../dns/respond.ts';
import { type CounterBlock, countDrop } from '../counters.ts';
import { Envelope } from '../sockets/envelope.ts';
import { sendDropReason } from '../sockets/errno.ts';
import type { ReplySender } from '../sockets/sender.ts';
import { sockaddrPort, sockaddrText } from '../sockets/sockaddr.ts';
import type { SlowCounts } from '../udpListener.ts';
import type { Handed } from './handover.ts';

export interface HandedPacketsOptions {
  readonly respond: Respond;
  readonly sender: ReplySender;
  /** Of the main thread, for what is dropped. */
  readonly counters: Readonly<Record<4 | 6, CounterBlock>>;
  readonly slow: SlowCounts;
  readonly isOwn: (address: string, port: number) => boolean;
  /** The listener's socket with that descriptor, and whether it is still there; `undefined` when it is not. */
  readonly socketOf: (fd: number) => HandedSocket | undefined;
}

export interface HandedSocket {
  readonly family: 4 | 6;
  readonly isOpen: boolean;
}

const WORD = Int32Array.BYTES_PER_ELEMENT;

export class HandedPackets {
  readonly #options: HandedPacketsOptions;

  constructor(options: HandedPacketsOptions) {
    this.#options = options;
  }

  answer(handed: Handed): void {
    const { respond, isOwn, socketOf, counters, slow } = this.#options;
    const client = clientOf(handed.envelope);
    const socket = socketOf(handed.envelope[Envelope.FD] as number);
    if (socket === undefined) return;
    if (isOwn(client.address, client.port)) {
      countDrop(counters[socket.family], 'ownAddress');
      return;
    }
    slow.queries += 1;
    let { envelope } = handed;
    let isAnswered = false;
    respond(handed.packet, client, (reply) => {
      isAnswered = true;
      if (socket.isOpen) this.#send(socket, envelope, reply);
    });
    // The next packet will be where this one was.
    if (!isAnswered) envelope = envelope.slice();
  }

  #send({ family }: HandedSocket, envelope: Int32Array, reply: Uint8Array): void {
    const { sender, counters, slow } = this.#options;
    const errno = sender.send(envelope, reply);
    if (errno === 0) slow.replies += 1;
    else countDrop(counters[family], sendDropReason(errno));
  }
}

function clientOf(envelope: Int32Array): Client {
  const at = envelope.byteOffset + Envelope.NAME * WORD;
  const name = new Uint8Array(envelope.buffer, at, Envelope.NAME_WORDS * WORD);
  const address = clientAddress(sockaddrText(name));
  return { transport: 'udp', address, port: sockaddrPort(name) };
}
