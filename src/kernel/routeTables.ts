/**
 * Reads the routes that Linux shows to every user as text: /proc/net/route has IPv4's main table, /proc/net/fib_trie
 * all tables of IPv4 but no devices, and /proc/net/ipv6_route all tables of IPv6 without their numbers. Lines of other
 * forms are left out. Pure.
 */
import { addressFamily, printAddress } from '../dns/address.ts';

export interface HostRoute {
  /** The network's first address. */
  readonly address: string;
  readonly prefixLength: number;
  /** Undefined where the text has none. */
  readonly device: string | undefined;
  readonly hasGateway: boolean;
  /** The kernel drops or rejects packets to the network. */
  readonly isRefused: boolean;
  /** Of routes to one network the kernel takes that with the least metric. */
  readonly metric: number;
  /** An IPv4 table besides main, which rules select (ip-rule(8)). */
  readonly table?: number;
}

/** /proc/net/route shows a route that drops or rejects packets with this device. */
const NO_DEVICE = '*';
const NO_GATEWAY = '00000000';

/** The routes in /proc/net/route. Columns: device, network, gateway, flags, ..., metric, mask. */
export function parseMainRoutes(text: string): readonly HostRoute[] {
  return text.split('\n').flatMap((line) => {
    const [device = '', network = '', gateway = '', , , , metric, mask = ''] = line
      .trim()
      .split(/\s+/);
    const address = ipv4Of(network);
    const prefixLength = prefixLengthOf(mask);
    if (address === undefined || prefixLength === undefined) return [];
    const isRefused = device === NO_DEVICE;
    const by = { device: isRefused ? undefined : device, hasGateway: gateway !== NO_GATEWAY };
    return [{ address, prefixLength, ...by, isRefused, metric: Number(metric) }];
  });
}

const HEX_WORD = /^[0-9A-F]{8}$/;

/** A number in the machine's byte order; Node's Linux machines are little-endian. */
function ipv4Of(hex: string): string | undefined {
  return HEX_WORD.test(hex) ? printAddress(Buffer.from(hex, 'hex').reverse()) : undefined;
}

function prefixLengthOf(hex: string): number | undefined {
  if (!HEX_WORD.test(hex)) return undefined;
  const bits = Buffer.from(hex, 'hex').readUInt32LE().toString(2).padStart(32, '0');
  return /^1*0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : undefined;
}

const REFUSING = ['BLACKHOLE', 'UNREACHABLE', 'PROHIBIT'];

/** The routes in /proc/net/fib_trie outside the tables main and local. */
export function parseOtherRoutes(text: string): readonly HostRoute[] {
  const routes: HostRoute[] = [];
  let table: number | undefined;
  let address: string | undefined;
  for (const line of text.split('\n')) {
    if (/^\S/.test(line)) {
      const [, id] = /^Id ([0-9]{1,10}):$/.exec(line) ?? [];
      table = id === undefined ? undefined : Number(id);
    }
    address = /^ *\|-- ([0-9.]{7,15})$/.exec(line)?.[1] ?? address;
    const [, length, type = ''] = /^ *\/([0-9]{1,2}) \w+ ([A-Z]+)/.exec(line) ?? [];
    if (table === undefined || address === undefined || length === undefined) continue;
    const isRefused = REFUSING.includes(type);
    const prefixLength = Number(length);
    if (addressFamily(address) !== 4 || prefixLength > 32) continue;
    if (!isRefused && type !== 'UNICAST') continue;
    const unknown = { device: undefined, hasGateway: false, metric: 0 };
    routes.push({ address, prefixLength, isRefused, table, ...unknown });
  }
  return routes;
}

const IPV6_ROUTE =
  /^([0-9a-f]{32}) ([0-9a-f]{2}) [0-9a-f]{32} [0-9a-f]{2} ([0-9a-f]{32}) ([0-9a-f]{8}) (?:[0-9a-f]{8} ){2}([0-9a-f]{8}) +(\S+)$/;
/** linux/ipv6_route.h */
const RTF_REJECT = 0x0200;
const RTF_ANYCAST = 0x0010_0000;
const RTF_LOCAL = 0x8000_0000;

/** The routes in /proc/net/ipv6_route, without those to this host's own addresses. */
export function parseIpv6Routes(text: string): readonly HostRoute[] {
  return text.split('\n').flatMap((line) => {
    const [, network = '', length = '', gateway = '', metric = '', hexFlags = '', device] =
      IPV6_ROUTE.exec(line) ?? [];
    const flags = Number.parseInt(hexFlags, 16);
    const prefixLength = Number.parseInt(length, 16);
    if (device === undefined || prefixLength > 128) return [];
    if ((flags & (RTF_LOCAL | RTF_ANYCAST)) !== 0) return [];
    return [
      {
        address: printAddress(Buffer.from(network, 'hex')),
        prefixLength,
        device,
        hasGateway: /[1-9a-f]/.test(gateway),
        isRefused: (flags & RTF_REJECT) !== 0,
        metric: Number.parseInt(metric, 16),
      },
    ];
  });
}
