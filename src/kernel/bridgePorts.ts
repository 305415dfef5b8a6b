/**
 * The ports of this host's bridges: behind which one an address is, and whether a port gets packets back that came from
 * it (rtnetlink(7), linux/if_bridge.h).
 */
import { printAddress } from '../dns/address.ts';
import {
  attribute,
  joined,
  type NetlinkMessage,
  nested,
  octet,
  readAttributes,
} from './netlinkMessage.ts';
import {
  NETLINK_ROUTE,
  type NetlinkDump,
  type NetlinkSocket,
  openNetlink,
} from './netlinkSocket.ts';

const RTM_SETLINK = 19;
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const FAMILIES = { 4: 2, 6: 10, bridge: 7 } as const;
/** struct ndmsg, and the attributes after it. */
const NEIGHBOUR_OCTETS = 12;
const DESTINATION = 1;
const HARDWARE = 2;
const MASTER = 9;
/** struct ifinfomsg, and the attributes after it. */
const LINK_OCTETS = 16;
const PROTOCOL_INFO = 12;
const PORT_HAIRPIN = 4;

/** An address behind an interface; a bridge is the interface of the addresses behind its ports. */
interface Neighbour {
  readonly index: number;
  /** Of addresses of a bridge's table: the bridge. */
  readonly master: number | undefined;
  readonly address: string | undefined;
  /** The hardware address in hexadecimal digits. */
  readonly hardware: string;
}

export interface BridgePorts {
  /** The port behind which each of the addresses was seen last, by address. */
  portsOf(addresses: ReadonlySet<string>): ReadonlyMap<string, number>;
  /** Has the bridge send packets back to the port that they came from. Returns whether the kernel has done it. */
  reflect(port: number): boolean;
  close(): void;
}

/** Undefined if the kernel cannot be asked. */
export function openBridgePorts(): BridgePorts | undefined {
  const opened = openNetlink(NETLINK_ROUTE);
  if (opened.kind === 'missing') return undefined;
  const { socket } = opened;
  return {
    portsOf: (addresses) => portsOf(socket, addresses),
    reflect: (port) => socket.request(RTM_SETLINK, hairpinRequest(port)).kind === 'done',
    close: () => socket.close(),
  };
}

function portsOf(
  socket: NetlinkSocket,
  addresses: ReadonlySet<string>,
): ReadonlyMap<string, number> {
  const known = [4, 6].flatMap((family) => entriesOf(list(socket, family as 4 | 6)));
  const ports = new Map<string, number>();
  for (const { master, hardware, index } of entriesOf(list(socket, 'bridge')))
    if (master !== undefined && master !== index) ports.set(`${master} ${hardware}`, index);
  const found = new Map<string, number>();
  for (const { address, hardware, index } of known) {
    const port = ports.get(`${index} ${hardware}`);
    if (address !== undefined && port !== undefined && addresses.has(address))
      found.set(address, port);
  }
  return found;
}

function list(socket: NetlinkSocket, family: keyof typeof FAMILIES): NetlinkDump<Neighbour> {
  const request = new Uint8Array(NEIGHBOUR_OCTETS);
  request[0] = FAMILIES[family];
  return socket.dump<Neighbour>(RTM_GETNEIGH, request, (message, neighbours) => {
    const neighbour = decodeNeighbour(message);
    if (neighbour !== undefined) neighbours.push(neighbour);
  });
}

function entriesOf<T>(listed: NetlinkDump<T>): readonly T[] {
  return listed.kind === 'complete' ? listed.entries : [];
}

export function decodeNeighbour({ type, payload }: NetlinkMessage): Neighbour | undefined {
  if (type !== RTM_NEWNEIGH || payload.length < NEIGHBOUR_OCTETS) return undefined;
  const values = readAttributes(payload.subarray(NEIGHBOUR_OCTETS));
  const hardware = values.get(HARDWARE);
  if (hardware === undefined) return undefined;
  const address = values.get(DESTINATION);
  return {
    index: numberAt(payload, 4),
    master: values.get(MASTER) && numberAt(values.get(MASTER) as Uint8Array, 0),
    address: address?.length === 4 || address?.length === 16 ? printAddress(address) : undefined,
    hardware: Buffer.from(hardware).toString('hex'),
  };
}

export function hairpinRequest(port: number): Uint8Array {
  const header = new Uint8Array(LINK_OCTETS);
  header[0] = FAMILIES.bridge;
  new DataView(header.buffer).setUint32(4, port, true);
  return joined([header, nested(PROTOCOL_INFO, [attribute(PORT_HAIRPIN, octet(1))])]);
}

function numberAt(octets: Uint8Array, at: number): number {
  return new DataView(octets.buffer, octets.byteOffset, octets.length).getUint32(at, true);
}
