/** The virtual addresses in the store, as a part of the zones' tree. */
import type { Name } from '../../dns/name.ts';
import { tablePrefix } from '../../service/key.ts';
import { parseVirtualAddress, type VirtualAddressHolder } from '../../service/virtualAddress.ts';
import type { Catalog } from '../../zone/tree/catalog.ts';
import {
  findNode,
  insertVirtualAddress,
  type Node,
  removeVirtualAddress,
  type VirtualAddress,
  virtualAddressOf,
} from '../../zone/tree/tree.ts';
import { isInRange, type VipRange } from '../vipRange.ts';
import { type RowChange, StoreTable } from './storeTable.ts';

/** A virtual address with the name that has it. Several may have one name: the oldest of each family stands. */
export interface VirtualAddressRow extends VirtualAddress, VirtualAddressHolder {}

export interface VirtualAddressesOptions {
  /** Of the names, as `keyPrefix` returns it. */
  readonly prefix: string;
  /** The names that get the addresses. */
  readonly catalog: Catalog;
  /** Other addresses are invalid: this host does not route them. undefined: every address is valid. */
  readonly ranges?: readonly VipRange[] | undefined;
  readonly onInvalid: (key: string, reason: string) => void;
  /** Called after each change, when answers reflect it. Must not throw. */
  readonly onChange?: () => void;
}

export class VirtualAddresses extends StoreTable<VirtualAddressRow> {
  readonly #root: Node;
  readonly #prefix: string;

  constructor({
    prefix,
    catalog,
    ranges,
    onInvalid,
    onChange = () => {},
  }: VirtualAddressesOptions) {
    const table = tablePrefix(prefix, 'vip');
    super({
      prefix: table,
      parse(path, { key, value, createRevision }) {
        const parsed = parseVirtualAddress(path, value);
        if (parsed.kind === 'invalid') return parsed;
        const { address, holder } = parsed;
        if (ranges?.some((range) => isInRange(range, address.address)) === false)
          return { kind: 'invalid', reason: 'outside the range of virtual addresses' };
        return { kind: 'row', row: { ...address, ...holder, key, createRevision } };
      },
      onChange(changes, revision) {
        const nodes = changes.flatMap((change) => replaced(catalog.root, change));
        catalog.touch(nodes, revision);
        onChange();
      },
      onInvalid,
    });
    this.#root = catalog.root;
    this.#prefix = table;
  }

  /** The address that stands for a folded name. */
  addressOf(name: Name, family: 4 | 6): string | undefined {
    const node = findNode(this.#root, name);
    return node && virtualAddressOf(node, family)?.address;
  }

  /** The name that has the address. */
  nameAt(address: string): Name | undefined {
    return this.row(`${this.#prefix}${address}`)?.name;
  }

  /** The rows that stand: for each name and family the one that was created first. */
  *standing(): Iterable<VirtualAddressRow> {
    for (const row of this.rows()) {
      const node = findNode(this.#root, row.name);
      if (node !== undefined && virtualAddressOf(node, row.family)?.key === row.key) yield row;
    }
  }
}

/** Returns the nodes of the names that have lost or got an address. */
function replaced(root: Node, { before, after }: RowChange<VirtualAddressRow>): readonly Node[] {
  const lost = before && removeVirtualAddress(root, before.name, before.key);
  const got = after && insertVirtualAddress(root, after.name, virtualOf(after));
  return [lost, got].flatMap((node) => node ?? []);
}

function virtualOf({ family, address, key, createRevision }: VirtualAddressRow): VirtualAddress {
  return { family, address, key, createRevision };
}
