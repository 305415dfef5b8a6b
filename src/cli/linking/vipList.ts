/** `soradns vip ls`: the virtual addresses in the store, with the ports and the backends that they have now. */
import { resolveBackends } from '../../ambassador/backends.ts';
import {
  type StoredAddress,
  standingAddresses,
  storedAddresses,
} from '../../ambassador/names/claimAddress.ts';
import { findVipPorts, routesOfVip, type VipPort } from '../../ambassador/vipPorts.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { familyOfAddress, printSocketAddress } from '../../dns/address.ts';
import { printName, ROOT } from '../../dns/name.ts';
import { printable } from '../../observability/printable.ts';
import { tablePrefix } from '../../service/key.ts';
import { printExposedPort } from '../../service/linking.ts';
import { printGivenPort } from '../../service/virtualAddress.ts';
import type { View } from '../../zone/tree/view.ts';
import { jsonLine, printAge, table } from '../output.ts';
import type { StoreAccess } from '../storeAccess.ts';
import { readNames } from './storedNames.ts';

/** A line of the list. */
type ListedVip =
  | {
      readonly kind: 'valid';
      readonly name: string;
      readonly address: string;
      readonly ports: readonly VipPort[];
      /** Undefined while a name outside the zones would have to be asked for. */
      readonly backends: number | undefined;
      readonly since: string | undefined;
      /** The older address that stands in place of this one. */
      readonly standing: string | undefined;
    }
  | { readonly kind: 'invalid'; readonly address: string };

export async function listVips({ flags }: Arguments, access: StoreAccess, io: Io): Promise<number> {
  const { store, prefix } = access;
  const stored = await storedAddresses(store, tablePrefix(prefix, 'vip'));
  const view = stored.length === 0 ? undefined : await readNames([ROOT], access, io);
  const standing = standingAddresses(stored);
  const listed =
    view === undefined ? [] : stored.map((row) => listedOf(row, standing, view, prefix));
  listed.sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
  if (flags.json) for (const vip of listed) io.stdout.write(`${jsonLine(viewOf(vip))}\n`);
  else if (flags.quiet)
    for (const { address } of listed) io.stdout.write(`${printable(address)}\n`);
  else if (listed.length > 0)
    io.stdout.write(table([HEAD, ...listed.map((vip) => rowOf(vip))], io.stdout));
  return 0;
}

function listedOf(
  { address, holder }: StoredAddress,
  standingOf: ReturnType<typeof standingAddresses>,
  view: View,
  prefix: string,
): ListedVip {
  if (holder === undefined) return { kind: 'invalid', address };
  const { name, since, ports: given } = holder;
  const ports = findVipPorts(view, name, given).value;
  const standing = standingOf(name, familyOfAddress(address))?.address;
  return {
    kind: 'valid',
    name: printName(name),
    address,
    ports,
    backends: countBackends(view, address, holder.name, ports, prefix),
    since,
    standing: standing === address ? undefined : standing,
  };
}

function countBackends(
  view: View,
  address: string,
  name: Parameters<typeof routesOfVip>[1],
  ports: readonly VipPort[],
  prefix: string,
): number | undefined {
  const found = new Set<string>();
  for (const { match, target } of routesOfVip(address, name, ports)) {
    if (match.kind !== 'virtual' || target.kind === 'key') continue;
    const { protocol, port } = match;
    const { value } = resolveBackends(view, { target, protocol, port }, prefix);
    if (value.kind === 'waits') return undefined;
    // A port for each instance would count an instance with two ports twice.
    for (const { key, ...at } of value.backends) found.add(key ?? printSocketAddress(at));
  }
  return found.size;
}

function sortKey(vip: ListedVip): string {
  return vip.kind === 'valid' ? `${vip.name} ${vip.address}` : `~ ${vip.address}`;
}

function viewOf(vip: ListedVip): object {
  if (vip.kind === 'invalid') return { address: vip.address, invalid: true };
  const { name, address, ports, backends = null, since, standing } = vip;
  return { name, address, ports: ports.map(printGivenPort), backends, since, standing };
}

const HEAD = ['NAME', 'ADDRESS', 'PORTS', 'BACKENDS', 'SINCE'];

function rowOf(vip: ListedVip): readonly string[] {
  if (vip.kind === 'invalid') return ['invalid', printable(vip.address), '-', '-', '-'];
  const { name, address, ports, backends, since, standing } = vip;
  const sinceMs = Date.parse(since ?? '');
  return [
    name,
    address,
    standing === undefined ? ports.map(portText).join(' ') || '-' : `unused: ${standing} stands`,
    backends === undefined ? '?' : `${backends}`,
    Number.isNaN(sinceMs) ? '-' : printAge(Date.now() - sinceMs),
  ];
}

function portText({ port, own }: VipPort): string {
  return `${printExposedPort(port)}→${own ?? 'any'}`;
}
