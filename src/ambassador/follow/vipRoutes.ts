/** The routes of all virtual addresses: one for each port that the instances of their names have. */
import { nameKey } from '../../dns/name.ts';
import type { VirtualAddressRow } from '../names/virtualAddresses.ts';
import { findVipPorts, isSamePorts, routesOfVip, type VipPort } from '../vipPorts.ts';
import type { RouteTable } from './routeTable.ts';
import type { Following, ZoneFollower } from './zoneFollower.ts';

export interface VipRoutesOptions {
  readonly follower: Pick<ZoneFollower, 'follow'>;
  readonly table: Pick<RouteTable, 'setRoutes'>;
  /** Whether the address may be routed: it is in the range of virtual addresses. */
  readonly isInRange: (address: string) => boolean;
}

/** A virtual address with its routes. */
interface RoutedVip {
  readonly row: VirtualAddressRow;
  readonly following: Following<readonly VipPort[]>;
}

export class VipRoutes {
  readonly #options: VipRoutesOptions;
  readonly #byAddress = new Map<string, RoutedVip>();

  constructor(options: VipRoutesOptions) {
    this.#options = options;
  }

  /** Takes the virtual addresses that stand, in place of the ones before. */
  setVips(rows: Iterable<VirtualAddressRow>): void {
    const wanted = new Map<string, VirtualAddressRow>();
    for (const row of rows) if (this.#options.isInRange(row.address)) wanted.set(row.address, row);
    for (const [address, { row }] of [...this.#byAddress])
      if (!isSameVip(wanted.get(address), row)) this.#end(address);
    for (const row of wanted.values()) if (!this.#byAddress.has(row.address)) this.#begin(row);
  }

  close(): void {
    for (const { following } of this.#byAddress.values()) following.close();
    this.#byAddress.clear();
  }

  #begin(row: VirtualAddressRow): void {
    const { follower, table } = this.#options;
    const { address, name, ports: given } = row;
    const following = follower.follow({
      compute: (view) => findVipPorts(view, name, given),
      isSame: isSamePorts,
      onChange: (ports) => table.setRoutes(sourceOf(address), routesOfVip(address, name, ports)),
    });
    this.#byAddress.set(address, { row, following });
  }

  #end(address: string): void {
    this.#byAddress.get(address)?.following.close();
    this.#byAddress.delete(address);
    this.#options.table.setRoutes(sourceOf(address), []);
  }
}

function sourceOf(address: string): string {
  return `virtual address ${address}`;
}

function isSameVip(a: VirtualAddressRow | undefined, b: VirtualAddressRow): boolean {
  return (
    a !== undefined &&
    a.key === b.key &&
    a.createRevision === b.createRevision &&
    nameKey(a.name) === nameKey(b.name) &&
    isSamePorts(a.ports, b.ports)
  );
}
