/** The networks that this host is in or has routes to, also those of interfaces that are down. Needs no rights. */
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import {
  type HostRoute,
  parseIpv6Routes,
  parseMainRoutes,
  parseOtherRoutes,
} from './routeTables.ts';

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
    interfaces: Object.entries(networkInterfaces()).flatMap(([device, addresses = []]) =>
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
