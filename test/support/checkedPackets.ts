/** Packets that prove that they are whole: every word is the packet's number, and the lengths differ. */
import { PACKET_OCTETS } from '../../src/dataplane/sockets/batch.ts';
import { Cmsg, Envelope, Sockaddr } from '../../src/dataplane/sockets/layout.ts';

const WORD = Int32Array.BYTES_PER_ELEMENT;
const CONTROL_AT = Sockaddr.ROOM;
const PACKET_AT = CONTROL_AT + Cmsg.SIZE;

/** The part of a `Batch` that a ring's writer reads, with one packet. */
export class PacketSource {
  readonly words: Int32Array;
  readonly socket: { readonly fd: number; readonly packetInfo: true };
  #octets = 0;

  constructor(fd: number) {
    this.words = new Int32Array((PACKET_AT + PACKET_OCTETS) / WORD);
    this.socket = { fd, packetInfo: true };
  }

  fill(number: number): void {
    this.#octets = lengthOf(number);
    this.words.fill(number, 0, (PACKET_AT + this.#octets) / WORD);
  }

  length(): number {
    return this.#octets;
  }
  nameAt(): number {
    return 0;
  }
  controlAt(): number {
    return CONTROL_AT;
  }
  controlOctets(): number {
    return Cmsg.SIZE;
  }
  packetAt(): number {
    return PACKET_AT;
  }
}

function lengthOf(number: number): number {
  return 4 + 4 * ((number * 37) % (PACKET_OCTETS / 4));
}

/** The number of a packet that was taken out of a ring; throws if it is not whole. */
export function checkedNumber(words: Int32Array): number {
  const number = words[Envelope.NAME] as number;
  const length = words[Envelope.LENGTH] as number;
  if (length !== lengthOf(number)) throw new Error(`packet ${number} has ${length} octets`);
  const end = Envelope.WORDS + length / WORD;
  for (let at: number = Envelope.NAME; at < end; at++)
    if (words[at] !== number)
      throw new Error(`packet ${number} has a word of ${words[at]} at ${at}`);
  return number;
}
