/**
 * The keys of TSIG, from the texts that `tsig-keygen`, `ddns-confgen` and `keymgr -t` print: statements of BIND, or the
 * YAML of Knot. Everything between them is skipped, since these programs print further configuration.
 */
import { foldName, type Name, nameKey, parseName } from '../dns/name.ts';

/** RFC 8945 §6 without the algorithms that use MD5 and SHA-1. */
const TSIG_ALGORITHMS = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const;
export type TsigAlgorithm = (typeof TSIG_ALGORITHMS)[number];

export interface TsigKey {
  /** Folded. */
  readonly name: Name;
  readonly algorithm: TsigAlgorithm;
  readonly secret: Uint8Array;
}

/** The keys by the `nameKey` of their names. */
export type TsigKeys = ReadonlyMap<string, TsigKey>;

export type ParsedTsigKeys =
  | { readonly kind: 'keys'; readonly keys: TsigKeys }
  /** Without the secret. */
  | { readonly kind: 'mistake'; readonly problem: string };

interface RawKey {
  readonly name: string;
  readonly algorithm: string;
  readonly secret: string;
}

/** RFC 8945 §4.3 wants at least half of the hash, as does RFC 2104 §3. */
const LEAST_SECRET_OCTETS = 16;

export function parseTsigKeys(text: string): ParsedTsigKeys {
  const raw = [...bindKeys(text), ...knotKeys(text)];
  if (raw.length === 0) return mistake('has no key; write one with `tsig-keygen NAME`');
  const keys = new Map<string, TsigKey>();
  for (const each of raw) {
    const key = keyOf(each);
    if (typeof key === 'string') return mistake(key);
    const id = nameKey(key.name);
    if (keys.has(id)) return mistake(`has the key ${each.name} twice`);
    keys.set(id, key);
  }
  return { kind: 'keys', keys };
}

function mistake(problem: string): ParsedTsigKeys {
  return { kind: 'mistake', problem };
}

/** The key, or what is wrong with it. */
function keyOf({ name, algorithm, secret }: RawKey): TsigKey | string {
  const parsed = parseName(name);
  if (parsed === undefined || parsed.length === 0)
    return `has a key with the name ${name}, which is not a domain name`;
  const known = TSIG_ALGORITHMS.find((each) => each === algorithm.toLowerCase());
  if (known === undefined) {
    return `has the key ${name} with the algorithm ${algorithm}; use ${TSIG_ALGORITHMS.join(', ')}`;
  }
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(secret))
    return `has the key ${name} without a secret in base64`;
  const octets = Buffer.from(secret, 'base64');
  if (octets.length < LEAST_SECRET_OCTETS) {
    return `has the key ${name} with a secret of fewer than ${LEAST_SECRET_OCTETS} octets`;
  }
  return { name: foldName(parsed), algorithm: known, secret: new Uint8Array(octets) };
}

/** `key "NAME" { algorithm NAME; secret "BASE64"; };` */
const BIND_KEY = /\bkey\s+"?([^\s"{]+)"?\s*\{([^}]*)\}/g;

function bindKeys(text: string): RawKey[] {
  const plain = text.replace(/\/\*[\s\S]*?\*\/|(?:^|\s)(?:#|\/\/).*$/gm, ' ');
  return [...plain.matchAll(BIND_KEY)].map(([, name = '', body = '']) => ({
    name,
    algorithm: valueIn(body, 'algorithm'),
    secret: valueIn(body, 'secret'),
  }));
}

function valueIn(body: string, word: string): string {
  return new RegExp(`\\b${word}\\s+"?([^\\s";]+)"?\\s*;`).exec(body)?.[1] ?? '';
}

/** `- id: NAME`, and the lines below it that are indented further than the dash. */
const KNOT_KEY = /^(\s*)-\s+id:\s*(\S+)[ \t]*\n((?:\1\s+[^\n]*(?:\n|$))*)/gm;

function knotKeys(text: string): RawKey[] {
  return [...text.matchAll(KNOT_KEY)].flatMap(([, , id = '', body = '']) => {
    const secret = lineIn(body, 'secret');
    // Other lists of Knot's configuration have items with an id too.
    if (secret === undefined) return [];
    return [{ name: unquoted(id), algorithm: lineIn(body, 'algorithm') ?? '', secret }];
  });
}

function lineIn(body: string, word: string): string | undefined {
  const found = new RegExp(`^\\s*${word}:\\s*(\\S+)`, 'm').exec(body)?.[1];
  return found === undefined ? undefined : unquoted(found);
}

function unquoted(text: string): string {
  return text.replace(/^["']|["']$/g, '');
}
