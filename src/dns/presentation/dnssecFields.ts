/** Fields of DNSSEC's records (RFC 4034, RFC 5155): times, sets of types, and numbers with mnemonics. */
import { numberOctets } from './encodings.ts';
import { type Field, type Mnemonics, readType, unsigned } from './fields.ts';
import { typeName } from './mnemonic.ts';

/** The mnemonics of algorithms (RFC 4034 §A.1, IANA, "DNS Security Algorithm Numbers"), which text may have. */
const ALGORITHMS: Mnemonics = {
  RSAMD5: 1,
  DH: 2,
  DSA: 3,
  RSASHA1: 5,
  NSEC3DSA: 6,
  NSEC3RSASHA1: 7,
  'DSA-NSEC3-SHA1': 6,
  'RSASHA1-NSEC3-SHA1': 7,
  RSASHA256: 8,
  RSASHA512: 10,
  ECCGOST: 12,
  ECDSAP256SHA256: 13,
  ECDSAP384SHA384: 14,
  ED25519: 15,
  ED448: 16,
  INDIRECT: 252,
  PRIVATEDNS: 253,
  PRIVATEOID: 254,
};

export const algorithm: Field = unsigned('algorithm', 1, ALGORITHMS);

/** RFC 4398 §2.1. */
const CERTIFICATE_TYPES: Mnemonics = {
  PKIX: 1,
  SPKI: 2,
  PGP: 3,
  IPKIX: 4,
  ISPKI: 5,
  IPGP: 6,
  ACPKIX: 7,
  IACPKIX: 8,
  URI: 253,
  OID: 254,
};

export const certificateType: Field = unsigned('certificate type', 2, CERTIFICATE_TYPES);

/**
 * Seconds since 1970 as YYYYMMDDHHmmSS (RFC 4034 §3.2). The 32 bits begin again in 2106; a date beyond that is read as
 * its lower 32 bits, and printed as the first time with these bits.
 */
export function signatureTime(what: string): Field {
  return {
    print: (cursor) => printDnssecTime(cursor.u32()),
    parse(words) {
      const text = words.peek() ?? '';
      if (!/^[0-9]{14}$/.test(text)) return numberOctets(words.integer(what, 0, 2 ** 32 - 1), 4);
      words.word(what);
      const seconds = parseDnssecTime(text);
      if (seconds === undefined) words.fail(`${what} is not a date`);
      return numberOctets((seconds ?? 0) % 2 ** 32, 4);
    },
  };
}

/** Key files have this form as well. */
export function printDnssecTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString().slice(0, 19).replace(/[-T:]/g, '');
}

/** Seconds since 1970; `undefined` for any other text, an earlier date, and a date that no calendar has. */
export function parseDnssecTime(text: string): number | undefined {
  const [, date, hour, minute, second] = /^(\d{8})(\d\d)(\d\d)(\d\d)$/.exec(text) ?? [];
  const day = date?.replace(/^(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3');
  const ms = Date.parse(`${day}T${hour}:${minute}:${second}Z`);
  // Date.parse takes the 30th of February for the 1st of March.
  const isDate = !Number.isNaN(ms) && ms >= 0 && printDnssecTime(ms / 1000) === text;
  return isDate ? ms / 1000 : undefined;
}

/** A set of types (RFC 4034 §4.1.2), as their mnemonics in ascending order. */
export const typeSet: Field = {
  print(cursor) {
    const types: string[] = [];
    let before = -1;
    while (cursor.at < cursor.end && !cursor.failed) {
      const window = cursor.u8();
      const bits = cursor.characterString();
      if (window <= before || !isBitmap(bits) || bits.length > 32) cursor.fail();
      before = window;
      for (const type of numbersIn(bits)) types.push(typeName(window * 256 + type));
    }
    return types.join(' ');
  },
  parse(words) {
    const types: number[] = [];
    while (!words.isAtEnd) types.push(readType(words, 'a type'));
    return typeBitmaps(types);
  },
};

/** A set of types below 128 without windows, in the record that NSEC has replaced (RFC 2535 §5.2). */
export const oldTypeSet: Field = {
  print(cursor) {
    const bits = cursor.string(cursor.end - cursor.at);
    // The first bit is reserved for another form, which no RFC defines yet.
    if (!isBitmap(bits) || bits.length > 16 || bits.charCodeAt(0) >= 0x80) cursor.fail();
    return numbersIn(bits).map(typeName).join(' ');
  },
  parse(words) {
    const types: number[] = [];
    while (!words.isAtEnd) {
      const type = readType(words, 'a type');
      if (type === 0 || type > 127) words.fail('a type is not 1 to 127');
      types.push(type & 0x7f);
    }
    return bitmapOf(types);
  },
};

/** A bitmap has no zero octets at its end (RFC 4034 §4.1.2). */
function isBitmap(bits: string): boolean {
  return bits !== '' && !bits.endsWith('\0');
}

/** A set of types, in windows of 256. */
export function typeBitmaps(types: Iterable<number>): string {
  const windows = new Map<number, number[]>();
  for (const type of types) {
    const window = type >> 8;
    windows.set(window, [...(windows.get(window) ?? []), type & 0xff]);
  }
  return [...windows]
    .sort(([a], [b]) => a - b)
    .map(([window, numbers]) => {
      const bits = bitmapOf(numbers);
      return String.fromCharCode(window, bits.length) + bits;
    })
    .join('');
}

/** Bit 0 is the highest one of the first octet. */
export function bitmapOf(numbers: readonly number[]): string {
  const octets: number[] = [];
  for (const number of numbers) {
    while (octets.length <= number >> 3) octets.push(0);
    octets[number >> 3] = (octets[number >> 3] ?? 0) | (0x80 >> (number & 7));
  }
  return String.fromCharCode(...octets);
}

export function numbersIn(bits: string): number[] {
  const set: number[] = [];
  for (let i = 0; i < bits.length * 8; i++) {
    if ((bits.charCodeAt(i >> 3) & (0x80 >> (i & 7))) !== 0) set.push(i);
  }
  return set;
}
