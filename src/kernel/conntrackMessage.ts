/**
 * Entries of the kernel's connection tracking as messages of ctnetlink (linux/netfilter/nfnetlink_conntrack.h): TCP and
 * UDP flows with both of their tuples. Other entries and damaged messages decode to nothing. Pure.
 */
import { addressOctets, printAddress } from '../dns/address.ts';
import {
  attribute,
  joined,
  type NetlinkMessage,
  nested,
  netfilterAttributes,
  netfilterFamily,
  netfilterHeader,
  netfilterType,
  networkShort,
  numberIn,
  octet,
  readAttributes,
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
  /** What the kernel needs, besides the original tuple, to find the same entry again. */
  readonly identity: readonly Uint8Array[];
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
  identity,
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
  return joined([netfilterHeader(family), tuple, ...identity]);
}

function addressAttribute(type4: number, type6: number, address: string | undefined): Uint8Array[] {
  if (address === undefined) return [];
  const octets = addressOctets(address);
  return [attribute(octets.length === 4 ? type4 : type6, octets)];
}

/** The flow in an entry of a dump, if it matches the filter. */
export function decodeFlow(message: NetlinkMessage, filter: FlowFilter): TrackedFlow | undefined {
  const family = netfilterFamily(message);
  if (family === undefined) return undefined;
  const values = netfilterAttributes(message);
  const original = readTuple(values.get(Cta.ORIGINAL));
  if (original === undefined || !matches({ family, ...original }, filter)) return undefined;
  const reply = readTuple(values.get(Cta.REPLY));
  if (reply === undefined) return undefined;
  const { protocol } = original;
  return {
    family,
    protocol,
    original: original.tuple,
    reply: reply.tuple,
    tcpState: protocol === 'tcp' ? readTcpState(values.get(Cta.PROTOCOL_INFO)) : undefined,
    identity: [Cta.ID, Cta.ZONE].flatMap((type) => {
      const value = values.get(type);
      return value === undefined ? [] : [attribute(type, value.slice())];
    }),
  };
}

interface ReadTuple {
  readonly protocol: 'tcp' | 'udp';
  readonly tuple: FlowTuple;
}

function matches({ family, protocol, tuple }: ReadTuple & { family: 4 | 6 }, filter: FlowFilter) {
  return (
    family === filter.family &&
    protocol === (filter.port?.protocol ?? protocol) &&
    tuple.source === (filter.source ?? tuple.source) &&
    tuple.destination === (filter.destination ?? tuple.destination) &&
    tuple.destinationPort === (filter.port?.number ?? tuple.destinationPort)
  );
}

function readTuple(octets: Uint8Array | undefined): ReadTuple | undefined {
  if (octets === undefined) return undefined;
  const parts = readAttributes(octets);
  const transport = readAttributes(parts.get(Tuple.PROTOCOL) ?? new Uint8Array());
  const protocol = protocolOf(numberIn(transport.get(Protocol.NUMBER)));
  const ip = readAttributes(parts.get(Tuple.IP) ?? new Uint8Array());
  const source = readAddress(ip.get(Ip.SOURCE4) ?? ip.get(Ip.SOURCE6));
  const destination = readAddress(ip.get(Ip.DESTINATION4) ?? ip.get(Ip.DESTINATION6));
  const sourcePort = numberIn(transport.get(Protocol.SOURCE_PORT));
  const destinationPort = numberIn(transport.get(Protocol.DESTINATION_PORT));
  if (protocol === undefined || source === undefined || destination === undefined) return undefined;
  if (sourcePort === undefined || destinationPort === undefined) return undefined;
  return { protocol, tuple: { source, sourcePort, destination, destinationPort } };
}

function protocolOf(number: number | undefined): 'tcp' | 'udp' | undefined {
  if (number === PROTOCOL_NUMBERS.tcp) return 'tcp';
  return number === PROTOCOL_NUMBERS.udp ? 'udp' : undefined;
}

function readAddress(octets: Uint8Array | undefined): string | undefined {
  return octets?.length === 4 || octets?.length === 16 ? printAddress(octets) : undefined;
}

const ProtocolInfo = { TCP: 1 } as const;
const TcpInfo = { STATE: 1 } as const;

function readTcpState(octets: Uint8Array | undefined): TcpState {
  const info = readAttributes(octets ?? new Uint8Array()).get(ProtocolInfo.TCP);
  const state = numberIn(readAttributes(info ?? new Uint8Array()).get(TcpInfo.STATE));
  return TCP_STATES[state ?? 0] ?? 'none';
}
