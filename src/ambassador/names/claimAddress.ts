/**
 * Gives virtual addresses to names in the store. A claim writes a key only if it is absent, so of several writers that
 * want one address exactly one gets it, and the others find its name there. An address is never taken away here.
 */
import { familyOfAddress } from '../../dns/address.ts';
import { equalNames, type Name, nameKey } from '../../dns/name.ts';
import type { Entry } from '../../service/change.ts';
import {
  type GivenPort,
  parseVirtualAddress,
  printGivenPort,
  type VirtualAddressHolder,
  virtualAddressValue,
} from '../../service/virtualAddress.ts';
import type { Store } from '../../store/store.ts';
import { candidateAddresses, type VipRange } from '../vipRange.ts';

export type ClaimedAddress =
  | { readonly kind: 'claimed' }
  /** The name has the address already. */
  | { readonly kind: 'held'; readonly entry: Entry }
  /** `by` is undefined if the value there is invalid. */
  | { readonly kind: 'taken'; readonly by: Name | undefined };

/** `prefix`: of the keys, such as `/skydns-vip/`. Throws StoreError. */
export async function claimAddress(
  store: Pick<Store, 'put'>,
  prefix: string,
  address: string,
  holder: VirtualAddressHolder,
): Promise<ClaimedAddress> {
  const value = virtualAddressValue(holder);
  const result = await store.put(`${prefix}${address}`, value, { if: { kind: 'absent' } });
  if (result.done) return { kind: 'claimed' };
  const { current } = result;
  const by = current && holderIn(address, current)?.name;
  const isHeld = current !== undefined && by !== undefined && equalNames(by, holder.name);
  return isHeld ? { kind: 'held', entry: current } : { kind: 'taken', by };
}

function holderIn(address: string, { value }: Entry): VirtualAddressHolder | undefined {
  const parsed = parseVirtualAddress(address, value);
  return parsed.kind === 'virtual' ? parsed.holder : undefined;
}

export interface AddressWish {
  /** Folded. */
  readonly name: Name;
  readonly range: VipRange;
  /** An address of the range; undefined: any. */
  readonly fixed: string | undefined;
  /** The ports that the address has besides those of the records; undefined: those that it has already. */
  readonly ports: readonly GivenPort[] | undefined;
  /** The time of now, for the value. */
  readonly since: string;
}

export type AddressGiven =
  | {
      readonly kind: 'given';
      readonly address: string;
      readonly holder: VirtualAddressHolder;
      /** `kept`: it had the address, with these ports. `changed`: with others. */
      readonly as: 'claimed' | 'changed' | 'kept';
    }
  /** The name has another address of the range than the fixed one. */
  | { readonly kind: 'other'; readonly address: string }
  /** The fixed address is another name's; `by` is undefined if the value there is invalid. */
  | { readonly kind: 'taken'; readonly by: Name | undefined }
  /** No address of the range is left. */
  | { readonly kind: 'exhausted' };

/** An address in the store. */
export interface StoredAddress {
  readonly address: string;
  readonly entry: Entry;
  readonly holder: VirtualAddressHolder | undefined;
}

/**
 * The name keeps an address of the range that it has; otherwise it gets the fixed one, or the first that is free in its
 * order of addresses. Throws StoreError.
 */
export async function giveAddress(
  store: Pick<Store, 'snapshot' | 'put'>,
  prefix: string,
  wish: AddressWish,
): Promise<AddressGiven> {
  const { name, range, fixed, ports = [], since } = wish;
  const stored = new Map<string, StoredAddress>();
  for (const row of await storedAddresses(store, prefix)) stored.set(row.address, row);
  const own = standingAddresses(stored.values())(name, range.family);
  if (own !== undefined) return keep(store, wish, own);
  const holder = { name, since, ports };
  for (const address of fixed === undefined ? candidateAddresses(range, name) : [fixed]) {
    const known = stored.get(address);
    const claimed: ClaimedAddress =
      known === undefined
        ? await claimAddress(store, prefix, address, holder)
        : { kind: 'taken', by: known.holder?.name };
    if (claimed.kind === 'claimed') return { kind: 'given', address, holder, as: 'claimed' };
    if (claimed.kind === 'held') {
      const { entry } = claimed;
      return keep(store, wish, { address, entry, holder: holderIn(address, entry) });
    }
    if (fixed !== undefined) return claimed;
  }
  return { kind: 'exhausted' };
}

/** All keys of the table, also those with invalid values. Throws StoreError. */
export async function storedAddresses(
  store: Pick<Store, 'snapshot'>,
  prefix: string,
): Promise<readonly StoredAddress[]> {
  const found: StoredAddress[] = [];
  for await (const { entries } of store.snapshot(prefix))
    for (const entry of entries) {
      const address = entry.key.slice(prefix.length);
      // A marker of an empty directory of the v2 keys API.
      if (address !== '') found.push({ address, entry, holder: holderIn(address, entry) });
    }
  return found;
}

/** Of several addresses of a name in a family the one that was created first stands. Reads `stored` once. */
export function standingAddresses(
  stored: Iterable<StoredAddress>,
): (name: Name, family: 4 | 6) => StoredAddress | undefined {
  const standing = { 4: new Map<string, StoredAddress>(), 6: new Map<string, StoredAddress>() };
  for (const row of stored) {
    if (row.holder === undefined) continue;
    const ofFamily = standing[familyOfAddress(row.address)];
    const key = nameKey(row.holder.name);
    const first = ofFamily.get(key);
    if (first === undefined || row.entry.createRevision < first.entry.createRevision)
      ofFamily.set(key, row);
  }
  return (name, family) => standing[family].get(nameKey(name));
}

/** Writes the ports, unless another writer has changed the key meanwhile: then that one stands. */
async function keep(
  store: Pick<Store, 'put'>,
  { name, fixed, ports, since }: AddressWish,
  { address, entry, holder: found }: StoredAddress,
): Promise<AddressGiven> {
  if (fixed !== undefined && fixed !== address) return { kind: 'other', address };
  const holder = found ?? { name, since, ports: [] };
  if (ports === undefined || isSameGiven(ports, holder.ports))
    return { kind: 'given', address, holder, as: 'kept' };
  const changed = { ...holder, ports };
  const { key, modRevision } = entry;
  const result = await store.put(key, virtualAddressValue(changed), {
    if: { kind: 'modRevision', modRevision },
  });
  if (result.done) return { kind: 'given', address, holder: changed, as: 'changed' };
  const current = result.current && holderIn(address, result.current);
  return current !== undefined && equalNames(current.name, name)
    ? { kind: 'given', address, holder: current, as: 'kept' }
    : { kind: 'taken', by: current?.name };
}

function isSameGiven(a: readonly GivenPort[], b: readonly GivenPort[]): boolean {
  return (
    a.length === b.length &&
    a.every((port, i) => {
      const other = b[i];
      return other !== undefined && printGivenPort(port) === printGivenPort(other);
    })
  );
}
