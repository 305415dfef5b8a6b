/**
 * Entries of the kernel's connection tracking as messages of ctnetlink (linux/netfilter/nfnetlink_conntrack.h): TCP and
 * UDP flows with both of their tuples. Other entries and damaged messages decode to nothing. Pure.
 */
import { addressOctets, printAddress } from '../dns/address.ts';
import {
  attribute,
  findAttribute,
  joined,
  NETFILTER_HEADER_OCTETS,
  type NetlinkMessage,
  nested,
  netfilterFamily,
  netfilterHeader,
  netfilterType,
  networkLong,
  networkShort,
  octet,
} from './netlinkMessage.ts';

/** The addresses and ports of one direction of a flow. */
export interface FlowTuple {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

/** A tracked TCP connection, or UDP datagrams between two sockets. */
export interface TrackedFlow {
  readonly family: 4 | 6;
  readonly protocol: 'tcp' | 'udp';
  /** As the client sends. */
  readonly original: FlowTuple;
  /** As the server answers: its source is where the destination was translated to. */
  readonly reply: FlowTuple;
  /** Undefined for UDP. */
  readonly tcpState: TcpState | undefined;
  /** The entry's number. Entries that follow each other may have the same. */
  readonly id: number | undefined;
  /** The conntrack zone; undefined for the usual one. */
  readonly zone: number | undefined;
}

/** In the order of the kernel's numbers (linux/netfilter/nf_conntrack_tcp.h). */
const TCP_STATES = [
  'none',
  'synSent',
  'synReceived',
  'established',
  'finWait',
  'closeWait',
  'lastAck',
  'timeWait',
  'close',
  'synSentTwice',
] as const;
export type TcpState = (typeof TCP_STATES)[number];

/** Flows by their original tuple. What is undefined may be anything. */
export interface FlowFilter {
  readonly family: 4 | 6;
  readonly port?: DestinationPort | undefined;
  readonly source?: string | undefined;
  readonly destination?: string | undefined;
}

export interface DestinationPort {
  readonly protocol: 'tcp' | 'udp';
  readonly number: number;
}

const SUBSYSTEM = 1;
export const FLOW_GET: number = netfilterType(SUBSYSTEM, 1);
export const FLOW_DELETE: number = netfilterType(SUBSYSTEM, 2);

const Cta = { ORIGINAL: 1, REPLY: 2, PROTOCOL_INFO: 4, ID: 12, ZONE: 18, FILTER: 25 } as const;
const Tuple = { IP: 1, PROTOCOL: 2 } as const;
const Ip = { SOURCE4: 1, DESTINATION4: 2, SOURCE6: 3, DESTINATION6: 4 } as const;
const Protocol = { NUMBER: 1, SOURCE_PORT: 2, DESTINATION_PORT: 3 } as const;
const Filter = { ORIGINAL_FLAGS: 1 } as const;
const FilterFlag = {
  SOURCE: 1 << 0,
  DESTINATION: 1 << 1,
  PROTOCOL: 1 << 3,
  DESTINATION_PORT: 1 << 5,
} as const;

const PROTOCOL_NUMBERS = { tcp: 6, udp: 17 } as const;

/**
 * The request to list flows. The reader of the dump checks the filter again: kernels before 5.8 ignore all of it but the
 * family, and later ones (6.18 still does) list exactly the flows with other IPv6 addresses than the filter's, so those
 * addresses are left out here.
 */
export function encodeFlowFilter(filter: FlowFilter): Uint8Array {
  const { family, port } = filter;
  const [source, destination] = family === 4 ? [filter.source, filter.destination] : [];
  const flags =
    (source === undefined ? 0 : FilterFlag.SOURCE) |
    (destination === undefined ? 0 : FilterFlag.DESTINATION) |
    (port === undefined ? 0 : FilterFlag.PROTOCOL | FilterFlag.DESTINATION_PORT);
  if (flags === 0) return netfilterHeader(family);
  const ip = [
    ...addressAttribute(Ip.SOURCE4, Ip.SOURCE6, source),
    ...addressAttribute(Ip.DESTINATION4, Ip.DESTINATION6, destination),
  ];
  const transport =
    port === undefined
      ? []
      : [
          attribute(Protocol.NUMBER, octet(PROTOCOL_NUMBERS[port.protocol])),
          attribute(Protocol.DESTINATION_PORT, networkShort(port.number)),
        ];
  const original = nested(Cta.ORIGINAL, [
    ...(ip.length === 0 ? [] : [nested(Tuple.IP, ip)]),
    ...(transport.length === 0 ? [] : [nested(Tuple.PROTOCOL, transport)]),
  ]);
  // These flags, unlike other numbers of netfilter, are in the byte order of the machine.
  const originalFlags = attribute(Filter.ORIGINAL_FLAGS, Uint8Array.of(flags, 0, 0, 0));
  return joined([netfilterHeader(family), original, nested(Cta.FILTER, [originalFlags])]);
}

/** The request to delete the flow. The kernel refuses it (ENOENT) if the entry with its tuple has another id. */
export function encodeFlowDeletion({
  family,
  protocol,
  original,
  id,
  zone,
}: TrackedFlow): Uint8Array {
  const tuple = nested(Cta.ORIGINAL, [
    nested(Tuple.IP, [
      ...addressAttribute(Ip.SOURCE4, Ip.SOURCE6, original.source),
      ...addressAttribute(Ip.DESTINATION4, Ip.DESTINATION6, original.destination),
    ]),
    nested(Tuple.PROTOCOL, [
      attribute(Protocol.NUMBER, octet(PROTOCOL_NUMBERS[protocol])),
      attribute(Protocol.SOURCE_PORT, networkShort(original.sourcePort)),
      attribute(Protocol.DESTINATION_PORT, networkShort(original.destinationPort)),
    ]),
  ]);
  const identity = [
    ...(id === undefined ? [] : [attribute(Cta.ID, networkLong(id))]),
    ...(zone === undefined ? [] : [attribute(Cta.ZONE, networkShort(zone))]),
  ];
  return joined([netfilterHeader(family), tuple, ...identity]);
}

function addressAttribute(type4: number, type6: number, address: string | undefined): Uint8Array[] {
  if (address === undefined) return [];
  const octets = addressOctets(address);
  return [attribute(octets.length === 4 ? type4 : type6, octets)];
}

/** The flow in an entry of a dump, if it matches the filter. A list may have a hundred thousand of them. */
export function decodeFlow(message: NetlinkMessage, filter: FlowFilter): TrackedFlow | undefined {
  const family = netfilterFamily(message);
  if (family === undefined || family !== filter.family) return undefined;
  const { payload } = message;
  const original = readTuple(payload, Cta.ORIGINAL, family);
  if (original === undefined || !matches(original, filter)) return undefined;
  const reply = readTuple(payload, Cta.REPLY, family);
  if (reply === undefined) return undefined;
  const { protocol } = original;
  return {
    family,
    protocol,
    original: original.tuple,
    reply: reply.tuple,
    tcpState: protocol === 'tcp' ? readTcpState(payload) : undefined,
    id: readNumber(payload, NETFILTER_HEADER_OCTETS, payload.length, Cta.ID, 4),
    zone: readNumber(payload, NETFILTER_HEADER_OCTETS, payload.length, Cta.ZONE, 2),
  };
}

interface ReadTuple {
  readonly protocol: 'tcp' | 'udp';
  readonly tuple: FlowTuple;
}

function matches(
  { protocol, tuple }: ReadTuple,
  { port, source, destination }: FlowFilter,
): boolean {
  return (
    (port === undefined || (protocol === port.protocol && tuple.destinationPort === port.number)) &&
    (source === undefined || tuple.source === source) &&
    (destination === undefined || tuple.destination === destination)
  );
}

function readTuple(octets: Uint8Array, type: number, family: 4 | 6): ReadTuple | undefined {
  const tuple = findAttribute(octets, NETFILTER_HEADER_OCTETS, octets.length, type);
  const { start, end } = tuple;
  if (end < 0) return undefined;
  const transport = findAttribute(octets, start, end, Tuple.PROTOCOL);
  if (transport.end < 0) return undefined;
  const { start: from, end: to } = transport;
  const protocol = PROTOCOL_NAMES.get(readNumber(octets, from, to, Protocol.NUMBER, 1) ?? 0);
  const sourcePort = readNumber(octets, from, to, Protocol.SOURCE_PORT, 2);
  const destinationPort = readNumber(octets, from, to, Protocol.DESTINATION_PORT, 2);
  if (protocol === undefined || sourcePort === undefined) return undefined;
  if (destinationPort === undefined) return undefined;
  const ip = findAttribute(octets, start, end, Tuple.IP);
  if (ip.end < 0) return undefined;
  const { start: ipFrom, end: ipTo } = ip;
  const [sourceType, destinationType] = IP_TYPES[family];
  const source = readAddress(octets, ipFrom, ipTo, sourceType, family);
  const destination = readAddress(octets, ipFrom, ipTo, destinationType, family);
  if (source === undefined || destination === undefined) return undefined;
  return { protocol, tuple: { source, sourcePort, destination, destinationPort } };
}

const PROTOCOL_NAMES: ReadonlyMap<number, 'tcp' | 'udp'> = new Map([
  [PROTOCOL_NUMBERS.tcp, 'tcp'],
  [PROTOCOL_NUMBERS.udp, 'udp'],
]);

const IP_TYPES = {
  4: [Ip.SOURCE4, Ip.DESTINATION4],
  6: [Ip.SOURCE6, Ip.DESTINATION6],
} as const;

/** The number in network order, if it has that length. */
function readNumber(
  octets: Uint8Array,
  from: number,
  to: number,
  type: number,
  length: 1 | 2 | 4,
): number | undefined {
  const { start, end } = findAttribute(octets, from, to, type);
  if (end - start !== length) return undefined;
  let number = 0;
  for (let at = start; at < end; at++) number = number * 256 + (octets[at] as number);
  return number;
}

function readAddress(
  octets: Uint8Array,
  from: number,
  to: number,
  type: number,
  family: 4 | 6,
): string | undefined {
  const { start, end } = findAttribute(octets, from, to, type);
  if (end < 0 || end - start !== (family === 4 ? 4 : 16)) return undefined;
  if (family === 6) return printAddress(octets.subarray(start, end));
  return `${octets[start]}.${octets[start + 1]}.${octets[start + 2]}.${octets[start + 3]}`;
}

const ProtocolInfo = { TCP: 1 } as const;
const TcpInfo = { STATE: 1 } as const;

function readTcpState(octets: Uint8Array): TcpState {
  const info = findAttribute(octets, NETFILTER_HEADER_OCTETS, octets.length, Cta.PROTOCOL_INFO);
  const tcp = info.end < 0 ? info : findAttribute(octets, info.start, info.end, ProtocolInfo.TCP);
  const { start, end } = tcp;
  const state = end < 0 ? 0 : readNumber(octets, start, end, TcpInfo.STATE, 1);
  return TCP_STATES[state ?? 0] ?? 'none';
}
