/** The consumers of a host: its containers with links, and the addresses by which the host knows their connections. */
import { type Container, hasAddresses } from '../describe/container.ts';
import { type Refusal, Refusals, shown } from '../describe/description.ts';
import { type ContainerId, type ShortId, shortIdOf } from '../engine/containerId.ts';
import type { ContainerLink } from './links.ts';
import {
  type AddressBook,
  compareStarts,
  type HostedContainer,
  type NetworkAddress,
} from './networkAddresses.ts';

/** A running container with links. */
export interface Consumer {
  readonly id: ContainerId;
  readonly shortId: ShortId;
  readonly name: string;
  /** As the engine writes it. */
  readonly startedAt: string;
  /** The id of its first process on the engine's host, by which its network namespace is found. */
  readonly pid: number | undefined;
  /** On all of its bridge networks; empty while none is known. */
  readonly addresses: readonly NetworkAddress[];
  /** Empty if the container has no address by which its connections are known. */
  readonly links: readonly ContainerLink[];
  /** Each link that is refused. */
  readonly refusals: readonly Refusal[];
  /** What the links wait for; completes a sentence that begins with "it". */
  readonly waiting?: string;
}

/** The oldest first, so that of two links of one address and port the first counts. */
export function consumersOf(
  hosted: Iterable<HostedContainer>,
  book: AddressBook,
): readonly Consumer[] {
  return [...hosted]
    .filter(
      ({ container, reading }) =>
        hasAddresses(container) && reading.links.length + reading.refusals.length > 0,
    )
    .sort((a, b) => compareStarts(a.container, b.container) || (a.id < b.id ? -1 : 1))
    .map((one) => consumerOf(one, book));
}

function consumerOf({ id, container, reading }: HostedContainer, book: AddressBook): Consumer {
  const { name, startedAt, pid } = container;
  const { links, refusals } = reading;
  const common = { id, shortId: shortIdOf(id), name, startedAt, pid };
  const placed = placeOf(container, book);
  switch (placed.kind) {
    case 'addresses':
      return { ...common, addresses: placed.addresses, links, refusals };
    case 'waiting':
      return { ...common, addresses: [], links: [], refusals, waiting: placed.reason };
    case 'refused': {
      const all = new Refusals();
      for (const { about, reason } of refusals) all.add(about, reason);
      for (const { source } of links) all.add(source, placed.reason);
      return { ...common, addresses: [], links: [], refusals: all.list() };
    }
  }
}

type ConsumerPlace =
  | { readonly kind: 'addresses'; readonly addresses: readonly NetworkAddress[] }
  | { readonly kind: 'waiting' | 'refused'; readonly reason: string };

/** Where the host sees the container's connections come from. Other networks pass the host by, or hide the address. */
function placeOf(container: Container, book: AddressBook): ConsumerPlace {
  const own = book.of(container);
  if (own.kind === 'none') {
    const isFinal = own.owner !== undefined;
    const reason = isFinal ? `needs a bridge network: the container ${own.reason}` : own.reason;
    return { kind: isFinal ? 'refused' : 'waiting', reason };
  }
  const bridged = own.addresses.filter(({ isBridge }) => isBridge === true);
  if (bridged.length > 0) return { kind: 'addresses', addresses: bridged };
  if (own.addresses.length === 0)
    return { kind: 'waiting', reason: 'has no address on a network yet' };
  const networks = shown([...new Set(own.addresses.map(({ network }) => network))].join(', '), 60);
  return own.addresses.some(({ isBridge }) => isBridge === undefined)
    ? { kind: 'waiting', reason: `waits for the driver of the network ${networks} (GET /networks)` }
    : { kind: 'refused', reason: `needs a bridge network: the container is only on ${networks}` };
}
