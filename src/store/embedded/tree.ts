/**
 * An ordered map from keys to values: a B+ tree whose nodes are copied only when a snapshot still shares them.
 *
 * Taking a snapshot costs nothing but a new epoch. A node is written in place when it was made in the current epoch and
 * copied first otherwise, so whoever holds an older root keeps seeing what was there. Invariants: keys ascend by
 * `compareOctets` within a leaf and across leaves; a branch has one key fewer than children, and `keys[i]` is not above
 * any key of `children[i + 1]` and above every key of `children[i]`.
 */
interface Leaf<V> {
  readonly epoch: number;
  readonly keys: string[];
  readonly values: V[];
}

interface Branch<V> {
  readonly epoch: number;
  readonly keys: string[];
  readonly children: TreeNode<V>[];
}

/** A root, as a snapshot hands it out; only this file looks inside. */
export type TreeNode<V> = Leaf<V> | Branch<V>;

const MAX_FANOUT = 64;
const MIN_FANOUT = 16;

/**
 * Compares two strings as their UTF-8 octets compare (negative, 0, positive), without encoding them. That is the order
 * of UTF-16 code units but for surrogates, which stand for characters above U+FFFF.
 */
export function compareOctets(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const unitA = a.charCodeAt(i);
    const unitB = b.charCodeAt(i);
    if (unitA !== unitB) return octetRank(unitA) - octetRank(unitB);
  }
  return a.length - b.length;
}

function octetRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}

export class OctetTree<V> {
  #epoch = 0;
  #root: TreeNode<V> = { epoch: 0, keys: [], values: [] };

  /** The tree as it is now; nothing written later shows in it. */
  snapshot(): TreeNode<V> {
    this.#epoch++;
    return this.#root;
  }

