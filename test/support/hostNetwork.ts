/**
 * How the hosts of the tests are joined to the machine that runs them and to each other: one alone by a cable of its
 * own, several by a switch (a bridge in a namespace of its own) into which the test is plugged as well.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { endCleaner, environment, startCleaner } from './hostCleaner.ts';

export interface HostNetwork {
  /** The host's own addresses, on its `eth0`. */
  readonly address: string;
  readonly address6: string;
  /** The test's address on the same network, and the host's default route. */
  readonly gateway: string;
}

/** Makes the namespace of this name, with `lo` and `eth0`. */
export type Connection = (name: string) => HostNetwork;

export interface Lan {
  /** Where the host of this number (2 to 250) is, always the same. */
  addressOf(number: number): string;
  /** Plugs a host in. */
  connection(number: number): Connection;
  /** Pulls the host's cable, and puts it back. */
  cut(number: number): void;
  mend(number: number): void;
  /** Removes the switch, and so all cables. */
  stop(): Promise<void>;
}

const NETWORK = '10.213';
const NETWORK6 = 'fd53:6f72';
const HOSTS_OF_LAN = 256;
const HOSTS_OF_CABLE = 4;

/** One host, by a cable to the test; the link here gets the host's name. */
export const byCable: Connection = (name) => {
  const block = freeBlock(HOSTS_OF_CABLE);
  const [address, gateway] = [addressIn(block, 2), addressIn(block, 1)];
  const prefix6 = `${NETWORK6}:${block.toString(16)}::`;
  ip('netns', 'add', name);
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  setUp([], name, [`${gateway}/30`, `${prefix6}1/64`]);
  setUp(['-netns', name], 'lo', []);
  setUp(['-netns', name], 'eth0', [`${address}/30`, `${prefix6}2/64`]);
  ip('-netns', name, 'route', 'add', 'default', 'via', gateway);
  return { address, address6: `${prefix6}2`, gateway };
};

/** An empty switch, and the test at its first port. */
export function startLan(): Lan {
  const name = `soral${randomBytes(3).toString('hex')}`;
  const cleaner = startCleaner(name, mkdtempSync(join(tmpdir(), 'soradns-lan-')));
  const block = freeBlock(HOSTS_OF_LAN);
  const prefix6 = `${NETWORK6}:${block.toString(16)}::`;
  const [own, own6] = [addressIn(block, 1), `${prefix6}1`];
  ip('netns', 'add', name);
  ip('-netns', name, 'link', 'add', 'switch', 'type', 'bridge');
  setUp(['-netns', name], 'switch', []);
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'port1', 'netns', name);
  plug(name, 1);
  setUp([], name, [`${own}/24`, `${own6}/64`]);
  const connection = (number: number): Connection => {
    const [address, address6] = [addressIn(block, number), `${prefix6}${number.toString(16)}`];
    return (host) => {
      ip('netns', 'add', host);
      const port = ['name', `port${number}`, 'netns', name];
      // As a machine's, its hardware address is the same after a restart.
      const hardware = `02:00:5e:00:53:${number.toString(16).padStart(2, '0')}`;
      const end = ['-netns', host, 'link', 'add', 'eth0', 'address', hardware];
      ip(...end, 'type', 'veth', 'peer', ...port);
      plug(name, number);
      setUp(['-netns', host], 'lo', []);
      setUp(['-netns', host], 'eth0', [`${address}/24`, `${address6}/64`]);
      ip('-netns', host, 'route', 'add', 'default', 'via', own);
      return { address, address6, gateway: own };
    };
  };
  const set = (number: number, state: 'up' | 'down'): void =>
    ip('-netns', name, 'link', 'set', `port${number}`, state);
  return {
    addressOf: (number) => addressIn(block, number),
    connection,
    cut: (number) => set(number, 'down'),
    mend: (number) => set(number, 'up'),
    stop: async () => void (await endCleaner(cleaner)),
  };
}

function plug(lan: string, number: number): void {
  ip('-netns', lan, 'link', 'set', `port${number}`, 'master', 'switch', 'up');
}

/** IPv6 where the kernel has it: tests that need it look for themselves. */
function setUp(where: readonly string[], link: string, addresses: readonly string[]): void {
  for (const address of addresses) {
    const isIpv6 = address.includes(':');
    try {
      ip(...where, 'address', 'add', address, 'dev', link, ...(isIpv6 ? ['nodad'] : []));
    } catch (error) {
      if (!isIpv6) throw error;
    }
  }
  ip(...where, 'link', 'set', link, 'up');
}

/** So many addresses of the network, as the last 16 bits of the first: none of them this machine's. */
function freeBlock(size: number): number {
  const taken = Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
  for (;;) {
    const block = randomInt((1 << 16) / size) * size;
    const addresses = Array.from({ length: size }, (_, number) => addressIn(block, number));
    if (!addresses.some((address) => taken.includes(address))) return block;
  }
}

function addressIn(block: number, number: number): string {
  return `${NETWORK}.${block >> 8}.${(block & 255) + number}`;
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { env: environment(), stdio: ['ignore', 'ignore', 'pipe'] });
}
