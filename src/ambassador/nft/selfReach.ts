/**
 * Lets containers reach themselves through a route. Where a bridge passes packets on itself (br_netfilter) it translates
 * the packet, and then does not send it back to the port that it came from, unless the port is told so. Docker tells its
 * ports so only without its userland proxy.
 */
import { createSocket } from 'node:dgram';
import type { BridgePorts } from '../../kernel/bridgePorts.ts';

/** An address whose port is still unknown after so many looks may not be behind a bridge. */
const MAX_LOOKS = 50;
/** Any datagram has the kernel ask for the hardware address; the answer tells the bridge the port. */
const DISCARD_PORT = 9;

export class SelfReach {
  readonly #ports: BridgePorts;
  readonly #greet: (address: string) => void;
  #wanted: ReadonlySet<string> = new Set();
  /** Addresses whose port is not told yet, and the looks that are left. */
  readonly #pending = new Map<string, number>();

  constructor(ports: BridgePorts, greet: (address: string) => void = sendDatagram) {
    this.#ports = ports;
    this.#greet = greet;
  }

  /** The own addresses of this host's backends; those that are new may be a new container's. */
  want(addresses: readonly string[]): void {
    const wanted = new Set(addresses);
    for (const address of this.#pending.keys())
      if (!wanted.has(address)) this.#pending.delete(address);
    for (const address of wanted)
      if (!this.#wanted.has(address)) this.#pending.set(address, MAX_LOOKS);
    this.#wanted = wanted;
  }

  /** Call this from time to time. */
  look(): void {
    if (this.#pending.size === 0) return;
    const ports = this.#ports.portsOf(new Set(this.#pending.keys()));
    for (const [address, looks] of this.#pending) {
      const port = ports.get(address);
      if (looks === 0 || (port !== undefined && this.#ports.reflect(port)))
        this.#pending.delete(address);
      else {
        this.#pending.set(address, looks - 1);
        if (port === undefined) this.#greet(address);
      }
    }
  }
}

function sendDatagram(address: string): void {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  socket.unref();
  socket.send('', DISCARD_PORT, address, () => socket.close());
}
