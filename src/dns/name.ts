/**
 * Domain names (RFC 1035 §3.1) as lists of labels.
 *
 * A label is an octet string: a JavaScript string whose char codes are the octets 0..255. It can hold every octet of
 * the wire (dots, NUL, 0x80..0xff), takes one byte per octet in V8, and works as a Map key. Names keep their case, for
 * echoing; comparisons fold it (RFC 4343 §3: ASCII letters only). Escapes (`\.`, `\DDD`) exist only in `parseName` and
 * `printName`.
 */
export type Label = string;

/** The labels from left to right, without the root's empty one; the root itself is `[]`. */
export type Name = readonly Label[];

export const ROOT: Name = [];

/** RFC 1035 §2.3.4. */
export const MAX_LABEL_OCTETS = 63;
export const MAX_NAME_OCTETS = 255;

/** The octets of the uncompressed name on the wire, the root's zero octet included. */
export function nameOctets(name: Name): number {
  let octets = 1;
  for (const label of name) octets += 1 + label.length;
  return octets;
}

/** RFC 1035 §2.3.4: labels of 1..63 octets, 255 octets in all. */
export function isValidName(name: Name): boolean {
  for (const label of name) if (label.length === 0 || label.length > MAX_LABEL_OCTETS) return false;
  return nameOctets(name) <= MAX_NAME_OCTETS;
}

/** A..Z as a..z, any other octet as it is (RFC 4343 §3). */
export function foldOctet(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet;
}

/** The label with A..Z as a..z and every other octet as it is (`toLowerCase` would also fold 0xC0..0xDE). */
export function foldLabel(label: Label): Label {
  for (let i = 0; i < label.length; i++) {
    const code = label.charCodeAt(i);
    if (code >= 0x41 && code <= 0x5a) return foldFrom(label, i);
  }
  return label;
}

function foldFrom(label: Label, start: number): Label {
  let folded = label.slice(0, start);
  for (let i = start; i < label.length; i++) {
    folded += String.fromCharCode(foldOctet(label.charCodeAt(i)));
  }
  return folded;
}

export function foldName(name: Name): Name {
  return name.map(foldLabel);
}

/** The name in wire form (RFC 1035 §3.1), folded. */
export function wireName(name: Name): Uint8Array {
  const octets = new Uint8Array(nameOctets(name));
  let at = 0;
  for (const label of name) {
    const folded = foldLabel(label);
    octets[at++] = folded.length;
    for (let i = 0; i < folded.length; i++) octets[at++] = folded.charCodeAt(i);
  }
  return octets;
}

/** A text that is the same for equal names (RFC 4343) only: the length of each label, then the folded label. */
export function nameKey(name: Name): string {
  let key = '';
  for (const label of name) key += String.fromCharCode(label.length) + foldLabel(label);
  return key;
}

/** Equality under RFC 4343. */
export function equalNames(a: Name, b: Name): boolean {
  return a.length === b.length && isSubdomainOf(a, b);
}

/** Whether `name` is `ancestor` or below it. */
export function isSubdomainOf(name: Name, ancestor: Name): boolean {
  const offset = name.length - ancestor.length;
  if (offset < 0) return false;
  for (let i = ancestor.length - 1; i >= 0; i--) {
    const a = name[offset + i] as Label;
    const b = ancestor[i] as Label;
    if (a !== b && foldLabel(a) !== foldLabel(b)) return false;
  }
  return true;
}

/** Values of names, by which it finds the value of the longest name that another name is equal to or below. */
export class NameMap<T> {
  readonly #root: Branch<T> = { value: undefined, below: new Map() };
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Sets the value of a name, in place of an earlier one. */
  set(name: Name, value: T): void {
    let branch = this.#root;
    for (let i = name.length - 1; i >= 0; i--) {
      const label = foldLabel(name[i] as Label);
      const next: Branch<T> = branch.below.get(label) ?? { value: undefined, below: new Map() };
      branch.below.set(label, next);
      branch = next;
    }
    if (branch.value === undefined) this.#size++;
    branch.value = { value };
  }

  /** The value of the longest name in the map that `name` is equal to or below. */
  longest(name: Name): T | undefined {
    let found: { readonly value: T } | undefined = this.#root.value;
    let branch: Branch<T> | undefined = this.#root;
    for (let i = name.length - 1; i >= 0 && branch.below.size > 0; i--) {
      branch = branch.below.get(foldLabel(name[i] as Label));
      if (branch === undefined) break;
      found = branch.value ?? found;
    }
    return found?.value;
  }
}

interface Branch<T> {
  value: { readonly value: T } | undefined;
  readonly below: Map<Label, Branch<T>>;
}

/**
 * A name from presentation form (RFC 1035 §5.1: `\X`, `\DDD`), with or without the final dot; `.` and `` are the root.
 * Characters above 0x7f stand for their UTF-8 octets. `undefined` for any other text.
 */
export function parseName(text: string): Name | undefined {
  if (text === '.' || text === '') return ROOT;
  const octets = utf8Octets(text);
  const labels: string[] = [];
  let label = '';
  for (let i = 0; i < octets.length; i++) {
    const char = octets[i] as string;
    if (char === '.') {
      labels.push(label);
      label = '';
    } else if (char === '\\') {
      const escaped = readEscape(octets, i + 1);
      if (escaped === undefined) return undefined;
      label += escaped.octet;
      i += escaped.length;
    } else {
      label += char;
    }
  }
  if (label !== '') labels.push(label);
  return isValidName(labels) ? labels : undefined;
}

/** The text's UTF-8 octets as an octet string. */
export function utf8Octets(text: string): string {
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) > 0x7f) return Buffer.from(text, 'utf8').toString('latin1');
  return text;
}

/** The octet of the escape that follows a backslash at `text[at - 1]`, and the escape's length in characters. */
export function readEscape(
  text: string,
  at: number,
): { octet: string; length: number } | undefined {
  const digits = text.slice(at, at + 3);
  if (/^[0-9]{3}$/.test(digits)) {
    const code = Number(digits);
    return code <= 255 ? { octet: String.fromCharCode(code), length: 3 } : undefined;
  }
  const char = text[at];
  if (char === undefined || (char >= '0' && char <= '9')) return undefined;
  return { octet: char, length: 1 };
}

/** Presentation form with the final dot; safe to log: every octet outside printable ASCII is `\DDD`. */
export function printName(name: Name): string {
  return name.length === 0 ? '.' : `${name.map(printLabel).join('.')}.`;
}

export function printLabel(label: Label): string {
  return label.replace(/[^!-~]|["$().;@\\]/g, (char) => {
    const code = char.charCodeAt(0);
    return code > 0x20 && code < 0x7f ? `\\${char}` : `\\${String(code).padStart(3, '0')}`;
  });
}