  get(key: string): V | undefined {
    return find(this.#root, key);
  }

  set(key: string, value: V): void {
    this.#root = this.#set(this.#root, key, value);
    if (size(this.#root) <= MAX_FANOUT) return;
    const grown: Branch<V> = { epoch: this.#epoch, keys: [], children: [this.#root] };
    this.#split(grown, 0);
    this.#root = grown;
  }

  /** Whether the key was there. */
  delete(key: string): boolean {
    if (find(this.#root, key) === undefined) return false;
    this.#root = this.#delete(this.#root, key);
    if ('children' in this.#root && this.#root.children.length === 1) {
      this.#root = this.#root.children[0] as TreeNode<V>;
    }
    return true;
  }

  page(prefix: string, after: string | undefined, limit: number): [string, V][] {
    return page(this.#root, prefix, after, limit);
  }

  #set(node: TreeNode<V>, key: string, value: V): TreeNode<V> {
    const own = this.#owned(node);
    if ('values' in own) {
      const at = lowerBound(own.keys, key);
      if (own.keys[at] === key) own.values[at] = value;
      else {
        own.keys.splice(at, 0, key);
        own.values.splice(at, 0, value);
      }
      return own;
    }
    const at = childIndex(own, key);
    const child = this.#set(own.children[at] as TreeNode<V>, key, value);
    own.children[at] = child;
    if (size(child) > MAX_FANOUT) this.#split(own, at);
    return own;
  }

  #delete(node: TreeNode<V>, key: string): TreeNode<V> {
    const own = this.#owned(node);
    if ('values' in own) {
      const at = lowerBound(own.keys, key);
      own.keys.splice(at, 1);
      own.values.splice(at, 1);
      return own;
    }
    const at = childIndex(own, key);
    const child = this.#delete(own.children[at] as TreeNode<V>, key);
    own.children[at] = child;
    if (size(child) < MIN_FANOUT && own.children.length > 1) this.#join(own, Math.max(at - 1, 0));
    return own;
  }

  #owned(node: TreeNode<V>): TreeNode<V> {
    const epoch = this.#epoch;
    if (node.epoch === epoch) return node;
    const keys = node.keys.slice();
    if ('values' in node) return { epoch, keys, values: node.values.slice() };
    return { epoch, keys, children: node.children.slice() };
  }

  /** Makes two of the parent's own child `at`. */
  #split(parent: Branch<V>, at: number): void {
    const child = parent.children[at] as TreeNode<V>;
    const middle = size(child) >> 1;
    const { left, right, separator } = halves(child, middle, this.#epoch);
    parent.children.splice(at, 1, left, right);
    parent.keys.splice(at, 0, separator);
  }

  /** Makes one of the parent's children `at` and `at + 1`, or two of even size when one would be too large. */
  #join(parent: Branch<V>, at: number): void {
    const left = parent.children[at] as TreeNode<V>;
    const right = parent.children[at + 1] as TreeNode<V>;
    const separator = parent.keys[at] as string;
    parent.children.splice(at, 2, joined(left, right, separator, this.#epoch));
    parent.keys.splice(at, 1);
    if (size(left) + size(right) > MAX_FANOUT) this.#split(parent, at);
  }
}

/**
 * Up to `limit` keys of the tree that begin with the prefix and are above `after`, ascending, with their values; it ends
 * before the first one that `fits` refuses.
 */
export function page<V>(
  root: TreeNode<V>,
  prefix: string,
  after: string | undefined,
  limit: number,
  fits: (key: string, value: V) => boolean = () => true,
): [string, V][] {
  const found: [string, V][] = [];
  collect(root, { prefix, after, limit, fits }, found);
  return found;
}

interface Wanted<V> {
  readonly prefix: string;
  readonly after: string | undefined;
  readonly limit: number;
  readonly fits: (key: string, value: V) => boolean;
}

export function find<V>(root: TreeNode<V>, key: string): V | undefined {
  let node = root;
  while ('children' in node) node = node.children[childIndex(node, key)] as TreeNode<V>;
  const at = lowerBound(node.keys, key);
  return node.keys[at] === key ? node.values[at] : undefined;
}

/** Whether there may be more in the nodes to the right. */
function collect<V>(node: TreeNode<V>, wanted: Wanted<V>, found: [string, V][]): boolean {
  const { prefix, after, limit, fits } = wanted;
  const from = after ?? prefix;
  if ('children' in node) {
    for (let i = childIndex(node, from); i < node.children.length; i++) {
      if (!collect(node.children[i] as TreeNode<V>, wanted, found)) return false;
    }
    return true;
  }
  for (let i = lowerBound(node.keys, from); i < node.keys.length; i++) {
    const key = node.keys[i] as string;
    if (key === after) continue;
    const value = node.values[i] as V;
    if (found.length === limit || !key.startsWith(prefix) || !fits(key, value)) return false;
    found.push([key, value]);
  }
  return true;
}

function size<V>(node: TreeNode<V>): number {
  return 'children' in node ? node.children.length : node.keys.length;
}

/** Index of the first key that is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareOctets(keys[middle] as string, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function childIndex<V>(branch: Branch<V>, key: string): number {
  const at = lowerBound(branch.keys, key);
  return branch.keys[at] === key ? at + 1 : at;
}

function halves<V>(node: TreeNode<V>, middle: number, epoch: number) {
  const separator = node.keys['values' in node ? middle : middle - 1] as string;
  if ('values' in node) {
    const { keys, values } = node;
    const left: Leaf<V> = { epoch, keys: keys.slice(0, middle), values: values.slice(0, middle) };
    const right: Leaf<V> = { epoch, keys: keys.slice(middle), values: values.slice(middle) };
    return { left, right, separator };
  }
  const { keys, children } = node;
  const left: Branch<V> = {
    epoch,
    keys: keys.slice(0, middle - 1),
    children: children.slice(0, middle),
  };
  const right: Branch<V> = { epoch, keys: keys.slice(middle), children: children.slice(middle) };
  return { left, right, separator };
}

function joined<V>(
  left: TreeNode<V>,
  right: TreeNode<V>,
  separator: string,
  epoch: number,
): TreeNode<V> {
  if ('values' in left && 'values' in right) {
    const keys = left.keys.concat(right.keys);
    return { epoch, keys, values: left.values.concat(right.values) };
  }
  if ('children' in left && 'children' in right) {
    const keys = [...left.keys, separator, ...right.keys];
    return { epoch, keys, children: left.children.concat(right.children) };
  }
  throw new Error('the leaves of a tree are all at one depth');
}
