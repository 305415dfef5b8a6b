/**
 * zone/tree/: The names of the zones as a tree, and the services that a name stands for. Pure.
 * Imports: dns, service.
 * Used by: ambassador, ambassador/follow, ambassador/names, app, app/ambassador, app/answering, app/process,
 *   cli/commands, cli/linking, dataplane/publish, server, server/http, server/http/api, server/transfer, transfer,
 *   zone.
 *
 * The tree of owner names (RFC 1034 §3.1) with the services registered at them, and their virtual addresses. A node
 * exists exactly while one of these is registered at it or below it, so empty non-terminals and NXDOMAIN follow from the
 * walk. Every node counts the services at it and below it; inserting and removing changes only the path to the root.
 *
 * Built for a million names: a node with few children has one array of the exact size, a node with many has an array
 * and a Map. A node has a flat copy of its label, because a slice would keep a longer string alive.
 */
import type { Label, Name } from '../../dns/name.ts';
import type { Lease } from '../../service/change.ts';
import type { Service } from '../../service/service.ts';

/** What one key registers at its owner name. */
export interface Registration extends Service {
  /** The older of two instances has the lower one. */
  readonly createRevision: number;
  readonly modRevision: number;
  readonly lease: Lease | undefined;
  /** The key, if it is not the owner's canonical one: several keys may have one owner name. */
  readonly key: string | undefined;
  /** The next registration at the same owner. */
  next: Registration | undefined;
}

/** An address that a name has in place of the addresses of its services. */
export interface VirtualAddress {
  readonly family: 4 | 6;
  readonly address: string;
  /** The key that gives it to the name. */
  readonly key: string;
  readonly createRevision: number;
}

const NO_VIRTUAL: readonly VirtualAddress[] = [];

/** What few nodes have. The others do without these fields: in a million nodes each field takes 8 MB. */
interface RareParts {
  /** Label -> child, from `INDEX_FROM` children on. */
  index: Map<Label, Node> | undefined;
  virtualAddresses: readonly VirtualAddress[];
  /** Virtual addresses at and below the node. */
  virtualCount: number;
  /** Services at and below the node that do not count in the names above theirs. */
  apartCount: number;
  /** Services at and below the node that have records of their own. */
  recordedCount: number;
}

/** From this many children on, a Map is faster than a scan. */
const INDEX_FROM = 16;

export class Node {
  readonly label: Label;
  readonly parent: Node | undefined;
  /** Unordered: removal moves the last child into the gap. */
  children: Node[] | undefined = undefined;
  rare: RareParts | undefined = undefined;
  /** Index in the parent's children. */
  position = 0;
  first: Registration | undefined = undefined;
  /** Services at and below this node. */
  serviceCount = 0;
  /** Address of this name in the answer table, kept for the publisher; 0 for none. */
  tableAddress = 0;

  constructor(label: Label, parent: Node | undefined) {
    this.label = label;
    this.parent = parent;
  }

  /** Those of the name itself, the oldest first. Two keys may give one name addresses if they are written at once. */
  get virtualAddresses(): readonly VirtualAddress[] {
    return this.rare === undefined ? NO_VIRTUAL : this.rare.virtualAddresses;
  }

  /** Virtual addresses at and below this node. */
  get virtualCount(): number {
    return this.rare === undefined ? 0 : this.rare.virtualCount;
  }

  /** False: the node has left the tree, or it is the root of an empty one. */
  get isInTree(): boolean {
    return this.serviceCount > 0 || this.virtualCount > 0;
  }

  /** Services at and below this node that count in the names above theirs. */
  get aggregateCount(): number {
    return this.rare === undefined ? this.serviceCount : this.serviceCount - this.rare.apartCount;
  }

  /** Services at and below this node that have records of their own (`ServiceAttributes.records`). */
  get recordedCount(): number {
    return this.rare === undefined ? 0 : this.rare.recordedCount;
  }

  /** Whether services below the node count in the answers of its name. */
  get hasAggregateBelow(): boolean {
    if (this.children === undefined) return false;
    let own = 0;
    for (let at = this.first; at !== undefined; at = at.next) if (at.attributes.aggregate) own++;
    return this.aggregateCount > own;
  }

  child(label: Label): Node | undefined {
    const index = this.rare?.index;
    if (index !== undefined) return index.get(label);
    if (this.children === undefined) return undefined;
    for (const child of this.children) if (child.label === label) return child;
    return undefined;
  }

  /** The node's owner name, built from the path to the root. */
  owner(): Name {
    const labels: Label[] = [];
    for (let node: Node = this; node.parent !== undefined; node = node.parent) {
      labels.push(node.label);
    }
    return labels;
  }
}

/** The node of a folded name; `undefined` if nothing is registered at or below it. */
export function findNode(root: Node, name: Name): Node | undefined {
  let node: Node | undefined = root;
  for (let i = name.length - 1; i >= 0 && node !== undefined; i--) {
    node = node.child(name[i] as Label);
  }
  return node;
}

/** Inserts a registration at a folded owner name; it replaces the one of the same key. Returns the owner's node. */
export function insertRegistration(root: Node, owner: Name, registration: Registration): Node {
  const node = nodeFor(root, owner);
  const replaced = unlink(node, registration.key);
  registration.next = node.first;
  node.first = registration;
  countApart(node, apartOf(registration) - apartOf(replaced));
  countRecorded(node, recordedOf(registration) - recordedOf(replaced));
  if (replaced !== undefined) return node;
  for (let up: Node | undefined = node; up !== undefined; up = up.parent) up.serviceCount++;
  return node;
}

