/**
 * The store's flat keys as etcd's v2 tree. Keys below a directory imply it; an empty directory is kept by its marker.
 * Unlike etcd's v2 tree, a store can have a value at a key that has keys below it; such a node appears as a directory
 * with a `value`. Listings hide components that begin with `_`.
 */
import type { Entry } from '../../../service/change.ts';
import { directoryPrefix } from '../../../service/keyTree.ts';
import type { KeyLocation, Store } from '../../../store/store.ts';
import { entryNode, type Instant, indices, leaseFields, valueText } from './v2Responses.ts';

/** How deep a listing reads below a directory. Deeper keys only imply the directories above them. */
export type Depth = 'nothing' | 'children' | 'all';

export interface Directory {
  /** The createRevision of the oldest key below, which approximates etcd's createdIndex. */
  createRevision: number;
  /** The number of keys below, without the directory's own marker and with hidden keys. */
  size: number;
  readonly children: Map<string, NodeContent>;
}

/** The content of one key: a leaf, a directory, or both. */
export interface NodeContent {
  leaf: Entry | undefined;
  directory: Directory | undefined;
}

export interface FoundNode {
  /** The store was read at this revision or later. */
  readonly revision: number;
  readonly leaf: Entry | undefined;
  readonly directory: Directory | undefined;
  readonly location: KeyLocation;
}

/** Reserves memory for a reply; false if a long reply gets no permit. */
export type ReserveMemory = (
  octets: number,
  what: 'leaf' | 'listing',
) => boolean | Promise<boolean>;

const ATTEMPTS = 5;

/** Reads a key and, to the given depth, the keys below it; undefined only if `reserve` returned false. */
export async function readNode(store: Store, key: string, depth: Depth): Promise<FoundNode>;
export async function readNode(
  store: Store,
  key: string,
  depth: Depth,
  reserve: ReserveMemory,
): Promise<FoundNode | undefined>;
export async function readNode(
  store: Store,
  key: string,
  depth: Depth,
  reserve: ReserveMemory = () => true,
): Promise<FoundNode | undefined> {
  for (let attempt = 1; ; attempt++) {
    const [found, location] = await Promise.all([getLeaf(store, key), store.locate(key)]);
    const { entry: leaf } = found;
    const octets = leaf === undefined ? 0 : leaf.key.length + leaf.value.length;
    if (!(await reserve(octets, 'leaf'))) return undefined;
    const below = isDirectory(key, location)
      ? await readDirectory(store, key, depth, reserve)
      : { revision: location.revision, directory: undefined };
    if (below === undefined) return undefined;
    const { directory } = below;
    const nothing = leaf === undefined && directory === undefined;
    // The reads are not one snapshot: a key that becomes a directory in between would appear as neither.
    if (nothing && below.revision !== found.revision && attempt < ATTEMPTS) continue;
    return { revision: Math.min(found.revision, below.revision), leaf, directory, location };
  }
}

async function getLeaf(store: Store, key: string) {
  return key === '/' ? { entry: undefined, revision: Number.POSITIVE_INFINITY } : store.get(key);
}

/** Whether the key has keys below it, its marker included. */
export function isDirectory(key: string, { end }: KeyLocation): boolean {
  return key === '/' || end === undefined;
}

/** The key above this one that has a value and no keys below it. In a v2 tree it blocks every path through it. */
export function leafAbove(key: string, { end, endHasEntry }: KeyLocation): string | undefined {
  return endHasEntry && end !== key ? end : undefined;
}

async function readDirectory(store: Store, key: string, depth: Depth, reserve: ReserveMemory) {
  const prefix = directoryPrefix(key);
  const directory = newDirectory();
  let found = key === '/';
  let revision = 0;
  for await (const page of store.snapshot(prefix)) {
    revision = page.revision;
    for (const entry of page.entries) {
      found = true;
      const kept = insert(directory, entry.key.slice(prefix.length), entry, depth);
      if (kept === 0) continue;
      const mayKeep = reserve(kept, 'listing');
      if (mayKeep !== true && !(await mayKeep)) return undefined;
    }
  }
  return { revision, directory: found ? directory : undefined };
}

function newDirectory(): Directory {
  return { createRevision: Number.POSITIVE_INFINITY, size: 0, children: new Map() };
}

/** Measured: 50,000 small keys in the tree take some 27 MB. */
const NODE_OCTETS = 500;

/** Adds an entry to the directory. Returns the approximate memory, in octets, that the entry takes. */
function insert(top: Directory, relativeKey: string, entry: Entry, depth: Depth): number {
  const components = relativeKey.split('/');
  const levels = depth === 'nothing' ? 0 : depth === 'children' ? 1 : components.length;
  let directory = top;
  let kept = 0;
  touch(directory, entry, relativeKey !== '');
  for (const [index, component] of components.slice(0, levels).entries()) {
    // An empty last component is a marker, which has already created its directory. v2 cannot address an empty
    // component elsewhere.
    if (component === '' || component.startsWith('_')) return kept;
    const known = directory.children.get(component);
    const child = known ?? newChild(directory, component);
    if (known === undefined) kept += NODE_OCTETS + component.length;
    if (index === components.length - 1) {
      child.leaf = entry;
      return kept + entry.key.length + entry.value.length;
    }
    child.directory ??= newDirectory();
    directory = child.directory;
    touch(directory, entry, index < components.length - 2 || components.at(-1) !== '');
  }
  return kept;
}

function touch(directory: Directory, entry: Entry, counts: boolean): void {
  directory.createRevision = Math.min(directory.createRevision, entry.createRevision);
  if (counts) directory.size++;
}

function newChild(directory: Directory, component: string): NodeContent {
  const child: NodeContent = { leaf: undefined, directory: undefined };
  directory.children.set(component, child);
  return child;
}

/** The JSON of a node and of the nodes below it that were read, in the order of their keys, piece by piece. */
export function* listingText(
  key: string,
  { leaf, directory }: NodeContent,
  clock: Instant,
): Generator<string, void, undefined> {
  if (directory === undefined) {
    if (leaf !== undefined) yield JSON.stringify(entryNode(leaf, clock));
    return;
  }
  const own = {
    ...(key === '/' ? {} : { key }),
    ...(leaf === undefined
      ? {}
      : { value: valueText(leaf.value), ...leaseFields(leaf.lease, clock) }),
    dir: true,
  };
  yield JSON.stringify(own).slice(0, -1);
  let separator = ',"nodes":[';
  for (const [name, child] of [...directory.children].sort(([a], [b]) => (a < b ? -1 : 1))) {
    yield separator;
    yield* listingText(directoryPrefix(key) + name, child, clock);
    separator = ',';
  }
  if (directory.children.size > 0) yield ']';
  const { createRevision } = directory;
  const tail = key === '/' ? '' : JSON.stringify(indices(createRevision, createRevision));
  yield tail === '' ? '}' : `,${tail.slice(1)}`;
}
