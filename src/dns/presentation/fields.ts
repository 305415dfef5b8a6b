/**
 * The fields of which most rdata consists, each between octets and text in both directions. A field that is not there
 * prints as an empty text.
 */
import { addressFamily, addressOctets, printAddress } from '../address.ts';
import type { Cursor } from '../cursor.ts';
import { type Label, MAX_LABEL_OCTETS, MAX_NAME_OCTETS, type Name, printName } from '../name.ts';
import {
  numberOctets,
  parseBase32,
  parseBase64,
  parseHex,
  printBase32,
  printBase64,
  printHex,
} from './encodings.ts';
import { typeCode, typeName } from './mnemonic.ts';
import { quote, type Words } from './words.ts';

export interface Field {
  /** Reads the field's octets; fails the cursor if they break the field's rules. The cursor ends with the rdata. */
  print(cursor: Cursor): string;
  /** Takes the field's words; returns its octets. */
  parse(words: Words): string;
}

/** Words that text may have in place of numbers. */
export type Mnemonics = Readonly<Record<string, number>>;

/** An unsigned number of 1, 2 or 4 octets. */
export function unsigned(what: string, length: 1 | 2 | 4, mnemonics: Mnemonics = {}): Field {
  const max = 256 ** length - 1;
  return {
    print: (cursor) => String(readUnsigned(cursor, length)),
    parse(words) {
      const word = words.peek()?.toUpperCase() ?? '';
      const known = Object.hasOwn(mnemonics, word) ? mnemonics[word] : undefined;
      if (known !== undefined) words.word(what);
      return numberOctets(known ?? words.integer(what, 0, max), length);
    },
  };
}

function readUnsigned(cursor: Cursor, length: number): number {
  let value = 0;
  for (let i = 0; i < length; i++) value = value * 256 + cursor.u8();
  return value;
}

/** The mnemonic of a type, or `TYPE1000`. */
export function rrType(what: string): Field {
  return {
    print: (cursor) => typeName(cursor.u16()),
    parse: (words) => numberOctets(readType(words, what), 2),
  };
}

export function readType(words: Words, what: string): number {
  const type = typeCode(words.word(what));
  if (type === undefined) words.fail(`${what} is not a record type`);
  return type ?? 0;
}

export function domainName(what: string): Field {
  return {
    print: (cursor) => printName(readPlainName(cursor)),
    parse: (words) => plainNameOctets(words.name(what)),
  };
}

/** A name without compression: a pointer in these octets would lead out of the rdata. */
export function readPlainName(cursor: Cursor): Name {
  const labels: Label[] = [];
  let octets = 1;
  for (;;) {
    const length = cursor.u8();
    octets += 1 + length;
    if (length === 0 || cursor.failed) return labels;
    if (length > MAX_LABEL_OCTETS || octets > MAX_NAME_OCTETS) cursor.fail();
    labels.push(cursor.string(length));
  }
}

/** The octets of the name, in its case. */
export function plainNameOctets(name: Name): string {
  let octets = '';
  for (const label of name) octets += String.fromCharCode(label.length) + label;
  return `${octets}\0`;
}

/** One <character-string> (RFC 1035 §3.3). */
export function characterString(what: string): Field {
  return {
    print: (cursor) => quote(cursor.characterString()),
    parse: (words) => stringOctets(words, what),
  };
}

function stringOctets(words: Words, what: string): string {
  const octets = words.octets(what);
  if (octets.length > 255) words.fail(`${what} is longer than 255 octets`);
  return String.fromCharCode(octets.length & 0xff) + octets;
}

/** The remaining <character-string>s, `min` at least. */
export function characterStrings(what: string, min: 0 | 1 = 1): Field {
  return {
    print(cursor) {
      const strings: string[] = [];
      while (strings.length < min || cursor.at < cursor.end) {
        strings.push(quote(cursor.characterString()));
      }
      return strings.join(' ');
    },
    parse(words) {
      let octets = '';
      for (let i = 0; i < min || !words.isAtEnd; i++) octets += stringOctets(words, what);
      return octets;
    },
  };
}

/** The remaining octets as one quoted text, `min` octets at least. */
export function quotedRest(what: string, min: 0 | 1 = 0): Field {
  return {
    print(cursor) {
      const octets = restOf(cursor);
      if (octets.length < min) cursor.fail();
      return quote(octets);
    },
    parse(words) {
      const octets = words.octets(what);
      if (octets.length < min) words.fail(`${what} is empty`);
      return octets;
    },
  };
}

export function restOf(cursor: Cursor): string {
  return cursor.string(cursor.end - cursor.at);
}

/** The remaining octets, `min` at least, in hexadecimal digits; the digits may be in several words. */
export function hexRest(what: string, min: 0 | 1 = 1): Field {
  return encodedRest(what, min, 'is not an even number of hexadecimal digits', printHex, parseHex);
}

