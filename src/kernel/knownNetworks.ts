/** The addresses of this host, and the networks that it is in or has routes to. Needs no rights. */
import { readFile } from 'node:fs/promises';
import { printAddress } from '../dns/address.ts';
import { hostInterfaces } from './interfaces.ts';
import { type NetlinkMessage, readAttributes } from './netlinkMessage.ts';
import { NETLINK_ROUTE, type NetlinkDump, openNetlink } from './netlinkSocket.ts';
import {
  type HostRoute,
  parseIpv6Routes,
  parseMainRoutes,
  parseOtherRoutes,
} from './routeTables.ts';

const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
/** struct ifaddrmsg. */
const HEADER_OCTETS = 8;
const ADDRESS = 1;
/** On point-to-point links the own address; `ADDRESS` is then the peer's. */
const LOCAL = 2;

export interface KnownNetworks {
  readonly interfaces: readonly InterfaceAddress[];
  readonly routes: readonly HostRoute[];
}

/** An address of this host with the network around it. */
export interface InterfaceAddress {
  readonly device: string;
  readonly address: string;
  readonly prefixLength: number;
}

/** Reads what is there: other systems than Linux have only interfaces. Never rejects. */
export async function readKnownNetworks(read = readOrNothing): Promise<KnownNetworks> {
  const names = ['route', 'fib_trie', 'ipv6_route'];
  const reading = Promise.all(names.map((name) => read(`/proc/net/${name}`)));
  const [route = '', trie = '', ipv6Route = ''] = await reading;
  return {
    interfaces: Object.entries(hostInterfaces()).flatMap(([device, addresses = []]) =>
      addresses.flatMap(({ address, cidr }) => {
        const prefixLength = Number(cidr?.split('/')[1] ?? Number.NaN);
        return Number.isNaN(prefixLength) ? [] : [{ device, address, prefixLength }];
      }),
    ),
    routes: [...parseMainRoutes(route), ...parseOtherRoutes(trie), ...parseIpv6Routes(ipv6Route)],
  };
}

function readOrNothing(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/** The addresses of this host, also those on interfaces that are down, which Node leaves out (rtnetlink(7)). */
export function listHostAddresses(): NetlinkDump<string> {
  const opened = openNetlink(NETLINK_ROUTE);
  if (opened.kind === 'missing') return { kind: 'failed', code: opened.reason };
  const { socket } = opened;
  try {
    return socket.dump<string>(RTM_GETADDR, new Uint8Array(HEADER_OCTETS), (message, addresses) => {
      const address = decodeHostAddress(message);
      if (address !== undefined) addresses.push(address);
    });
  } finally {
    socket.close();
  }
}

export function decodeHostAddress({ type, payload }: NetlinkMessage): string | undefined {
  if (type !== RTM_NEWADDR) return undefined;
  const values = readAttributes(payload.subarray(HEADER_OCTETS));
  const octets = values.get(LOCAL) ?? values.get(ADDRESS);
  return octets?.length === 4 || octets?.length === 16 ? printAddress(octets) : undefined;
}
