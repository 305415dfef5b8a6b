/**
 * The seam between transports and meaning: one function from a packet to the octets of its answer, called by every
 * transport (UDP, TCP, later DoT and DoH) and served by `server/responder.ts`.
 */
export interface Client {
  readonly transport: 'udp' | 'tcp';
  /** Without a zone index; IPv4-mapped IPv6 addresses as plain IPv4. */
  readonly address: string;
  readonly port: number;
}

/**
 * Answers a packet. Calls `send` at most once, at once or later, with a complete message (no TCP length prefix); not at
 * all when the packet deserves no reply. Never throws. The packet's buffer may be reused after the call returns; the
 * reply belongs to the transport, which may read it later.
 */
export type Respond = (
  packet: Uint8Array,
  client: Client,
  send: (reply: Uint8Array) => void,
) => void;
