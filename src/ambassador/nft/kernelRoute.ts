/**
 * Routes as elements of the table's maps and sets: as text for nft, and from the octets in which the kernel lists them.
 * Addresses are written anew from their octets, and ports and slots from numbers, so an element's text holds nothing
 * else. Pure.
 */
import {
  addressOctets,
  canonicalAddress,
  familyOfAddress,
  printAddress,
  type SocketAddress,
} from '../../dns/address.ts';
import type { BackendAccess, Match, Protocol } from '../route.ts';
import { mapName, SETS, SLOT_COUNTS } from './tableText.ts';

/** A match that the kernel can have. */
export type KernelMatch = Extract<Match, { kind: 'virtual' | 'consumer' }>;

export interface Slot extends SocketAddress {
  readonly access?: BackendAccess | undefined;
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

export function familyOfMatch(match: KernelMatch): 4 | 6 {
  return familyOfAddress(addressOfMatch(match));
}

/** Why the table cannot have the route; undefined if it can. */
export function obstacleTo({ match, slots }: KernelRoute): string | undefined {
  const { port, protocol } = match;
  const address = addressOfMatch(match);
  if (!isCanonical(address) || !isPort(port)) return 'its address or port is not valid';
  if (protocol !== 'tcp' && protocol !== 'udp') return 'its protocol is not valid';
  if (slots.length > 0 && !(SLOT_COUNTS as readonly number[]).includes(slots.length))
    return `${slots.length} is no number of slots`;
  const family = familyOfMatch(match);
  const wrong = slots.find(
    (slot) =>
      !isCanonical(slot.address) || !isPort(slot.port) || familyOfAddress(slot.address) !== family,
  );
  return wrong && 'a backend has no address of its family, or no port';
}

/** Equal addresses have equal texts, so that flows and elements can be compared with them. */
function isCanonical(address: unknown): boolean {
  return typeof address === 'string' && canonicalAddress(address)?.address === address;
}

function isPort(port: unknown): boolean {
  return Number.isInteger(port) && (port as number) >= 1 && (port as number) <= 65_535;
}

/** Throws RangeError for text that is no address. */
function addressText(address: string): string {
  return printAddress(addressOctets(address));
}

function portText(port: number): string {
  if (!isPort(port)) throw new RangeError(`no port is ${port}`);
  return `${port}`;
}

/** `198.18.0.1 . tcp . 80`. */
function endText(address: string, protocol: Protocol, port: number): string {
  return `${addressText(address)} . ${protocol === 'udp' ? 'udp' : 'tcp'} . ${portText(port)}`;
}

/** The elements of a table: `SET\tKEY` and the data, which are empty for sets. */
export type TableElements = Map<string, string>;

export function elementId(set: string, key: string): string {
  return `${set}\t${key}`;
}

/** The elements that only this route has. */
export function ownElements({ match, slots }: KernelRoute): TableElements {
  const elements: TableElements = new Map();
  const end = endText(addressOfMatch(match), match.protocol, match.port);
  if (match.kind === 'consumer') elements.set(elementId(SETS.links, end), '');
  const map = mapName(match.kind, slots.length);
  slots.forEach(({ address, port }, i) => {
    elements.set(elementId(map, `${end} . ${i}`), `${addressText(address)} . ${portText(port)}`);
  });
  return elements;
}

/** The elements that other routes may have too. */
export function sharedElements({ match, slots }: KernelRoute): ReadonlySet<string> {
  const elements = new Set<string>();
  for (const { address, port, access } of slots) {
    const text = addressText(address);
    elements.add(elementId(SETS.selves, `${text} . ${text}`));
    if (access !== undefined)
      elements.add(elementId(SETS[access], endText(address, match.protocol, port)));
  }
  return elements;
}

const PROTOCOLS: ReadonlyMap<number, Protocol> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
]);

/** An element as text. */
export interface ElementText {
  readonly key: string;
  readonly data: string;
}

/**
 * `undefined` for octets of another form. The kernel pads each part to 4 octets; the slot is a number of this machine,
 * the ports are in network order.
 */
export function decodeElement(
  set: string,
  family: 4 | 6,
  key: Uint8Array,
  data: Uint8Array | undefined,
): ElementText | undefined {
  const octets = family === 4 ? 4 : 16;
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const address = (from: Uint8Array, at = 0) => printAddress(from.subarray(at, at + octets));
  if (set === SETS.selves)
    return key.length === 2 * octets
      ? { key: `${address(key)} . ${address(key, octets)}`, data: '' }
      : undefined;
  const isMap = ![SETS.links, SETS.private, SETS.published].some((name) => name === set);
  if (key.length !== octets + (isMap ? 12 : 8)) return undefined;
  const protocol = PROTOCOLS.get(view.getUint8(octets));
  if (protocol === undefined) return undefined;
  const end = `${address(key)} . ${protocol} . ${view.getUint16(octets + 4)}`;
  if (!isMap) return { key: end, data: '' };
  if (data?.length !== octets + 4) return undefined;
  const port = new DataView(data.buffer, data.byteOffset).getUint16(octets);
  const slot = view.getUint32(octets + 8, true);
  return { key: `${end} . ${slot}`, data: `${address(data)} . ${port}` };
}

/** The access to the backend that the elements of a table allow. */
export function accessIn(
  elements: TableElements,
  protocol: Protocol,
  { address, port }: SocketAddress,
): BackendAccess | undefined {
  const end = endText(address, protocol, port);
  return (['published', 'private'] as const).find((set) => elements.has(elementId(SETS[set], end)));
}

/** A slot of a route, from the id and the data of its element; undefined for elements of sets. */
export function slotInElement(
  id: string,
  data: string,
):
  | { readonly match: KernelMatch; readonly slot: number; readonly backend: SocketAddress }
  | undefined {
  const [set = '', key = ''] = id.split('\t');
  const [address = '', protocol, port, slot] = key.split(' . ');
  const [to = '', toPort] = data.split(' . ');
  if (toPort === undefined) return undefined;
  const end = { port: Number(port), protocol: protocol === 'udp' ? 'udp' : 'tcp' } as const;
  const match: KernelMatch = set.startsWith('virtual')
    ? { kind: 'virtual', address, ...end }
    : { kind: 'consumer', source: address, ...end };
  return { match, slot: Number(slot), backend: { address: to, port: Number(toPort) } };
}
