/** Fields that one type or two have: relays and gateways, lists of networks, host identities, old addresses. */
import { addressFamily, addressOctets, printAddress } from '../address.ts';
import type { Cursor } from '../cursor.ts';
import { printName } from '../name.ts';
import { bitmapOf, numbersIn } from './dnssecFields.ts';
import { numberOctets, parseBase64, parseHex, printBase64, printHex } from './encodings.ts';
import { type Field, ipAddressOctets, plainNameOctets, readPlainName, restOf } from './fields.ts';
import type { Words } from './words.ts';

/** A gateway by its kind: 0 none, 1 an IPv4 address, 2 an IPv6 address, 3 a name. */
function printGateway(cursor: Cursor, kind: number): string {
  switch (kind) {
    case 0:
      return '.';
    case 1:
    case 2: {
      const octets = cursor.copy(kind === 1 ? 4 : 16);
      return cursor.failed ? '' : printAddress(octets);
    }
    case 3:
      return printName(readPlainName(cursor));
    default:
      cursor.fail();
      return '';
  }
}

function parseGateway(words: Words, kind: number, what: string): string {
  switch (kind) {
    case 0:
      if (words.word(what) !== '.') words.fail(`${what} is not .`);
      return '';
    case 1:
    case 2:
      return ipAddressOctets(words.word(what), kind === 1 ? 4 : 6, words, what);
    default:
      return plainNameOctets(words.name(what));
  }
}

/** IPSECKEY up to its key (RFC 4025 §2): precedence, kind of gateway, algorithm, gateway. */
export const ipsecGateway: Field = {
  print(cursor) {
    const [precedence, kind, algorithm] = [cursor.u8(), cursor.u8(), cursor.u8()];
    return `${precedence} ${kind} ${algorithm} ${printGateway(cursor, kind)}`;
  },
  parse(words) {
    const precedence = words.integer('precedence', 0, 255);
    const kind = words.integer('gateway type', 0, 3);
    const algorithm = words.integer('algorithm', 0, 255);
    const gateway = parseGateway(words, kind, 'gateway');
    return String.fromCharCode(precedence, kind, algorithm) + gateway;
  },
};

/** AMTRELAY (RFC 8777 §4.2): precedence, the discovery bit, kind of relay, relay. */
export const amtRelay: Field = {
  print(cursor) {
    const [precedence, bits] = [cursor.u8(), cursor.u8()];
    const [discovery, kind] = [bits >> 7, bits & 0x7f];
    return `${precedence} ${discovery} ${kind} ${printGateway(cursor, kind)}`;
  },
  parse(words) {
    const precedence = words.integer('precedence', 0, 255);
    const discovery = words.integer('discovery', 0, 1);
    const kind = words.integer('relay type', 0, 3);
    const relay = parseGateway(words, kind, 'relay');
    return String.fromCharCode(precedence, (discovery << 7) | kind) + relay;
  },
};

/** APL (RFC 3123): `!1:10.0.0.0/8`. The octets lack the address's zeros at the end. */
export const networkList: Field = {
  print(cursor) {
    const networks: string[] = [];
    while (cursor.at < cursor.end && !cursor.failed) {
      const family = cursor.u16();
      const prefix = cursor.u8();
      const bits = cursor.u8();
      const part = cursor.string(bits & 0x7f);
      const size = family === 1 ? 4 : 16;
      const isFine = (family === 1 || family === 2) && part.length <= size && prefix <= size * 8;
      if (!isFine || part.endsWith('\0')) cursor.fail();
      const address = Buffer.from(part.padEnd(size, '\0').slice(0, size), 'latin1');
      networks.push(`${bits >> 7 ? '!' : ''}${family}:${printAddress(address)}/${prefix}`);
    }
    return networks.join(' ');
  },
  parse(words) {
    let octets = '';
    while (!words.isAtEnd) octets += networkOctets(words);
    return octets;
  },
};

function networkOctets(words: Words): string {
  const [, not, family = '', address = '', prefix = ''] =
    /^(!?)([12]):([^/]+)\/([0-9]{1,3})$/.exec(words.word('a network')) ?? [];
  const size = family === '1' ? 4 : 16;
  if (addressFamily(address) !== (size === 4 ? 4 : 6) || Number(prefix) > size * 8) {
    words.fail('a network has not the form 1:192.0.2.0/24 or 2:2001:db8::/32');
    return '';
  }
  const part = Buffer.from(addressOctets(address)).toString('latin1').replace(/\0+$/, '');
  const bits = (not === '!' ? 0x80 : 0) | part.length;
  return numberOctets(Number(family), 2) + String.fromCharCode(Number(prefix), bits) + part;
}

