/**
 * Connects the tests' hosts to the machine that runs them and to each other: a single host by its own cable (a veth
 * pair), several hosts and the test by a switch (a bridge in its own namespace).
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { endCleaner, environment, startCleaner } from './hostCleaner.ts';
import { MEMORY } from './tempDir.ts';

export interface HostNetwork {
  /** The host's own addresses, on its `eth0`. */
  readonly address: string;
  readonly address6: string;
  /** The test's address on the same network, and the host's default route. */
  readonly gateway: string;
}

/** Creates the namespace with `lo` and `eth0`. */
export type Connection = (name: string) => HostNetwork;

export interface Lan {
  /** Folder for the hosts' data, in memory if possible; it is removed with the switch. */
  readonly folder: string;
  /** The fixed address of host `number` (2 to 30). */
  addressOf(number: number): string;
  /** Connects a host. */
  connection(number: number): Connection;
  /** Takes the host's link down, and up again. */
  disconnect(number: number): void;
  reconnect(number: number): void;
  /** Removes the switch and all links. */
  stop(): Promise<void>;
}

const CABLES = '10.213';
const CABLES6 = 'fd53:6f72';
const HOSTS_OF_CABLE = 4;
const LANS = '10.214';
const LANS6 = 'fd53:6f73';
const HOSTS_OF_LAN = 32;
const LAN_PREFIX = 27;

/** Connects one host to the test; the link on this side gets the host's name. */
export const byCable: Connection = (name) => {
  const block = freeBlock(CABLES, HOSTS_OF_CABLE);
  const [address, gateway] = [addressIn(CABLES, block, 2), addressIn(CABLES, block, 1)];
  const prefix6 = `${CABLES6}:${hex(block)}::`;
  ip('netns', 'add', name);
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  setUp([], name, [`${gateway}/30`, `${prefix6}1/64`]);
  setUp(['-netns', name], 'lo', []);
  setUp(['-netns', name], 'eth0', [`${address}/30`, `${prefix6}2/64`]);
  ip('-netns', name, 'route', 'add', 'default', 'via', gateway);
  return { address, address6: `${prefix6}2`, gateway };
};

/** Starts a switch with the test at its first port. */
export function startLan(): Lan {
  return new SwitchedLan();
}

class SwitchedLan implements Lan {
  readonly folder: string;
  readonly #name = `soral${randomBytes(3).toString('hex')}`;
  readonly #block = freeBlock(LANS, HOSTS_OF_LAN);
  readonly #cleaner: ChildProcess;

  constructor() {
    const name = this.#name;
    this.folder = mkdtempSync(join(MEMORY, 'soradns-lan-'));
    this.#cleaner = startCleaner(name, this.folder);
    ip('netns', 'add', name);
    ip('-netns', name, 'link', 'add', 'switch', 'type', 'bridge');
    setUp(['-netns', name], 'switch', []);
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'port1', 'netns', name);
    this.#plug(1);
    setUp([], name, this.#withPrefixes(1));
  }

  addressOf(number: number): string {
    return addressIn(LANS, this.#block, number);
  }

  connection(number: number): Connection {
    return (host) => {
      const gateway = this.addressOf(1);
      // As on a machine, the hardware address is the same after a restart.
      const end = ['eth0', 'address', `02:00:5e:00:53:${hex(number).padStart(2, '0')}`];
      const port = ['name', `port${number}`, 'netns', this.#name];
      this.#unplug(number);
      ip('netns', 'add', host);
      ip('-netns', host, 'link', 'add', ...end, 'type', 'veth', 'peer', ...port);
      this.#plug(number);
      setUp(['-netns', host], 'lo', []);
      setUp(['-netns', host], 'eth0', this.#withPrefixes(number));
      ip('-netns', host, 'route', 'add', 'default', 'via', gateway);
      return { address: this.addressOf(number), address6: this.#address6(number), gateway };
    };
  }

  disconnect(number: number): void {
    ip('-netns', this.#name, 'link', 'set', `port${number}`, 'down');
  }

  reconnect(number: number): void {
    ip('-netns', this.#name, 'link', 'set', `port${number}`, 'up');
  }

  async stop(): Promise<void> {
    if ((await endCleaner(this.#cleaner)) !== 0) {
      throw new Error(`${this.folder} could not be removed`);
    }
  }

  /** Removes the port's old link, because the kernel removes links of a deleted namespace with a delay. */
  #unplug(number: number): void {
    try {
      ip('-netns', this.#name, 'link', 'del', `port${number}`);
    } catch {
      // The port had no link.
    }
  }

  #plug(number: number): void {
    ip('-netns', this.#name, 'link', 'set', `port${number}`, 'master', 'switch', 'up');
  }

  #address6(number: number): string {
    return `${LANS6}:${hex(this.#block)}::${hex(number)}`;
  }

  #withPrefixes(number: number): string[] {
    return [`${this.addressOf(number)}/${LAN_PREFIX}`, `${this.#address6(number)}/64`];
  }
}

/** Adds the addresses and sets the link up. IPv6 may be missing; tests that need it check for it. */
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

/** Returns a block of `size` free addresses in the /16, as the last 16 bits of the first one. */
function freeBlock(network: string, size: number): number {
  const taken = Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
  for (;;) {
    const block = randomInt((1 << 16) / size) * size;
    const addresses = Array.from({ length: size }, (_, at) => addressIn(network, block, at));
    if (!addresses.some((address) => taken.includes(address))) return block;
  }
}

function addressIn(network: string, block: number, number: number): string {
  return `${network}.${block >> 8}.${(block & 255) + number}`;
}

function hex(number: number): string {
  return number.toString(16);
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { env: environment(), stdio: ['ignore', 'ignore', 'pipe'] });
}
