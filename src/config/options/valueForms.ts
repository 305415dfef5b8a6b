/**
 * The forms of option values, each from a raw value to a typed one. A form only accepts or refuses a value; the
 * option's row has the sentence about what is expected. Every command loads this file, so it imports little.
 */
import { foldName, type Name, nameOctets, parseName } from '../../dns/name.ts';
import { isDatacenterLabel, type NamedDatacenter } from '../../service/consulWords.ts';

/**
 * Reads the raw value of an option: a text, a list or a boolean, or anything else that JSON can hold. Undefined for a
 * value that it refuses. Never throws.
 */
export type ValueReader<T> = (raw: unknown) => { readonly value: T } | undefined;

/** A value that must not appear in logs, JSON or errors. Only `reveal` returns it. */
export class Secret {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  reveal(): string {
    return this.#text;
  }
  toJSON(): string {
    return '[secret]';
  }
  toString(): string {
    return '[secret]';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}

/** The form of a text, from a parser that returns undefined for an invalid one. */
export function parsedBy<T>(parse: (text: string) => T | undefined): ValueReader<T> {
  return (raw) => {
    const value = typeof raw === 'string' ? parse(raw.trim()) : undefined;
    return value === undefined ? undefined : { value };
  };
}

/** A list of at least one item. */
export function listOf<T>(item: ValueReader<T>): ValueReader<readonly T[]> {
  return (raw) => {
    if (!Array.isArray(raw) || raw.length === 0) return undefined;
    const items = raw.flatMap((each) => item(each) ?? []);
    return items.length === raw.length ? { value: items.map(({ value }) => value) } : undefined;
  };
}

export const switchValue: ValueReader<boolean> = (raw) =>
  typeof raw === 'boolean' ? { value: raw } : undefined;

export function wholeNumberValue(min: number, max: number): ValueReader<number> {
  return parsedBy((text) => {
    const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  });
}

export function oneOfValue<const T extends string>(...words: readonly T[]): ValueReader<T> {
  return (raw) => {
    const value = words.find((word) => word === raw);
    return value === undefined ? undefined : { value };
  };
}

/** The form of `form`, with another value for each of its values. */
export function mappedValue<T, U>(form: ValueReader<T>, map: (value: T) => U): ValueReader<U> {
  return (raw) => {
    const read = form(raw);
    return read && { value: map(read.value) };
  };
}

/** What either form accepts. */
export function eitherValue<T, U>(one: ValueReader<T>, other: ValueReader<U>): ValueReader<T | U> {
  return (raw) => one(raw) ?? other(raw);
}

export const secretText: ValueReader<Secret> = parsedBy((text) =>
  text === '' ? undefined : new Secret(text),
);

export const plainText: ValueReader<string> = parsedBy((text) => (text === '' ? undefined : text));

/** Without control characters, which no path has on purpose. */
export const filePath: ValueReader<string> = parsedBy((text) =>
  /^[^\p{Cc}]+$/u.test(text) ? text : undefined,
);

/** A domain that can be part of keys, in lower case: no label has `/`, blanks or control octets, or is a wildcard. */
export function parseDomain(text: string): Name | undefined {
  const name = parseName(text);
  if (name === undefined || text === '' || (name.length === 0 && text !== '.')) return undefined;
  return name.every((label) => /^[!-.0-~\x80-\xff]+$/.test(label) && label !== '*')
    ? foldName(name)
    : undefined;
}

/** Longer, the names of addresses in it would be too long. */
export const MAX_CONSUL_DOMAIN_OCTETS = 128;

export function parseConsulDomain(text: string): Name | undefined {
  const name = parseDomain(text);
  if (name === undefined || name.length === 0) return undefined;
  return nameOctets(name) <= MAX_CONSUL_DOMAIN_OCTETS ? name : undefined;
}

/** `east=production.east.skydns.local`. */
export function parseDatacenter(text: string): NamedDatacenter | undefined {
  const [, label = '', domain = ''] = /^([^=.]{1,63})=(.+)$/.exec(text) ?? [];
  const base = parseDomain(domain);
  const folded = label.toLowerCase();
  return base !== undefined && isDatacenterLabel(folded) ? { label: folded, base } : undefined;
}

/** An RNAME from `hostmaster@example.org` or, as a zone file has it, `hostmaster.example.org` (RFC 1035 §8). */
export function parseMailbox(text: string): Name | undefined {
  const at = text.indexOf('@');
  if (at < 0) return parseDomain(text);
  const domain = parseDomain(text.slice(at + 1));
  const local = text.slice(0, at);
  if (domain === undefined || local === '' || local.length > 63) return undefined;
  return /^[!-~]+$/.test(local) ? [local, ...domain] : undefined;
}

/** The prefix of every key, without slashes at the ends: `skydns`, `skydns/blue`. */
export function parsePathPrefix(text: string): string | undefined {
  const prefix = text.replace(/^\/+|\/+$/g, '');
  const valid = /^[!-.0-~]+(\/[!-.0-~]+)*$/.test(prefix);
  return valid && !prefix.split('/').some((part) => part === '.' || part === '..')
    ? prefix
    : undefined;
}

/** A number of log lines a second; `false` is 0 and `true` is 100. */
export function parseLinesPerSecond(text: string): number | undefined {
  if (text === 'false' || text === 'off') return 0;
  if (text === 'true' || text === 'on') return 100;
  return /^[0-9]{1,6}$/.test(text) ? Number(text) : undefined;
}

/**
 * Whether two option values are equal: scalars, secrets, and lists and plain objects of them. Throws on an object of
 * any other class, which may hide its content.
 */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (a instanceof Secret && b instanceof Secret) return a.reveal() === b.reveal();
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (!isPlain(a) || !isPlain(b)) throw new TypeError('an option value has no comparable form');
  const [one, other] = [Object.entries(a), Object.entries(b)];
  if (Array.isArray(a) !== Array.isArray(b) || one.length !== other.length) return false;
  const values = new Map(other);
  return one.every(([key, value]) => values.has(key) && isSameValue(value, values.get(key)));
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return Array.isArray(value) || prototype === Object.prototype || prototype === null;
}
