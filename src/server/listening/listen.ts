/**
 * server/listening/: Opens the server's sockets, and finds the processes that hold a port or a socket.
 * Imports: dataplane/listeners, dns, forward, kernel.
 * Used by: ambassador/proxy, app, app/ambassador, app/answering, app/process, cli/host, cli/linking, main, server/http,
 *   server/http/exchange, tools/doctor.
 *
 * Listens on all configured addresses or on none, over UDP and TCP on the same port of each. A failure is a value,
 * because a port that another process holds is a common outcome.
 */
import type { Bound, Listen } from '../../dataplane/listeners/udpListener.ts';
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { findPortHolder, type ListeningProcess, printProcess } from './portHolder.ts';
import type { SocketKind } from './socketTable.ts';

export interface DnsListeners {
  readonly udp: DnsListener;
  readonly tcp: DnsListener;
}

interface DnsListener {
  readonly listen: Listen;
}

/** A bound socket that the process inherited when it started, for example from systemd. */
export interface InheritedSocket extends SocketAddress {
  readonly transport: SocketKind;
  readonly fd: number;
}

export type ListenOutcome =
  /** In the order of the configuration, with their actual ports. */
  { readonly kind: 'listening'; readonly endpoints: readonly SocketAddress[] } | ListenFailure;

export type ListenFailure = SocketAddress & {
  readonly transport: SocketKind;
  /** The option that names the address. Default: `--addr`. */
  readonly option?: string;
} & BindFailure;

export type BindFailure =
  | { readonly kind: 'taken'; readonly holder: ListeningProcess | undefined }
  /** The port needs a privilege that this process lacks. */
  | { readonly kind: 'forbidden' }
  /** No interface of this machine has the address. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'failed'; readonly reason: string };

/** Listens on every endpoint or on none. For port 0 it chooses a port that is free for both transports. */
export async function listenAll(
  endpoints: readonly SocketAddress[],
  listeners: DnsListeners,
): Promise<ListenOutcome> {
  const pairs: BoundPair[] = [];
  for (const endpoint of endpoints) {
    const attempt = await listenBoth(endpoint, listeners);
    if (attempt.kind === 'bound') {
      pairs.push(attempt.bound);
      continue;
    }
    await Promise.all(pairs.flatMap(({ udp, tcp }) => [udp.close(), tcp.close()]));
    return attempt.kind === 'taken' ? withHolder(attempt) : attempt;
  }
  return {
    kind: 'listening',
    endpoints: pairs.map(({ udp }) => ({ address: udp.address, port: udp.port })),
  };
}

/** Listens on every endpoint over TCP alone, or on none. */
export async function listenStreams(
  endpoints: readonly SocketAddress[],
  listener: DnsListener,
): Promise<ListenOutcome> {
  const bound: Bound[] = [];
  for (const endpoint of endpoints) {
    const tried = await attempt('tcp', listener, endpoint);
    if (tried.kind === 'bound') {
      bound.push(tried.bound);
      continue;
    }
    await Promise.all(bound.map((each) => each.close()));
    return tried.kind === 'taken' ? withHolder(tried) : tried;
  }
  return { kind: 'listening', endpoints: bound.map(({ address, port }) => ({ address, port })) };
}

/** Listens on inherited sockets. An address may have only one of UDP and TCP. */
export async function adoptAll(
  sockets: readonly InheritedSocket[],
  listeners: DnsListeners,
): Promise<ListenOutcome> {
  const endpoints = new Map<string, SocketAddress>();
  for (const { transport, address, port, fd } of sockets) {
    const adopted = await attempt(transport, listeners[transport], { address, port }, fd);
    if (adopted.kind !== 'bound') return adopted;
    const { bound } = adopted;
    const endpoint = { address: bound.address, port: bound.port };
    endpoints.set(printSocketAddress(endpoint), endpoint);
  }
  return { kind: 'listening', endpoints: [...endpoints.values()] };
}

/** One line, without a full stop. */
export function describeListenFailure(failure: ListenFailure): string {
  const { transport, option = '--addr' } = failure;
  const where = `${printSocketAddress(failure)}/${transport}`;
  switch (failure.kind) {
    case 'taken': {
      const { holder } = failure;
      const by = holder === undefined ? '' : ` by ${printProcess(holder)}`;
      return `${where} is in use${by}; stop that process or choose another ${option}`;
    }
    case 'forbidden':
      return `no permission to listen on ${where}; a port below 1024 needs root or CAP_NET_BIND_SERVICE`;
    case 'foreign':
      return `cannot listen on ${where}; this machine has no such address`;
    case 'failed':
      return `cannot listen on ${where}: ${failure.reason}`;
  }
}

interface BoundPair {
  readonly udp: Bound;
  readonly tcp: Bound;
}

type BindOutcome<B> = { readonly kind: 'bound'; readonly bound: B } | ListenFailure;

/** How many ports are tried: a port that the system chose for UDP may be in use for TCP. */
const PORT_CHOICES = 20;

async function listenBoth(
  endpoint: SocketAddress,
  listeners: DnsListeners,
): Promise<BindOutcome<BoundPair>> {
  for (let choice = 1; ; choice += 1) {
    const udp = await attempt('udp', listeners.udp, endpoint);
    if (udp.kind !== 'bound') return udp;
    const { port } = udp.bound;
    const tcp = await attempt('tcp', listeners.tcp, { ...endpoint, port });
    if (tcp.kind === 'bound') return { kind: 'bound', bound: { udp: udp.bound, tcp: tcp.bound } };
    await udp.bound.close();
    if (tcp.kind !== 'taken' || endpoint.port !== 0 || choice === PORT_CHOICES) return tcp;
  }
}

async function attempt(
  transport: SocketKind,
  listener: DnsListener,
  { address, port }: SocketAddress,
  fd?: number,
): Promise<BindOutcome<Bound>> {
  try {
    return { kind: 'bound', bound: await listener.listen(address, port, fd) };
  } catch (error) {
    return { address, port, transport, ...bindFailureOf(error as NodeJS.ErrnoException) };
  }
}

/** Why the system did not bind a socket; without the holder of a taken port. */
export function bindFailureOf(error: NodeJS.ErrnoException): BindFailure {
  switch (error.code) {
    case 'EADDRINUSE':
      return { kind: 'taken', holder: undefined };
    case 'EACCES':
      return { kind: 'forbidden' };
    case 'EADDRNOTAVAIL':
      return { kind: 'foreign' };
    default:
      return { kind: 'failed', reason: error.message };
  }
}

async function withHolder(taken: ListenFailure & { kind: 'taken' }): Promise<ListenFailure> {
  const holder = await findPortHolder(taken.transport, taken.address, taken.port);
  return { ...taken, holder };
}
