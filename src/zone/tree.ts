/**
 * The tree of owner names (RFC 1034 §3.1) with the services registered at them. A node exists exactly while a service
 * is registered at it or below it, so empty non-terminals and NXDOMAIN follow from the walk. Every node counts the
 * services at it and below it; inserting and removing changes only the path to the root.
 *
 * Built for a million names: a node with few children has one array of the exact size, a node with many has an array
 * and a Map. A node has a flat copy of its label, because a slice would keep a longer string alive.
 */
import type { Label, Name } from '../dns/name.ts';
import type { Lease } from '../service/change.ts';
import type { Service } from '../service/service.ts';

/** What one key registers at its owner name. */
export interface Registration extends Service {
  readonly modRevision: number;
  readonly lease: Lease | undefined;
  /** The key, if it is not the owner's canonical one: several keys may have one owner name. */
  readonly key: string | undefined;
  /** The next registration at the same owner. */
  next: Registration | undefined;
}

/** From this many children on, a Map is faster than a scan. */
const INDEX_FROM = 16;

export class Node {
  readonly label: Label;
  readonly parent: Node | undefined;
  /** Unordered: removal moves the last child into the gap. */
  children: Node[] | undefined = undefined;
  /** Label -> child, from `INDEX_FROM` children on. */
  index: Map<Label, Node> | undefined = undefined;
  /** Index in the parent's children. */
  position = 0;
  first: Registration | undefined = undefined;
  /** Services at and below this node; at 0 it has left the tree. */
  serviceCount = 0;
  /** Address of this name in the answer table, kept for the publisher; 0 for none. */
  tableAddress = 0;

  constructor(label: Label, parent: Node | undefined) {
    this.label = label;
    this.parent = parent;
  }

  child(label: Label): Node | undefined {
    if (this.index !== undefined) return this.index.get(label);
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

/** The node of a folded name; `undefined` if no service is registered at or below it. */
export function findNode(root: Node, name: Name): Node | undefined {
  let node: Node | undefined = root;
  for (let i = name.length - 1; i >= 0 && node !== undefined; i--) {
    node = node.child(name[i] as Label);
  }
  return node;
}

/** Inserts a registration at a folded owner name; it replaces the one of the same key. Returns the owner's node. */
export function insertRegistration(root: Node, owner: Name, registration: Registration): Node {
  let node = root;
  for (let i = owner.length - 1; i >= 0; i--) {
    const label = owner[i] as Label;
    node = node.child(label) ?? addChild(node, label);
  }
  const replaced = unlink(node, registration.key);
  registration.next = node.first;
  node.first = registration;
  if (replaced) return node;
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
  if (node === undefined || !unlink(node, key)) return undefined;
  for (let up: Node | undefined = node; up !== undefined; up = up.parent) {
    up.serviceCount--;
    if (up.serviceCount === 0 && up.parent !== undefined) removeChild(up.parent, up);
  }
  return node;
}

function unlink(node: Node, key: string | undefined): boolean {
  let before: Registration | undefined;
  for (let at = node.first; at !== undefined; at = at.next) {
    if (at.key === key) {
      if (before === undefined) node.first = at.next;
      else before.next = at.next;
      return true;
    }
    before = at;
  }
  return false;
}

function addChild(parent: Node, label: Label): Node {
  const child = new Node(ownCopy(label), parent);
  const children = parent.children ?? [];
  child.position = children.length;
  if (children.length < INDEX_FROM) {
    // A copy has the exact size; push would reserve room for sixteen more.
    parent.children = [...children, child];
    return child;
  }
  parent.index ??= new Map(children.map((node) => [node.label, node]));
  parent.index.set(child.label, child);
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
  parent.index?.delete(child.label);
  if (children.length === 0) {
    parent.children = undefined;
    parent.index = undefined;
  }
}

/** V8 keeps substrings of 13 characters and more as views of the whole string, and would keep the key alive. */
function ownCopy(label: Label): Label {
  return label.length < 13 ? label : Buffer.from(label, 'latin1').toString('latin1');
}
