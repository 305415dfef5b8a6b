/**
 * The children of a node in the order of their labels, at least the first thousand. A name that stands for more services
 * than a message can carry has the first of them in a zone, whenever and wherever the zone is listed. Sorting all children
 * of a node for each change would take long, so the first ones of a node with many are kept.
 */
import { byLabel, childrenInOrder } from '../zone/contents.ts';
import { MAX_SELECTED } from '../zone/tree/select.ts';
import type { Node } from '../zone/tree/tree.ts';

/** A node with fewer children is sorted each time. */
const MANY = 2 * MAX_SELECTED;
/** So many are kept at most; after some have left, at least `MAX_SELECTED`. */
const KEPT = 4 * MAX_SELECTED;

export class ChildOrder {
  /** The first children of nodes with many. All others have greater labels than the last one. */
  readonly #first = new Map<Node, Node[]>();

  readonly inOrder = (node: Node): readonly Node[] => {
    const { children = [] } = node;
    if (children.length < MANY) return childrenInOrder(node);
    const known = this.#first.get(node);
    if (known !== undefined && known.length >= MAX_SELECTED) return known;
    const first = [...children].sort(byLabel).slice(0, KEPT / 2);
    this.#first.set(node, first);
    return first;
  };

  /** Call this for each node that has come into the tree, or has left it, with the nodes above it. */
  noteChange(node: Node): void {
    const first = node.parent && this.#first.get(node.parent);
    const last = first?.at(-1);
    if (first === undefined || last === undefined || node.label > last.label) return;
    const at = positionOf(first, node);
    const known = first[at];
    if (known?.label === node.label) first.splice(at, 1);
    if (node.isInTree) first.splice(at, 0, node);
    if (first.length > KEPT) first.length = KEPT / 2;
  }

  /** Forgets the nodes that have left the tree. */
  sweep(): void {
    for (const node of this.#first.keys()) if (!node.isInTree) this.#first.delete(node);
  }
}

/** Where the node is, or would be. */
function positionOf(sorted: readonly Node[], node: Node): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as Node).label < node.label) low = middle + 1;
    else high = middle;
  }
  return low;
}