/** HIP (RFC 8005 §5): algorithm, host identity tag, public key, and the names of rendezvous servers. */
export const hostIdentity: Field = {
  print(cursor) {
    const [tagLength, algorithm, keyLength] = [cursor.u8(), cursor.u8(), cursor.u16()];
    if (tagLength === 0 || keyLength === 0) cursor.fail();
    const words = [
      String(algorithm),
      printHex(cursor.string(tagLength)),
      printBase64(cursor.string(keyLength)),
    ];
    while (cursor.at < cursor.end) words.push(printName(readPlainName(cursor)));
    return words.join(' ');
  },
  parse(words) {
    const algorithm = words.integer('algorithm', 0, 255);
    const tag = parseHex(words.word('host identity tag')) ?? '';
    if (tag === '' || tag.length > 255) words.fail('host identity tag is not hexadecimal digits');
    const key = parseBase64(words.word('public key')) ?? '';
    if (key === '' || key.length > 0xffff) words.fail('public key is not base64');
    let octets = String.fromCharCode(tag.length & 0xff, algorithm);
    octets += numberOctets(key.length, 2) + tag + key;
    while (!words.isAtEnd) octets += plainNameOctets(words.name('rendezvous server'));
    return octets;
  },
};

/** WKS (RFC 1035 §3.4.2): an address, a protocol, and the ports that have a service. */
export const wellKnownServices: Field = {
  print(cursor) {
    const octets = cursor.copy(4);
    const protocol = cursor.u8();
    const bits = restOf(cursor);
    if (bits.length > 8192 || bits.endsWith('\0')) cursor.fail();
    if (cursor.failed) return '';
    return [printAddress(octets), protocol, ...numbersIn(bits)].join(' ');
  },
  parse(words) {
    const address = ipAddressOctets(words.word('address'), 4, words, 'address');
    const known = new Map([
      ['TCP', 6],
      ['UDP', 17],
    ]).get(words.peek()?.toUpperCase() ?? '');
    if (known !== undefined) words.word('protocol');
    const protocol = known ?? words.integer('protocol', 0, 255);
    const ports: number[] = [];
    while (!words.isAtEnd) ports.push(words.integer('a port', 0, 0xffff));
    return address + String.fromCharCode(protocol) + bitmapOf(ports);
  },
};

/** A6 (RFC 2874 §3): the length of a prefix, the address behind it, and the name that has the prefix. */
export const prefixedAddress: Field = {
  print(cursor) {
    const prefix = cursor.u8();
    if (prefix > 128) cursor.fail();
    const words = [String(prefix)];
    if (prefix < 128) {
      const suffix = cursor.string(16 - (prefix >> 3));
      if (suffix.charCodeAt(0) > 0xff >> (prefix & 7)) cursor.fail();
      const address = Buffer.from(suffix.padStart(16, '\0').slice(0, 16), 'latin1');
      words.push(printAddress(address));
    }
    if (prefix > 0) words.push(printName(readPlainName(cursor)));
    return words.join(' ');
  },
  parse(words) {
    const prefix = words.integer('prefix length', 0, 128);
    let octets = String.fromCharCode(prefix);
    if (prefix < 128) {
      const address = ipAddressOctets(words.word('address'), 6, words, 'address');
      const suffix = [...address.slice(prefix >> 3)];
      const first = (suffix[0] ?? '\0').charCodeAt(0) & (0xff >> (prefix & 7));
      octets += String.fromCharCode(first) + suffix.slice(1).join('');
    }
    return prefix > 0 ? octets + plainNameOctets(words.name('prefix name')) : octets;
  },
};

/** NSAP (RFC 1706 §5): `0x47.0005.80`; dots may stand between the digits. */
export const nsapAddress: Field = {
  print(cursor) {
    const octets = restOf(cursor);
    if (octets === '') cursor.fail();
    return `0x${printHex(octets)}`;
  },
  parse(words) {
    const text = words.word('address');
    const octets = parseHex(text.slice(2).replaceAll('.', '')) ?? '';
    if (!/^0x/i.test(text) || octets === '') words.fail('address is not 0x and digits');
    return octets;
  },
};

/** ATMA (af-saa-0069.000): a telephone number with `+`, or an address in hexadecimal digits. */
export const atmAddress: Field = {
  print(cursor) {
    const format = cursor.u8();
    const octets = restOf(cursor);
    const isNumber = format === 1 && /^[0-9]+$/.test(octets);
    if (octets === '' || !(isNumber || format === 0)) cursor.fail();
    return isNumber ? `+${octets}` : printHex(octets);
  },
  parse(words) {
    const text = words.word('address').replaceAll('.', '');
    if (/^\+[0-9]+$/.test(text)) return `\x01${text.slice(1)}`;
    const octets = parseHex(text) ?? '';
    if (octets === '') words.fail('address is neither + and digits nor hexadecimal digits');
    return `\0${octets}`;
  },
};
