/**
 * The key that a request's path names: percent-decoded, then cleaned as Go's `path.Clean` does. etcd redirects an
 * unclean path to the clean one; this server answers it directly.
 */
const KEYS = '/v2/keys';
const MAX_KEY_OCTETS = 1024;
/** A name has at most 127 labels; the rest is for the prefix. */
const MAX_COMPONENTS = 136;

export type KeyPath =
  /** Begins with `/` and does not end in `/`, except the root, `/`. */
  | { readonly kind: 'key'; readonly key: string }
  /** A path outside /v2/keys. */
  | { readonly kind: 'elsewhere' }
  /** Not decodable: HTTP 400 without etcd's JSON, as in etcd. */
  | { readonly kind: 'malformed' }
  /** A path that cannot be a key here. */
  | { readonly kind: 'refused'; readonly cause: string };

/** The key that a percent-encoded request path names. */
export function keyOfPath(path: string): KeyPath {
  let decoded: string;
  if (/%(?![0-9a-fA-F]{2})/.test(path)) return { kind: 'malformed' };
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return { kind: 'refused', cause: 'the key is not UTF-8' };
  }
  const clean = cleanPath(decoded);
  if (clean !== KEYS && !clean.startsWith(`${KEYS}/`)) return { kind: 'elsewhere' };
  return checkKey(clean.slice(KEYS.length) || '/');
}

function checkKey(key: string): KeyPath {
  if (key.includes('\0')) return { kind: 'refused', cause: 'the key contains a NUL' };
  if (Buffer.byteLength(key) > MAX_KEY_OCTETS) {
    return { kind: 'refused', cause: `the key is longer than ${MAX_KEY_OCTETS} octets` };
  }
  if (key.split('/').length - 1 > MAX_COMPONENTS) {
    return { kind: 'refused', cause: `the key has more than ${MAX_COMPONENTS} components` };
  }
  return { kind: 'key', key };
}

/** The path without empty, `.` and `..` components. A `..` at the root has no effect. */
function cleanPath(path: string): string {
  const kept: string[] = [];
  for (const component of path.split('/')) {
    if (component === '..') kept.pop();
    else if (component !== '' && component !== '.') kept.push(component);
  }
  return `/${kept.join('/')}`;
}
