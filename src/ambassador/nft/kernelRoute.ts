/**
 * Routes as elements of the table's maps: as text for nft, and from the octets in which the kernel lists them. Addresses
 * are written anew from their octets, and ports and slots from numbers, so an element's text holds nothing else. Pure.
 */
import { addressOctets, printAddress, type SocketAddress } from '../../dns/address.ts';
import type { Match, Protocol } from '../route.ts';
import { mapName, SETS } from './tableText.ts';

/** A match that the kernel can have. */
export type KernelMatch = Extract<Match, { kind: 'virtual' | 'consumer' }>;

export interface Slot extends SocketAddress {
  /** Only the consumers of the backend's own network may reach it. */
  readonly isPrivate: boolean;
}

export interface KernelRoute {
  readonly match: KernelMatch;
  /** One of the table's numbers of slots; empty: the route has no backend, and its connections are refused. */
  readonly slots: readonly Slot[];
  /** How long connections to a backend that left go on; undefined: as long as the plane says. */
  readonly drainSeconds?: number | undefined;
}

/** The address that decides the family of the route, and of all its backends. */
export function addressOfMatch(match: KernelMatch): string {
  return match.kind === 'virtual' ? match.address : match.source;
}

export function familyOf(match: KernelMatch): 4 | 6 {
  return addressOfMatch(match).includes(':') ? 6 : 4;
}

/** Throws RangeError for text that is no address. */
export function addressText(address: string): string {
  return printAddress(addressOctets(address));
}

function portText(port: number): string {
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new RangeError(`no port is ${port}`);
  return `${port}`;
}

/** `198.18.0.1 . tcp . 80`. */
export function endText(address: string, protocol: Protocol, port: number): string {
  return `${addressText(address)} . ${protocol === 'udp' ? 'udp' : 'tcp'} . ${portText(port)}`;
}

export function matchText(match: KernelMatch): string {
  return endText(addressOfMatch(match), match.protocol, match.port);
}

export function slotText({ address, port }: SocketAddress): string {
  return `${addressText(address)} . ${portText(port)}`;
}

export function mapOf({ match, slots }: KernelRoute): string {
  return mapName(match.kind, slots.length);
}

/** An element of a map. */
export interface DecodedSlot {
  readonly match: KernelMatch;
  readonly slot: number;
  readonly backend: SocketAddress;
}

const PROTOCOLS: ReadonlyMap<number, Protocol> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
]);

/**
 * `undefined` for octets of another form. The kernel pads each part to 4 octets; the slot is a number of this machine,
 * the ports are in network order.
 */
export function decodeSlot(
  kind: KernelMatch['kind'],
  family: 4 | 6,
  key: Uint8Array,
  data: Uint8Array | undefined,
): DecodedSlot | undefined {
  const octets = family === 4 ? 4 : 16;
  if (key.length !== octets + 12 || data?.length !== octets + 4) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const protocol = PROTOCOLS.get(view.getUint8(octets));
  if (protocol === undefined) return undefined;
  const address = printAddress(key.subarray(0, octets));
  const port = view.getUint16(octets + 4);
  const to = new DataView(data.buffer, data.byteOffset, data.length);
  const match: KernelMatch =
    kind === 'virtual'
      ? { kind, address, port, protocol }
      : { kind, source: address, port, protocol };
  return {
    match,
    slot: view.getUint32(octets + 8, true),
    backend: { address: printAddress(data.subarray(0, octets)), port: to.getUint16(octets) },
  };
}

/** The text of a set's element, of networks only their addresses; empty for octets of another form. */
export function decodeSetElement(set: string, family: 4 | 6, key: Uint8Array): string {
  const octets = family === 4 ? 4 : 16;
  const address = (at: number) => printAddress(key.subarray(at, at + octets));
  switch (set) {
    case SETS.consumers:
    case SETS.local:
      return key.length === octets ? address(0) : '';
    case SETS.neighbours:
      return key.length === 2 * octets ? `${address(0)} . ${address(octets)}` : '';
    default: {
      const protocol = PROTOCOLS.get(key[octets] ?? 0);
      if (key.length !== octets + 8 || protocol === undefined) return '';
      const port = new DataView(key.buffer, key.byteOffset).getUint16(octets + 4);
      return `${address(0)} . ${protocol} . ${port}`;
    }
  }
}
