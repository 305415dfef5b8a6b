/**
 * Takes datagrams at one address, or at all addresses of this host.
 *
 * Node neither tells to which address a datagram was sent nor lets a reply choose its source, and a client ignores a
 * reply from another address than it sent to. So each address of the host gets a socket of its own, and addresses that
 * come later get one within seconds. Node cannot send ICMP messages either: a datagram without a backend is dropped.
 */
import type { Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { bindDatagramSocket } from '../../dataplane/listeners/datagramSocket.ts';
import type { OwnAddresses } from '../../dataplane/listeners/ownAddresses.ts';
import type { SocketAddress } from '../../dns/address.ts';
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

export class DatagramListener {
  readonly #options: DatagramListenerOptions;
  readonly #flows: Flows;
  /** By the address that was asked for, or by the descriptor that was taken over. */
  readonly #sockets = new Map<string, Socket>();
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
    return [...this.#sockets.values()].map(addressOf);
  }

  /** Rejects with the system's error. */
  async listen({ address, port }: SocketAddress): Promise<void> {
    this.#add(address, await bindDatagramSocket(address, port));
  }

  /** Takes over a bound descriptor. Rejects with the system's error. */
  async adopt(fd: number, { address, port }: SocketAddress): Promise<void> {
    this.#add(`fd ${fd}`, await bindDatagramSocket(address, port, fd));
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
    view.of('');
    this.#flows.refresh(view);
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
    await Promise.all([...this.#sockets].map(([key, socket]) => this.#remove(key, socket)));
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
    for (const [address, socket] of this.#sockets)
      if (!local.has(address)) await this.#remove(address, socket);
    for (const address of local) {
      if (this.#sockets.has(address)) continue;
      try {
        await this.listen({ address, port: port || (this.addresses[0]?.port ?? 0) });
      } catch (error) {
        onError(error as NodeJS.ErrnoException);
      }
    }
  }

  #add(key: string, socket: Socket): void {
    const { address, port } = addressOf(socket);
    this.#sockets.set(key, socket);
    this.#options.own.add(address, port);
    socket.on('error', () => {}); // the kernel's word about an earlier reply
    socket.on('message', (message, peer) => this.#flows.receive(socket, key, message, peer));
  }

  async #remove(key: string, socket: Socket): Promise<void> {
    const { address, port } = addressOf(socket);
    this.#sockets.delete(key);
    this.#options.own.remove(address, port);
    await new Promise<void>((resolve) => socket.close(resolve));
  }
}

function addressOf(socket: Socket): SocketAddress {
  const { address, port } = socket.address();
  return { address, port };
}

/** A link-local address has its interface as zone, without which it cannot be bound. */
function localAddresses(): readonly string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.map((one) =>
      one.family === 'IPv6' && one.scopeid > 0 ? `${one.address}%${name}` : one.address,
    ),
  );
}
