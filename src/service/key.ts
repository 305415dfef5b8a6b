/**
 * Store keys and owner names in SkyDNS's layout, the prefix and then the labels from the root down:
 * `/skydns/local/skydns/east/rails` is `rails.east.skydns.local.`. A key component with dots, such as registrator's
 * ids, stands for several labels in their written order.
 */
import {
  foldLabel,
  type Label,
  MAX_LABEL_OCTETS,
  MAX_NAME_OCTETS,
  type Name,
  utf8Octets,
} from '../dns/name.ts';

export type KeyName =
  | {
      readonly kind: 'name';
      /** Folded, so that queries in any case find a key in upper case. */
      readonly owner: Name;
      /** Whether `keyOfName(owner)` returns the same key. */
      readonly canonical: boolean;
    }
  /** A key such as `/skydns/local/`, which only marks an empty directory of the v2 keys API. */
  | { readonly kind: 'directory' }
  | { readonly kind: 'invalid'; readonly reason: string };

/** `/skydns/` for `skydns`, `/skydns` and `/skydns/`: the form of a `Store`'s prefixes. */
export function keyPrefix(pathPrefix: string): string {
  const components = pathPrefix.split('/').filter((component) => component !== '');
  return components.length === 0 ? '/' : `/${components.join('/')}/`;
}

/** What the store holds about names beside their services, each kind below a prefix of its own. */
export const NAME_TABLES = ['vip', 'leader', 'query'] as const;
export type NameTable = (typeof NAME_TABLES)[number];

/** `/skydns-vip/` for `/skydns/`: the prefix of a table's keys; `prefix` as `keyPrefix` returns it. */
export function tablePrefix(prefix: string, table: NameTable): string {
  return `${prefix.slice(0, -1)}-${table}/`;
}

/** The key of SkyDNS's configuration, beside the names; `prefix` as `keyPrefix` returns it. */
export function configKey(prefix: string): string {
  return `${prefix}config`;
}

/** In a key from a store, these stand for octets that are not UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** The owner name of a key; `prefix` as `keyPrefix` returns it. */
export function nameOfKey(key: string, prefix: string): KeyName {
  if (!key.startsWith(prefix)) return { kind: 'invalid', reason: `is not below ${prefix}` };
  const path = key.slice(prefix.length);
  if (path === '') return { kind: 'directory' };
  return isPlain(path) ? nameOfPlainPath(path) : nameOfPath(path);
}

/** Whether every component is a folded label, which is so for almost all keys. */
function isPlain(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    const isLetter = code >= 0x61 && code <= 0x7a;
    const isDigitOrSlash = code >= 0x2f && code <= 0x39;
    if (!isLetter && !isDigitOrSlash && code !== 0x2d && code !== 0x5f) return false;
  }
  return true;
}

function nameOfPlainPath(path: string): KeyName {
  const owner = path.split('/');
  const canonical = owner.at(-1) !== '';
  if (!canonical) owner.pop();
  owner.reverse();
  const reason = faultOfName(owner);
  return reason === undefined ? { kind: 'name', owner, canonical } : { kind: 'invalid', reason };
}

function nameOfPath(path: string): KeyName {
  if (LONE_SURROGATE.test(path)) return { kind: 'invalid', reason: 'is not UTF-8' };
  const components = path.split('/');
  let canonical = true;
  if (components.at(-1) === '') {
    components.pop();
    canonical = false;
  }
  const owner: Label[] = [];
  for (let i = components.length - 1; i >= 0; i--) {
    const component = components[i] as string;
    const octets = foldLabel(utf8Octets(component));
    if (textOfLabel(octets) !== component) canonical = false;
    if (octets.includes('.')) {
      canonical = false;
      owner.push(...octets.split('.'));
    } else {
      owner.push(octets);
    }
  }
  const reason = faultOfName(owner);
  return reason === undefined ? { kind: 'name', owner, canonical } : { kind: 'invalid', reason };
}

function faultOfName(owner: Name): string | undefined {
  let octets = 1;
  for (const label of owner) {
    if (label.length === 0) return 'has an empty label';
    if (label.length > MAX_LABEL_OCTETS) return `has a label above ${MAX_LABEL_OCTETS} octets`;
    octets += 1 + label.length;
  }
  return octets > MAX_NAME_OCTETS ? `is a name above ${MAX_NAME_OCTETS} octets` : undefined;
}

/**
 * The key of a name. `undefined` if no key can stand for it: a `/` in a label would make a deeper key, a `.` would make
 * two labels, and keys are UTF-8.
 */
export function keyOfName(name: Name, prefix: string): string | undefined {
  let path = '';
  for (let i = name.length - 1; i >= 0; i--) {
    const component = textOfLabel(foldLabel(name[i] as Label));
    if (component === undefined || /[/.]/.test(component)) return undefined;
    path += path === '' ? component : `/${component}`;
  }
  return prefix + path;
}

/** The label as text; `undefined` if its octets are not UTF-8. */
export function textOfLabel(label: Label): string | undefined {
  for (let i = 0; i < label.length; i++) {
    if (label.charCodeAt(i) > 0x7f) {
      const octets = Buffer.from(label, 'latin1');
      const text = octets.toString('utf8');
      return Buffer.from(text, 'utf8').equals(octets) ? text : undefined;
    }
  }
  return label;
}
