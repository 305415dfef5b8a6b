/**
 * Keeps the owner names of the answer table equal to those of the zone tree. A name is in the table exactly while it is
 * in the tree. A fixed name (an apex, or a special name such as `local.dns`) is always in the table, even if the tree
 * lacks it. A derived name is in the table after a client has asked for it. A name in a domain that other servers answer
 * for is not in the table.
 *
 * Invariant: a name without room is counted once in `Control.MISSING_NAMES`, whether a node, a fixed name, or both
 * refer to it.
 */
import { type Label, type Name, printName, wireName } from '../../dns/name.ts';
import { type ForwardedNames, NO_FORWARDED_NAMES } from '../../zone/tree/forwardedNames.ts';
import { findNode, type Node } from '../../zone/tree/tree.ts';
import type { ZoneSettings } from '../../zone/tree/view.ts';
import { NO_ROOM } from '../table/nameSet.ts';
import type { AnswerTable } from '../table/table.ts';
import { DerivedNames } from './derivedNames.ts';

/** Names that one call of `retry` tries to add. */
const RETRIES = 1_000;

export class OwnerNames {
  readonly #root: Node;
  readonly #table: AnswerTable;
  readonly #fixed = new Map<string, FixedName>();
  /** The first labels of the fixed names, so that few nodes' names are compared with these. */
  #fixedLabels: ReadonlySet<Label | undefined> = new Set();
  readonly #derived: DerivedNames;
  /** Nodes whose names found no room. */
  readonly #withoutRoom = new Set<Node>();
  #forwarded = NO_FORWARDED_NAMES;

  constructor(root: Node, table: AnswerTable) {
    this.#root = root;
    this.#table = table;
    this.#derived = new DerivedNames(table);
  }

  /** The address of a folded name in the table; 0 if the table lacks the name, `NO_ROOM` if it found no room. */
  addressOf(name: Name): number {
    const address = findNode(this.#root, name)?.tableAddress ?? 0;
    if (address !== 0) return address;
    return this.#fixed.get(printName(name))?.address ?? this.#derived.addressOf(name);
  }

  /** See `DerivedNames.admit`. */
  admitDerived(name: Name, evict: (address: number) => void): number {
    return this.#derived.admit(name, evict);
  }

  /** See `DerivedNames.take`. */
  takeDerived(name: Name): number {
    return this.#derived.take(name);
  }

  /** See `DerivedNames.takeAll`. */
  takeAllDerived(): readonly number[] {
    return this.#derived.takeAll();
  }

  /** Adds the name of a node that has come into the tree. */
  add(node: Node): void {
    if (this.#forwarded.inside.length > 0 && this.#forwarded.isInside(node.owner())) return;
    this.#addVisible(node);
  }

  #addVisible(node: Node): void {
    const name = node.owner();
    node.tableAddress =
      this.#fixedAddress(node) ?? (this.#derived.take(name) || this.#table.add(wireName(name)));
    if (node.tableAddress === NO_ROOM) this.#withoutRoom.add(node);
  }

  /** Tries again to add names that found no room, a bounded number of them at each call. */
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
   * Forgets a node that has left the tree. Returns the table address that the caller must remove; 0 if the name still
   * exists, as a fixed name or in another node.
   */
  remove(node: Node): number {
    const { tableAddress } = node;
    if (tableAddress === 0) return 0;
    node.tableAddress = 0;
    this.#withoutRoom.delete(node);
    if (this.#fixedAddress(node) !== undefined) return 0;
    return tableAddress;
  }

  /**
   * Transfers the address of a node that has left the tree to a newer node of the same name, so that readers find the
   * name at any moment.
   */
  transfer(gone: Node): void {
    if (gone.tableAddress === 0) return;
    const successor = findNode(this.#root, gone.owner());
    if (successor === undefined || successor.tableAddress !== 0) return;
    successor.tableAddress = gone.tableAddress;
    gone.tableAddress = 0;
    if (this.#withoutRoom.delete(gone)) this.#withoutRoom.add(successor);
  }

  /**
   * Replaces the fixed names with those of these settings and with `others`, folded. Returns the table addresses that
   * the caller must remove.
   */
  setFixedNames(settings: ZoneSettings, others: readonly Name[]): number[] {
    const hidden = this.#setForwarded(settings.forwarded);
    const names = [...fixedNames(settings), ...others];
    const wanted = new Map(names.map((name) => [printName(name), name]));
    for (const [key, name] of wanted) {
      if (this.#fixed.has(key)) continue;
      const known = findNode(this.#root, name)?.tableAddress || this.#derived.take(name);
      this.#fixed.set(key, { name, address: known || this.#table.add(wireName(name)) });
    }
    this.#fixedLabels = new Set(names.map(([label]) => label));
    const gone: number[] = [];
    for (const [key, { name, address }] of this.#fixed) {
      if (wanted.has(key)) continue;
      this.#fixed.delete(key);
      if (findNode(this.#root, name)?.tableAddress !== address) gone.push(address);
    }
    return [...gone, ...hidden];
  }

  /** Hides and shows the names of the tree. Returns the addresses of hidden ones. */
  #setForwarded(forwarded: ForwardedNames): number[] {
    const before = this.#forwarded;
    if (forwarded === before) return [];
    this.#forwarded = forwarded;
    const gone: number[] = [];
    for (const domain of [...before.inside, ...forwarded.inside])
      this.#visit(findNode(this.#root, domain), (node) => {
        const isHidden = forwarded.isInside(node.owner());
        if (isHidden) gone.push(this.remove(node));
        else if (node.tableAddress === 0) this.#addVisible(node);
      });
    return gone;
  }

  #visit(node: Node | undefined, visit: (node: Node) => void): void {
    if (node === undefined) return;
    visit(node);
    for (const child of node.children ?? []) this.#visit(child, visit);
  }

  #fixedAddress(node: Node): number | undefined {
    const label = node.parent === undefined ? undefined : node.label;
    if (!this.#fixedLabels.has(label)) return undefined;
    return this.#fixed.get(printName(node.owner()))?.address;
  }
}

interface FixedName {
  readonly name: Name;
  address: number;
}

function fixedNames({ apexes, local, ambassador, ownAddresses, forwarded }: ZoneSettings): Name[] {
  const special = [
    ...(local === undefined ? [] : ['local']),
    ...(ownAddresses.length === 0 ? [] : ['ns']),
    ...(ambassador ? ['ambassador'] : []),
  ];
  const own = special.flatMap((label) => apexes.map((apex) => [label, 'dns', ...apex]));
  return [...apexes, ...own, ...forwarded.above].filter((name) => !forwarded.isInside(name));
}

/** The changed nodes and all nodes above them: those that are in the tree, and those that have left it. */
export function touchedBy(nodes: readonly Node[]): { live: Set<Node>; gone: Set<Node> } {
  const live = new Set<Node>();
  const gone = new Set<Node>();
  for (const changed of nodes) {
    for (let node: Node | undefined = changed; node !== undefined; node = node.parent) {
      const isInTree: boolean = node.isInTree || node.parent === undefined;
      const touched: Set<Node> = isInTree ? live : gone;
      if (touched.has(node)) break;
      touched.add(node);
    }
  }
  return { live, gone };
}
