/** Octets in text: hexadecimal digits, base64, base32hex (RFC 4648). Octets are octet strings, see `name.ts`. */

/** Upper-case hexadecimal digits. */
export function printHex(octets: string): string {
  return Buffer.from(octets, 'latin1').toString('hex').toUpperCase();
}

/** The octets of hexadecimal digits of any case; `undefined` for any other text. */
export function parseHex(text: string): string | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return undefined;
  return Buffer.from(text, 'hex').toString('latin1');
}

export function printBase64(octets: string): string {
  return Buffer.from(octets, 'latin1').toString('base64');
}

/** The octets of padded base64; `undefined` for any other text. */
export function parseBase64(text: string): string | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const octets = Buffer.from(text, 'base64').toString('latin1');
  // Bits that stand for nothing must be zero.
  return printBase64(octets) === text ? octets : undefined;
}

const BASE32_DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUV';

/** Base32hex without padding, as NSEC3 has it (RFC 5155 §3.3). */
export function printBase32(octets: string): string {
  let text = '';
  let bits = 0;
  let bitCount = 0;
  for (const char of octets) {
    bits = (bits << 8) | char.charCodeAt(0);
    for (bitCount += 8; bitCount >= 5; bitCount -= 5) {
      text += BASE32_DIGITS[(bits >> (bitCount - 5)) & 31];
    }
    bits &= 0xff;
  }
  return bitCount === 0 ? text : text + BASE32_DIGITS[(bits << (5 - bitCount)) & 31];
}

/** The octets of base32hex without padding, of any case; `undefined` for any other text. */
export function parseBase32(text: string): string | undefined {
  let octets = '';
  let bits = 0;
  let bitCount = 0;
  for (const char of text.toUpperCase()) {
    const digit = BASE32_DIGITS.indexOf(char);
    if (digit < 0) return undefined;
    bits = ((bits << 5) | digit) & 0xfff;
    bitCount += 5;
    if (bitCount < 8) continue;
    bitCount -= 8;
    octets += String.fromCharCode((bits >> bitCount) & 0xff);
  }
  return printBase32(octets) === text.toUpperCase() ? octets : undefined;
}

/** A number as that many octets, the most significant first. */
export function numberOctets(value: number, length: number): string {
  let octets = '';
  for (let i = length - 1; i >= 0; i--) {
    octets += String.fromCharCode(Math.floor(value / 256 ** i) % 256);
  }
  return octets;
}
