/**
 * What has to be kept of a packet to answer it later, from another thread: the socket, the sender, the address it was
 * sent to. As words, so that it travels in shared memory; the offsets are in words.
 */
import { Control, Sockaddr } from './layout.ts';

const WORD = Int32Array.BYTES_PER_ELEMENT;

export const Envelope = {
  /** The socket's descriptor. */
  FD: 0,
  /** Octets of the packet. */
  LENGTH: 1,
  /** Octets of control messages; 0 where the socket's own address is the one that was asked. */
  CONTROL_OCTETS: 2,
  /** struct sockaddr of the sender. */
  NAME: 3,
  NAME_WORDS: Sockaddr.ROOM / WORD,
  CONTROL: 3 + Sockaddr.ROOM / WORD,
  CONTROL_WORDS: Control.SIZE / WORD,
  WORDS: 3 + Sockaddr.ROOM / WORD + Control.SIZE / WORD,
} as const;

/** Copies words from one array to another: for a few dozen cheaper than `set`, which would need a view as garbage. */
export function copyWords(
  from: Int32Array,
  fromAt: number,
  to: Int32Array,
  toAt: number,
  words: number,
): void {
  for (let i = 0; i < words; i++) to[toAt + i] = from[fromAt + i] as number;
}
