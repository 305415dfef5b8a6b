/**
 * Answers a miss: passes it to `respond`, and sends the reply, at once or later, through the socket that received the
 * packet.
 */
import { clientAddress } from '../../dns/address.ts';
import type { DnsClient, Respond } from '../../dns/message.ts';
import { sendDropReason } from '../sockets/dropReason.ts';
import { Envelope, receivingAddress, sockaddrPort, sockaddrText } from '../sockets/layout.ts';
import type { ReplySender } from '../sockets/sender.ts';
import { type CounterBlock, countDrop } from '../table/counters.ts';
import type { Miss } from './handover.ts';
import type { SlowCounts } from './udpListener.ts';

export interface MissResponderOptions {
  readonly respond: Respond;
  readonly sender: ReplySender;
  /** Counter blocks of the main thread, for packets that it drops. */
  readonly counters: Readonly<Record<4 | 6, CounterBlock>>;
  readonly slow: SlowCounts;
  readonly isOwn: (address: string, port: number) => boolean;
  /** The listener's socket with that descriptor; `undefined` after it was closed. */
  readonly socketOf: (fd: number) => ReplySocket | undefined;
}

export interface ReplySocket {
  readonly family: 4 | 6;
  /** The address and port to which it is bound. */
  readonly address: string;
  readonly port: number;
  readonly isOpen: boolean;
}

const WORD = Int32Array.BYTES_PER_ELEMENT;

export class MissResponder {
  readonly #options: MissResponderOptions;

  constructor(options: MissResponderOptions) {
    this.#options = options;
  }

  answer(miss: Miss): void {
    const { respond, isOwn, socketOf, counters, slow } = this.#options;
    const socket = socketOf(miss.envelope[Envelope.FD] as number);
    if (socket === undefined) return;
    const client = clientOf(miss.envelope, socket);
    if (isOwn(client.address, client.port)) {
      countDrop(counters[socket.family], 'ownAddress');
      return;
    }
    slow.queries += 1;
    let { envelope } = miss;
    let isAnswered = false;
    respond(miss.packet, client, (reply) => {
      isAnswered = true;
      if (socket.isOpen) this.#send(socket, envelope, reply);
    });
    // The next miss overwrites this envelope.
    if (!isAnswered) envelope = envelope.slice();
  }

  #send({ family }: ReplySocket, envelope: Int32Array, reply: Uint8Array): void {
    const { sender, counters, slow } = this.#options;
    const errno = sender.send(envelope, reply);
    if (errno === 0) slow.replies += 1;
    else countDrop(counters[family], sendDropReason(errno));
  }
}

function clientOf(envelope: Int32Array, socket: ReplySocket): DnsClient {
  const octets = new Uint8Array(envelope.buffer, envelope.byteOffset, Envelope.WORDS * WORD);
  const nameAt = Envelope.NAME * WORD;
  const address = clientAddress(sockaddrText(octets, nameAt));
  // Only a wildcard socket has control messages.
  const controlOctets = envelope[Envelope.CONTROL_OCTETS] as number;
  const local =
    controlOctets === 0
      ? socket.address
      : receivingAddress(octets, Envelope.CONTROL * WORD, controlOctets);
  const localAddress = local && clientAddress(local);
  const port = sockaddrPort(octets, nameAt);
  return { transport: 'udp', address, port, localAddress, localPort: socket.port };
}
