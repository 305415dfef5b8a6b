/**
 * The backends on this host: for the key of a record, how the host itself reaches its container. From the container's
 * own host the published port may hang or hide the source address, so the container's own address comes first.
 */
import { canonicalAddress } from '../../dns/address.ts';
import type { ExposedPort } from '../../service/linking.ts';
import { type Container, hasAddresses } from '../describe/container.ts';
import type { Mode } from '../describe/context.ts';
import type { ContainerId } from '../engine/containerId.ts';
import type { AddressBook, HostedContainer, NetworkAddress } from './networkAddresses.ts';

export type LocalBackend =
  | {
      readonly kind: 'running';
      readonly containerId: ContainerId;
      readonly name: string;
      /** The container's own port; `undefined` if its record has none. */
      readonly port: ExposedPort | undefined;
      /** On all of its networks. Empty on the host's network, where the record's address is the only one. */
      readonly addresses: readonly NetworkAddress[];
      /** The host's addresses at which the port is published, `0.0.0.0` and `::` included. Empty: it is not. */
      readonly publishedAt: readonly string[];
      /** `internal`: the record has an own address of the container; `published`: an address of the host, or a stated one. */
      readonly mode: Mode;
    }
  /** The life of the container that the record describes has ended, and the record is about to go. */
  | { readonly kind: 'ended'; readonly containerId: ContainerId | undefined };

/** What a stored or desired record says about its container. */
export interface RecordedContainer {
  readonly startedAt: string;
  /** The record's address. */
  readonly host: string;
  readonly expose: ExposedPort | undefined;
}

/** `hosted` is the record's container; `undefined` if it does not exist. */
export function localBackendOf(
  record: RecordedContainer,
  hosted: HostedContainer | undefined,
  book: AddressBook,
): LocalBackend {
  if (hosted === undefined) return { kind: 'ended', containerId: undefined };
  const { id, container } = hosted;
  if (!hasAddresses(container) || container.startedAt !== record.startedAt)
    return { kind: 'ended', containerId: id };
  const own = book.of(container);
  const addresses = own.kind === 'addresses' ? own.addresses : [];
  const host = canonicalAddress(record.host)?.address;
  const isInternal = addresses.some(({ address }) => address === host);
  return {
    kind: 'running',
    containerId: id,
    name: container.name,
    port: record.expose,
    addresses,
    publishedAt: publishedAt(own.owner, record.expose),
    mode: isInternal ? 'internal' : 'published',
  };
}

function publishedAt(
  owner: Container | undefined,
  port: ExposedPort | undefined,
): readonly string[] {
  const published = owner?.published.find(
    ({ number, protocol }) => number === port?.number && protocol === port.protocol,
  );
  const addresses = (published?.bindings ?? []).flatMap(({ hostIp }) =>
    // Podman leaves out the address if the port is published at all of them.
    hostIp === '' ? ['0.0.0.0', '::'] : (canonicalAddress(hostIp)?.address ?? []),
  );
  return [...new Set(addresses)];
}
