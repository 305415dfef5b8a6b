/**
 * The own addresses of containers on their networks. A container that joined another one's network has the addresses of
 * that one. An engine gives an address to the next container as soon as its container has ended, so an address belongs
 * to the container that started last.
 */
import { canonicalAddress } from '../../dns/address.ts';
import { whyNotJoined } from '../describe/chooseAddress.ts';
import {
  type Container,
  type ContainerNetwork,
  hasAddresses,
  isUsable,
  parentOf,
} from '../describe/container.ts';
import type { ContainerId } from '../engine/containerId.ts';
import { parseInstant } from '../engine/instants.ts';
import type { LinkReading } from './links.ts';

/** An address of a container on one of its networks. */
export interface NetworkAddress {
  /** In canonical form. */
  readonly address: string;
  readonly family: 4 | 6;
  readonly network: string;
  readonly networkId: string;
  /** Whether this host forwards the network's packets; `undefined` until the engine has said which driver it has. */
  readonly isBridge: boolean | undefined;
}

/** A container as the engine reported it last, with the links that it asks for. */
export interface HostedContainer {
  readonly id: ContainerId;
  readonly container: Container;
  readonly reading: LinkReading;
}

export type ContainerAddresses =
  | {
      readonly kind: 'addresses';
      /** The container that has the network: itself, or the one whose network it joined. */
      readonly owner: Container;
      readonly addresses: readonly NetworkAddress[];
    }
  /** Has none. Completes a sentence that begins with "it". */
  | { readonly kind: 'none'; readonly owner: Container | undefined; readonly reason: string };

/** Tells whether a network's driver is `bridge`; `undefined` while it is unknown. */
export type IsBridge = (network: ContainerNetwork) => boolean | undefined;

export class AddressBook {
  readonly #isBridge: IsBridge;
  readonly #byIdOrName = new Map<string, Container>();
  /** By network and address: the container that started last of those that have it. */
  readonly #holders = new Map<string, Container>();

  constructor(hosted: Iterable<HostedContainer>, isBridge: IsBridge) {
    this.#isBridge = isBridge;
    for (const { id, container } of hosted) {
      this.#byIdOrName.set(id, container);
      if (!this.#byIdOrName.has(container.name)) this.#byIdOrName.set(container.name, container);
      if (hasAddresses(container)) this.#noteAddresses(container);
    }
  }

  /** The addresses of a container that runs. */
  of(container: Container): ContainerAddresses {
    const joined = parentOf(container);
    if (joined === undefined) return this.#ofOwner(container);
    const parent = this.#byIdOrName.get(joined);
    const reason = whyNotJoined(container, parent);
    if (reason === undefined && parent !== undefined) return this.#ofOwner(parent);
    const why = `joined the network of a container that ${reason}`;
    return { kind: 'none', owner: undefined, reason: why };
  }

  #ofOwner(owner: Container): ContainerAddresses {
    const { networkMode } = owner;
    if (networkMode === 'host' || networkMode === 'none') {
      const reason = `is on the network ${networkMode}, where it has no address of its own`;
      return { kind: 'none', owner, reason };
    }
    const addresses = owner.networks.filter(isUsable).flatMap((network) =>
      addressesOn(network)
        .filter(({ address }) => this.#holders.get(holderKey(network, address)) === owner)
        .map((one) => ({
          ...one,
          network: network.name,
          networkId: network.id,
          isBridge: this.#isBridge(network),
        })),
    );
    return { kind: 'addresses', owner, addresses };
  }

  #noteAddresses(container: Container): void {
    for (const network of container.networks.filter(isUsable)) {
      for (const { address } of addressesOn(network)) {
        const key = holderKey(network, address);
        const other = this.#holders.get(key);
        if (other === undefined || compareStarts(other, container) <= 0)
          this.#holders.set(key, container);
      }
    }
  }
}

function holderKey({ id, name }: ContainerNetwork, address: string): string {
  return `${id === '' ? name : id} ${address}`;
}

function addressesOn({ v4, v6 }: ContainerNetwork) {
  return [v4, v6].flatMap((text) => canonicalAddress(text ?? '') ?? []);
}

/** Orders containers by their start, the oldest first; those with an unknown start come before all others. */
export function compareStarts(a: Container, b: Container): number {
  const [one, other] = [parseInstant(a.startedAt) ?? 0n, parseInstant(b.startedAt) ?? 0n];
  return one < other ? -1 : one > other ? 1 : 0;
}
