/**
 * The header with which a proxy tells a backend the client's address: the PROXY protocol, version 2, of HAProxy's
 * proxy-protocol.txt, section 2.2. Pure.
 */
import { addressOctets, clientAddress, type SocketAddress } from '../../../dns/address.ts';

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a] as const;
/** Version 2, command PROXY. */
const VERSION_AND_COMMAND = 0x21;
/** The address family in the upper half, the transport (1: stream) in the lower one. */
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;
const UNSPECIFIED = 0x00;

const HEADER_OCTETS = 16;

/** The two ends of a client's connection. */
export interface ConnectionEnds {
  readonly client: SocketAddress;
  /** The address and port that the client connected to. */
  readonly local: SocketAddress;
}

/** The header. A client without an address, as over a Unix socket, has no ends. */
export function encodeProxyHeader(ends: ConnectionEnds | undefined): Uint8Array {
  if (ends === undefined) return headerOf(UNSPECIFIED, 0);
  const client = addressOctets(clientAddress(ends.client.address));
  const local = addressOctets(clientAddress(ends.local.address));
  if (client.length !== local.length) return headerOf(UNSPECIFIED, 0);
  const header = headerOf(
    client.length === 4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6,
    2 * client.length + 4,
  );
  header.set(client, HEADER_OCTETS);
  header.set(local, HEADER_OCTETS + client.length);
  const ports = new DataView(header.buffer, HEADER_OCTETS + 2 * client.length);
  ports.setUint16(0, ends.client.port);
  ports.setUint16(2, ends.local.port);
  return header;
}

function headerOf(family: number, addressOctetCount: number): Uint8Array {
  const header = new Uint8Array(HEADER_OCTETS + addressOctetCount);
  header.set([...SIGNATURE, VERSION_AND_COMMAND, family]);
  new DataView(header.buffer).setUint16(14, addressOctetCount);
  return header;
}