/** The remaining octets, `min` at least, in base64, which may be in several words. */
export function base64Rest(what: string, min: 0 | 1 = 1): Field {
  return encodedRest(what, min, 'is not base64', printBase64, parseBase64);
}

function encodedRest(
  what: string,
  min: number,
  fault: string,
  print: (octets: string) => string,
  decode: (text: string) => string | undefined,
): Field {
  return {
    print(cursor) {
      const octets = restOf(cursor);
      if (octets.length < min) cursor.fail();
      return print(octets);
    },
    parse(words) {
      const text = words.rest().join('');
      const octets = decode(text);
      if (octets === undefined) words.fail(`${what} ${fault}`);
      else if (octets.length < min) words.fail(`${what} is missing`);
      return octets ?? '';
    },
  };
}

/** A word that stands for no octets at all. */
const NONE = '-';

/** The remaining octets in base64, which may be in several words; `-` for none (RFC 5155 has it for salts). */
export function base64OrNone(what: string): Field {
  const rest = base64Rest(what);
  return {
    print: (cursor) => (cursor.at === cursor.end ? NONE : rest.print(cursor)),
    parse(words) {
      if (words.peek() !== NONE) return rest.parse(words);
      words.word(what);
      return '';
    },
  };
}

/**
 * The number of a hash function and the remaining octets as its digest; `lengths` has the digests' octets by function, for
 * those that are checked.
 */
export function typedDigest(
  what: string,
  typeWhat: string,
  lengths: Readonly<Record<number, number>>,
): Field {
  const type = unsigned(typeWhat, 1);
  const digest = hexRest(what);
  return {
    print(cursor) {
      const length = lengths[cursor.octets[cursor.at] ?? 0];
      const number = type.print(cursor);
      if (length !== undefined && cursor.end - cursor.at !== length) cursor.fail();
      return `${number} ${digest.print(cursor)}`;
    },
    parse(words) {
      const number = type.parse(words);
      const octets = digest.parse(words);
      const length = lengths[number.charCodeAt(0)];
      if (length !== undefined && octets.length !== length) {
        words.fail(`${what} has ${octets.length} octets, not ${length}`);
      }
      return number + octets;
    },
  };
}

/** Octets behind their length, in hexadecimal digits; `-` for none. */
export function saltField(what: string): Field {
  return {
    print: (cursor) => printHex(cursor.characterString()) || NONE,
    parse(words) {
      const text = words.word(what);
      const octets = text === NONE ? '' : parseHex(text);
      if (octets === undefined) words.fail(`${what} is neither - nor hexadecimal digits`);
      else if (octets.length > 255) words.fail(`${what} is longer than 255 octets`);
      return String.fromCharCode((octets ?? '').length & 0xff) + (octets ?? '');
    },
  };
}

/** Octets behind their length, in base32hex (RFC 5155 §3.3). */
export function base32Field(what: string): Field {
  return {
    print(cursor) {
      const octets = cursor.characterString();
      if (octets === '') cursor.fail();
      return printBase32(octets);
    },
    parse(words) {
      const octets = parseBase32(words.word(what)) ?? '';
      if (octets === '' || octets.length > 255) words.fail(`${what} is not base32hex`);
      return String.fromCharCode(octets.length & 0xff) + octets;
    },
  };
}

export function ipAddress(what: string, family: 4 | 6): Field {
  return {
    print(cursor) {
      const octets = cursor.copy(family === 4 ? 4 : 16);
      return cursor.failed ? '' : printAddress(octets);
    },
    parse: (words) => ipAddressOctets(words.word(what), family, words, what),
  };
}

/** The octets of an address of that family; another text fails the words. */
export function ipAddressOctets(text: string, family: 4 | 6, words: Words, what: string): string {
  if (addressFamily(text) !== family) {
    words.fail(`${what} is not an IPv${family} address`);
    return '';
  }
  return Buffer.from(addressOctets(text)).toString('latin1');
}

/** Groups of hexadecimal digits: `00-00-5e-00-53-2a` (RFC 7043), `14:4fff:ff20:ee64` (RFC 6742). */
export function digitGroups(what: string, count: number, digits: 2 | 4, separator: string): Field {
  const group = `[0-9a-f]{${digits === 2 ? 2 : '1,4'}}`;
  const form = new RegExp(`^${group}(?:${separator}${group}){${count - 1}}$`, 'i');
  return {
    print(cursor) {
      const groups: string[] = [];
      for (let i = 0; i < count; i++) {
        groups.push(
          readUnsigned(cursor, digits / 2)
            .toString(16)
            .padStart(digits, '0'),
        );
      }
      return groups.join(separator);
    },
    parse(words) {
      const text = words.word(what);
      if (!form.test(text)) words.fail(`${what} is not ${count} groups of hexadecimal digits`);
      const groups = text.split(separator).map((each) => Number.parseInt(each, 16) || 0);
      return groups.map((each) => numberOctets(each, digits / 2)).join('');
    },
  };
}
