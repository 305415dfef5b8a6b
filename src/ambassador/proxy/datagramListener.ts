/**
 * Takes datagrams at one address, or at all addresses of this host.
 *
 * Node neither tells to which address a datagram was sent nor lets a reply choose its source, and a client ignores a
 * reply from another address than it sent to. So each address of the host gets a socket of its own, and addresses that
 * come later get one within seconds.
 *
 * While a route has no backend, its sockets are connected to themselves. Then they get no datagram of a client, and the
 * kernel answers the client that no process has the port. A datagram that finds no backend later is dropped, because Node
 * cannot send ICMP messages.
 */
import type { Socket } from 'node:dgram';
import { bindDatagramSocket } from '../../dataplane/listeners/datagramSocket.ts';
import type { OwnAddresses } from '../../dataplane/listeners/ownAddresses.ts';
import { reachableAddress, type SocketAddress } from '../../dns/address.ts';
import { hostInterfaces } from '../../kernel/interfaces.ts';
import type { Timer } from '../../timing/clock.ts';
import { DestinationView } from './destination.ts';
import { type FlowContext, Flows } from './flows.ts';
import { type RouteReport, RouteReports } from './routeReports.ts';

export type DatagramListenerOptions = FlowContext & {
  /** The addresses of this proxy's listeners, to which it adds its own. */
  readonly own: OwnAddresses;
  /** Lists the addresses of this host. */
  readonly listLocal?: () => readonly string[];
};

/** How often the addresses of the host are listed. */
const LIST_MS = 5_000;

/** With the address at which it was bound, which a connection may change. */
interface BoundSocket extends SocketAddress {
  readonly socket: Socket;
  /** Whether it was bound to a port of its caller's choice: one of the kernel's choice ends with a connection. */
  readonly keepsPort: boolean;
}

export class DatagramListener {
  readonly #options: DatagramListenerOptions;
  readonly #flows: Flows;
  /** By the address that was asked for, or by the descriptor that was taken over. */
  readonly #sockets = new Map<string, BoundSocket>();
  /** Whether all clients share a destination, and it has no backend. */
  #isUnserved = false;
  #timer: Timer | undefined;
  #following: Promise<void> = Promise.resolve();

  constructor(options: DatagramListenerOptions) {
    this.#options = options;
    this.#flows = new Flows(options);
  }

  get flows(): number {
    return this.#flows.size;
  }

  get addresses(): readonly SocketAddress[] {
    return [...this.#sockets.values()].map(({ address, port }) => ({ address, port }));
  }

  /** Rejects with the system's error. */
  async listen({ address, port }: SocketAddress): Promise<void> {
    this.#add(address, await bindDatagramSocket(address, port), port > 0);
  }

  /** Takes over a bound descriptor. Rejects with the system's error. */
  async adopt(fd: number, { address, port }: SocketAddress): Promise<void> {
    this.#add(`fd ${fd}`, await bindDatagramSocket(address, port, fd), true);
  }

  /** Listens on all addresses, now and later. Rejects with the system's error if the port is taken at one of them. */
  async listenEverywhere(port: number): Promise<void> {
    await this.#follow(port, (error) => {
      if (error.code !== 'EADDRNOTAVAIL') throw error; // gone meanwhile, or not usable yet (RFC 4862 §5.4)
    });
    this.#followLater(this.addresses[0]?.port ?? port);
  }

  refresh(): void {
    const view = new DestinationView(this.#options.destinationOf);
    const shared = view.of('')?.backends;
    this.#flows.refresh(view);
    this.#isUnserved = shared?.kind === 'known' && shared.backends.length === 0;
    for (const bound of this.#sockets.values()) this.#openOrRefuse(bound);
    this.#options.reporter.noteDestinations(view.known());
  }

  report(): readonly RouteReport[] {
    const reports = new RouteReports(this.#options.destinationOf, () => false);
    for (const flow of this.#flows.all()) reports.add({ ...flow, drainsInMs: undefined });
    return reports.all();
  }

  /** Takes no more datagrams, and forgets all flows. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#following;
    this.#flows.close();
    await Promise.all([...this.#sockets].map(([key, bound]) => this.#remove(key, bound)));
  }

  #followLater(port: number): void {
    this.#timer = this.#options.clock.startTimer(LIST_MS, () => {
      this.#followLater(port);
      // An address that cannot be bound now is tried again the next time.
      this.#following = this.#following.then(() => this.#follow(port, () => {}));
    });
  }

  /** Listens on the addresses that have come, and closes the sockets of those that have gone. */
  async #follow(port: number, onError: (error: NodeJS.ErrnoException) => void): Promise<void> {
    const { listLocal = localAddresses } = this.#options;
    const local = new Set(listLocal());
    for (const [address, bound] of this.#sockets)
      if (!local.has(address)) await this.#remove(address, bound);
    for (const address of local) {
      if (this.#sockets.has(address)) continue;
      try {
        await this.listen({ address, port: port || (this.addresses[0]?.port ?? 0) });
      } catch (error) {
        onError(error as NodeJS.ErrnoException);
      }
    }
  }

  #add(key: string, socket: Socket, keepsPort: boolean): void {
    const { address, port } = socket.address();
    const bound = { address, port, socket, keepsPort };
    this.#sockets.set(key, bound);
    this.#options.own.add(address, port);
    socket.on('error', () => {}); // the kernel's word about an earlier reply
    socket.on('message', (message, peer) => this.#flows.receive(socket, key, message, peer));
    this.#openOrRefuse(bound);
  }

  #openOrRefuse({ socket, address, port, keepsPort }: BoundSocket): void {
    if (!keepsPort) return;
    try {
      // Without a change the socket throws.
      if (!this.#isUnserved) socket.disconnect();
      else socket.connect(port, reachableAddress({ address, port }).address, () => {});
    } catch {
      // It was as it should be.
    }
  }

  async #remove(key: string, { socket, address, port }: BoundSocket): Promise<void> {
    this.#sockets.delete(key);
    this.#flows.forgetVia(socket);
    this.#options.own.remove(address, port);
    await new Promise<void>((resolve) => socket.close(resolve));
  }
}

/** A link-local address has its interface as zone, without which it cannot be bound. */
function localAddresses(): readonly string[] {
  return Object.entries(hostInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.map((one) =>
      one.family === 'IPv6' && one.scopeid > 0 ? `${one.address}%${name}` : one.address,
    ),
  );
}
