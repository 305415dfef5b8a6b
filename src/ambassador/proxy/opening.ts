/** Opens the sockets of a listen address, all or none. A failure is a value: a taken port is a common outcome. */
import type { SocketAddress } from '../../dns/address.ts';
import {
  type BindFailure,
  bindFailureOf,
  type InheritedSocket,
} from '../../server/listening/listen.ts';
import { findPortHolder, printProcess } from '../../server/listening/portHolder.ts';
import type { ListenAddress } from '../route.ts';
import { printListen } from '../targetText.ts';
import type { StreamAddress, StreamSocket } from './carry/carrier.ts';
import { listenAtPath } from './carry/unixPath.ts';
import type { DatagramListener } from './datagramListener.ts';

export type ListenRefusal = { readonly listen: ListenAddress } & (
  | BindFailure
  /** The path of a Unix socket is that of another file. */
  | { readonly kind: 'occupied' }
);

type StreamsOutcome =
  | { readonly kind: 'opened'; readonly sockets: readonly StreamSocket[] }
  | ListenRefusal;

/** `bind` rejects with the system's error. `inherited`: the bound sockets to take over in place of new ones. */
export async function openStreams(
  listen: ListenAddress,
  bind: (at: StreamAddress) => Promise<StreamSocket>,
  inherited: readonly InheritedSocket[],
): Promise<StreamsOutcome> {
  if (listen.kind === 'unix' && inherited.length === 0) return openUnix(listen, bind);
  const sockets: StreamSocket[] = [];
  for (const at of streamAddresses(listen, inherited)) {
    try {
      const port = at.kind === 'port' ? at.port || portOf(sockets) : 0;
      sockets.push(await bind(at.kind === 'port' ? { ...at, port } : at));
    } catch (error) {
      if (isWithoutIpv6(listen, at, error as NodeJS.ErrnoException)) continue;
      await Promise.all(sockets.map((socket) => socket.close()));
      return refusalOf(listen, error as NodeJS.ErrnoException);
    }
  }
  return { kind: 'opened', sockets };
}

async function openUnix(
  listen: Extract<ListenAddress, { kind: 'unix' }>,
  bind: (at: StreamAddress) => Promise<StreamSocket>,
): Promise<StreamsOutcome> {
  const outcome = await listenAtPath(
    listen.path,
    (path) => bind({ kind: 'path', path }),
    (socket) => socket.close(),
  );
  switch (outcome.kind) {
    case 'listening': {
      const { socket, remove } = outcome;
      const close = async (): Promise<void> => {
        await remove();
        await socket.close();
      };
      return { kind: 'opened', sockets: [{ ...socket, close }] };
    }
    case 'taken':
      return { kind: 'taken', listen, holder: undefined };
    default:
      return { ...outcome, listen };
  }
}

/** IPv6 first: an address of both families has a socket of each, with one port. */
function streamAddresses(
  listen: ListenAddress,
  inherited: readonly InheritedSocket[],
): readonly StreamAddress[] {
  if (inherited.length > 0) return inherited.map(({ fd }) => ({ kind: 'descriptor', fd }));
  if (listen.kind === 'unix') return [{ kind: 'path', path: listen.path }];
  const { address, port } = listen;
  const addresses = address === undefined ? ['::', '0.0.0.0'] : [address];
  return addresses.map((each) => ({ kind: 'port', address: each, port }));
}

function portOf(sockets: readonly StreamSocket[]): number {
  return sockets[0]?.address?.port ?? 0;
}

/** A host without IPv6 has only IPv4 addresses to listen on. */
function isWithoutIpv6(
  listen: ListenAddress,
  at: StreamAddress,
  { code }: NodeJS.ErrnoException,
): boolean {
  const isOptional = listen.kind === 'port' && listen.address === undefined;
  const isIpv6 = at.kind === 'port' && at.address === '::';
  return isOptional && isIpv6 && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL');
}

/** Opens the sockets of a UDP listener; returns why it could not. */
export async function openDatagrams(
  listener: DatagramListener,
  listen: Extract<ListenAddress, { kind: 'port' }>,
  inherited: readonly InheritedSocket[],
): Promise<ListenRefusal | undefined> {
  const { address, port } = listen;
  try {
    for (const socket of inherited) await listener.adopt(socket.fd, socket);
    if (inherited.length > 0) return undefined;
    if (address !== undefined) await listener.listen({ address, port });
    else await listener.listenEverywhere(port);
    return listener.addresses.length > 0 ? undefined : { kind: 'foreign', listen };
  } catch (error) {
    await listener.close();
    return refusalOf(listen, error as NodeJS.ErrnoException);
  }
}

async function refusalOf(
  listen: ListenAddress,
  error: NodeJS.ErrnoException,
): Promise<ListenRefusal> {
  const failure = bindFailureOf(error);
  if (failure.kind !== 'taken' || listen.kind === 'unix') return { ...failure, listen };
  const { address = '0.0.0.0', port, protocol } = listen;
  return { ...failure, listen, holder: await findPortHolder(protocol, address, port) };
}

/** One line, without a full stop. */
export function describeListenRefusal(refusal: ListenRefusal): string {
  const where = printListen(refusal.listen);
  switch (refusal.kind) {
    case 'taken': {
      const { holder } = refusal;
      return `${where} is in use${holder === undefined ? '' : ` by ${printProcess(holder)}`}`;
    }
    case 'occupied':
      return `${where} is a file and not a socket; remove it or choose another path`;
    case 'forbidden':
      return `no permission to listen on ${where}; a port below 1024 needs root or CAP_NET_BIND_SERVICE`;
    case 'foreign':
      return `cannot listen on ${where}; this host has no such address`;
    case 'failed':
      return `cannot listen on ${where}: ${refusal.reason}`;
  }
}

/** The bound addresses, for reports. */
export function addressesOf(sockets: readonly StreamSocket[]): readonly SocketAddress[] {
  return sockets.flatMap(({ address }) => address ?? []);
}