/** Removes a key's registration. Returns the node that had it; `undefined` if there was none. */
export function removeRegistration(
  root: Node,
  owner: Name,
  key: string | undefined,
): Node | undefined {
  const node = findNode(root, owner);
  const removed = node === undefined ? undefined : unlink(node, key);
  if (node === undefined || removed === undefined) return undefined;
  countApart(node, -apartOf(removed));
  countRecorded(node, -recordedOf(removed));
  for (let up: Node | undefined = node; up !== undefined; up = up.parent) {
    up.serviceCount--;
    if (!up.isInTree && up.parent !== undefined) removeChild(up.parent, up);
  }
  return node;
}

/** Gives a folded name a virtual address; it replaces the one of the same key. Returns the name's node. */
export function insertVirtualAddress(root: Node, name: Name, virtual: VirtualAddress): Node {
  const node = nodeFor(root, name);
  const others = node.virtualAddresses.filter(({ key }) => key !== virtual.key);
  const isNew = others.length === node.virtualAddresses.length;
  rareOf(node).virtualAddresses = [...others, virtual].sort(byAge);
  if (!isNew) return node;
  for (let up: Node | undefined = node; up !== undefined; up = up.parent) rareOf(up).virtualCount++;
  return node;
}

/** Removes a key's virtual address. Returns the node of the name that had it; `undefined` if there was none. */
export function removeVirtualAddress(root: Node, name: Name, key: string): Node | undefined {
  const node = findNode(root, name);
  const left = node?.virtualAddresses.filter((virtual) => virtual.key !== key) ?? [];
  if (node === undefined || left.length === node.virtualAddresses.length) return undefined;
  rareOf(node).virtualAddresses = left;
  for (let up: Node | undefined = node; up !== undefined; up = up.parent) {
    rareOf(up).virtualCount--;
    dropEmptyParts(up);
    if (!up.isInTree && up.parent !== undefined) removeChild(up.parent, up);
  }
  return node;
}

/** The virtual address of a node's name; `undefined` if it has none of the family. */
export function virtualAddressOf(node: Node, family: 4 | 6): VirtualAddress | undefined {
  return node.virtualAddresses.find((virtual) => virtual.family === family);
}

/** Keys that one transaction created are equally old. */
function byAge(a: VirtualAddress, b: VirtualAddress): number {
  return a.createRevision - b.createRevision || (a.key < b.key ? -1 : 1);
}

function nodeFor(root: Node, name: Name): Node {
  let node = root;
  for (let i = name.length - 1; i >= 0; i--) {
    const label = name[i] as Label;
    node = node.child(label) ?? addChild(node, label);
  }
  return node;
}

function rareOf(node: Node): RareParts {
  node.rare ??= {
    index: undefined,
    virtualAddresses: NO_VIRTUAL,
    virtualCount: 0,
    apartCount: 0,
    recordedCount: 0,
  };
  return node.rare;
}

function dropEmptyParts(node: Node): void {
  const { rare } = node;
  if (rare === undefined || rare.index !== undefined) return;
  if (rare.virtualCount + rare.apartCount + rare.recordedCount === 0) node.rare = undefined;
}

/** Adds to the number of services that do not count in the names above theirs. */
function countApart(node: Node, by: number): void {
  if (by === 0) return;
  for (let up: Node | undefined = node; up !== undefined; up = up.parent) {
    rareOf(up).apartCount += by;
    dropEmptyParts(up);
  }
}

/** Adds to the number of services that have records of their own. */
function countRecorded(node: Node, by: number): void {
  if (by === 0) return;
  for (let up: Node | undefined = node; up !== undefined; up = up.parent) {
    rareOf(up).recordedCount += by;
    dropEmptyParts(up);
  }
}

function recordedOf(registration: Registration | undefined): number {
  return registration === undefined || registration.attributes.records.length === 0 ? 0 : 1;
}

function apartOf(registration: Registration | undefined): number {
  return registration === undefined || registration.attributes.aggregate ? 0 : 1;
}

/** Removes the registration of a key from the node. */
function unlink(node: Node, key: string | undefined): Registration | undefined {
  let before: Registration | undefined;
  for (let at = node.first; at !== undefined; at = at.next) {
    if (at.key === key) {
      if (before === undefined) node.first = at.next;
      else before.next = at.next;
      return at;
    }
    before = at;
  }
  return undefined;
}

function addChild(parent: Node, label: Label): Node {
  const child = new Node(ownCopy(label), parent);
  const children = parent.children ?? [];
  child.position = children.length;
  if (children.length < INDEX_FROM) {
    // A copy has the exact size; push would reserve room for sixteen more.
    parent.children = [...children, child];
    // An index that the children once needed stays.
    parent.rare?.index?.set(child.label, child);
    return child;
  }
  const rare = rareOf(parent);
  rare.index ??= new Map(children.map((node) => [node.label, node]));
  rare.index.set(child.label, child);
  children.push(child);
  return child;
}

function removeChild(parent: Node, child: Node): void {
  const children = parent.children as Node[];
  const last = children.pop() as Node;
  if (last !== child) {
    children[child.position] = last;
    last.position = child.position;
  }
  parent.rare?.index?.delete(child.label);
  if (children.length > 0) return;
  parent.children = undefined;
  if (parent.rare === undefined) return;
  parent.rare.index = undefined;
  dropEmptyParts(parent);
}

/** V8 keeps substrings of 13 characters and more as views of the whole string, and would keep the key alive. */
function ownCopy(label: Label): Label {
  return label.length < 13 ? label : Buffer.from(label, 'latin1').toString('latin1');
}
