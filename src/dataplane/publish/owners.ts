/**
 * The owner names of the answer table, kept as the zone tree has them: a name is in the table exactly while it is in the
 * tree, or is one that exists whatever the tree holds (an apex, the special name `local.dns`).
 *
 * Invariant: the table counts each name once that it had no room for, whoever has it, a node or a pin or both.
 */
import { equalNames, type Name, printName } from '../../dns/name.ts';
import { findNode, type Node } from '../../zone/tree.ts';
import type { ZoneSettings } from '../../zone/view.ts';
import { type AnswerTable, NO_ROOM } from '../table/table.ts';
import { wireName } from './negatives.ts';

const RETRIES = 1_000;

export class OwnerNames {
  readonly #root: Node;
  readonly #table: AnswerTable;
  /** Addresses of the names that exist in any case. */
  readonly #fixed = new Map<string, FixedName>();
  /** Nodes for whose names there was no room. */
  readonly #withoutRoom = new Set<Node>();

  constructor(root: Node, table: AnswerTable) {
    this.#root = root;
    this.#table = table;
  }

  /** The address of a folded name; 0 when it does not exist. */
  addressOf(name: Name): number {
    const address = findNode(this.#root, name)?.tableAddress ?? 0;
    return address !== 0 ? address : (this.#fixed.get(printName(name))?.address ?? 0);
  }

  /** Holds a node that came to be. */
  add(node: Node): void {
    const name = node.owner();
    node.tableAddress = this.#fixedAddress(name) ?? this.#table.add(wireName(name));
    if (node.tableAddress === NO_ROOM) this.#withoutRoom.add(node);
  }

  /** Looks for room for names that found none, some of them at each call. */
  retry(): void {
    for (const fixed of this.#fixed.values()) {
      if (fixed.address !== NO_ROOM) continue;
      fixed.address = this.#table.retryAdd(wireName(fixed.name));
      if (fixed.address === NO_ROOM) return;
      const node = findNode(this.#root, fixed.name);
      if (node?.tableAddress === NO_ROOM) this.#setAddress(node, fixed.address);
    }
    let tries = RETRIES;
    for (const node of this.#withoutRoom) {
      if (tries-- === 0) return;
      const address = this.#table.retryAdd(wireName(node.owner()));
      if (address === NO_ROOM) return;
      this.#setAddress(node, address);
    }
  }

  #setAddress(node: Node, address: number): void {
    node.tableAddress = address;
    this.#withoutRoom.delete(node);
  }

  /**
   * Lets go of a node that is no longer in the tree. Gives the address whose name is gone now, 0 when the name lives on:
   * fixed, or in another node.
   */
  remove(node: Node): number {
    const { tableAddress: address } = node;
    if (address === 0) return 0;
    node.tableAddress = 0;
    this.#withoutRoom.delete(node);
    if (this.#fixed.size > 0 && this.#fixedAddress(node.owner()) !== undefined) return 0;
    return address;
  }

  /** Gives the address of a node that is gone to one of the same name that came since, so that no reader misses it. */
  transfer(gone: Node): void {
    if (gone.tableAddress === 0) return;
    const heir = findNode(this.#root, gone.owner());
    if (heir === undefined || heir.tableAddress !== 0) return;
    heir.tableAddress = gone.tableAddress;
    gone.tableAddress = 0;
    if (this.#withoutRoom.delete(gone)) this.#withoutRoom.add(heir);
  }

  /**
   * Makes exactly the names fixed that these settings give a meaning of their own. Gives the addresses whose names are gone
   * now.
   */
  setFixedNames(settings: ZoneSettings): number[] {
    const wanted = new Map(fixedNames(settings).map((name) => [printName(name), name]));
    for (const [key, name] of wanted) {
      if (this.#fixed.has(key)) continue;
      const address = findNode(this.#root, name)?.tableAddress || this.#table.add(wireName(name));
      this.#fixed.set(key, { name, address });
    }
    const gone: number[] = [];
    for (const [key, { name, address }] of this.#fixed) {
      if (wanted.has(key)) continue;
      this.#fixed.delete(key);
      if (findNode(this.#root, name)?.tableAddress !== address) gone.push(address);
    }
    return gone;
  }

  #fixedAddress(name: Name): number | undefined {
    if (this.#fixed.size === 0) return undefined;
    for (const fixed of this.#fixed.values()) {
      if (equalNames(fixed.name, name)) return fixed.address;
    }
    return undefined;
  }
}

interface FixedName {
  readonly name: Name;
  address: number;
}

function fixedNames({ apexes, local }: ZoneSettings): Name[] {
  const special = local === undefined ? [] : apexes.map((apex) => ['local', 'dns', ...apex]);
  return [...apexes, ...special];
}

/**
 * Which published answers rest on names other than their own and those below: an alias on its target, an SRV on the
 * addresses of another name. A name that exists is known by its node, one that does not by its text, so that its coming
 * into being is noticed too.
 */

export type Dependency = Node | string;

export class Dependents {
  /** Addresses of owners by what their answers rest on. */
  readonly #addresses = new Map<Dependency, Set<number>>();
  /** The other way round. */
  readonly #dependencies = new Map<number, Dependency[]>();

  /** Grounds that something rests on. */
  get size(): number {
    return this.#addresses.size;
  }

  /** An answer of the owner at `address` rests on these too. */
  add(address: number, dependencies: readonly Dependency[]): void {
    if (dependencies.length === 0) return;
    const known = this.#dependencies.get(address) ?? [];
    this.#dependencies.set(address, known);
    for (const dependency of dependencies) {
      const addresses = this.#addresses.get(dependency) ?? new Set();
      this.#addresses.set(dependency, addresses);
      if (addresses.has(address)) continue;
      addresses.add(address);
      known.push(dependency);
    }
  }

  /** Addresses whose answers rest on this. */
  of(dependency: Dependency): readonly number[] {
    const addresses = this.#addresses.get(dependency);
    return addresses === undefined ? [] : [...addresses];
  }

  /** The answers at the address are gone. */
  forget(address: number): void {
    const dependencies = this.#dependencies.get(address);
    if (dependencies === undefined) return;
    this.#dependencies.delete(address);
    for (const dependency of dependencies) {
      const addresses = this.#addresses.get(dependency);
      addresses?.delete(address);
      if (addresses?.size === 0) this.#addresses.delete(dependency);
    }
  }
}
