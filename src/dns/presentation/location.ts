/** LOC: a place on earth with its size and precisions (RFC 1876). */
import type { Cursor } from '../cursor.ts';
import { numberOctets } from './encodings.ts';
import type { Field } from './fields.ts';
import type { Words } from './words.ts';

/** The equator and the prime meridian, in thousandths of an arc second. */
const MIDDLE = 2 ** 31;
/** 100 km below the ellipsoid, in centimetres: the altitude 0. */
const DEPTH_CM = 10_000_000;
const MAX_METRES = 90_000_000;

const DEFAULT_SIZE_CM = 100;
const DEFAULT_HORIZONTAL_CM = 1_000_000;
const DEFAULT_VERTICAL_CM = 1_000;

export const location: Field = {
  print(cursor) {
    if (cursor.u8() !== 0) cursor.fail();
    const sizes = [printSize(cursor), printSize(cursor), printSize(cursor)];
    const latitude = printAngle(cursor, 90, 'N', 'S');
    const longitude = printAngle(cursor, 180, 'E', 'W');
    const altitude = printMetres(cursor.u32() - DEPTH_CM);
    return [latitude, longitude, altitude, ...sizes].join(' ');
  },
  parse(words) {
    const latitude = parseAngle(words, 'latitude', 90, 'N', 'S');
    const longitude = parseAngle(words, 'longitude', 180, 'E', 'W');
    const altitude = parseAltitude(words);
    const size = parseSize(words, 'size', DEFAULT_SIZE_CM);
    const horizontal = parseSize(words, 'horizontal precision', DEFAULT_HORIZONTAL_CM);
    const vertical = parseSize(words, 'vertical precision', DEFAULT_VERTICAL_CM);
    return `\0${size}${horizontal}${vertical}${latitude}${longitude}${altitude}`;
  },
};

/** A size is a digit and a power of ten, in centimetres, 4 bits each. */
function printSize(cursor: Cursor): string {
  const octet = cursor.u8();
  const [base, exponent] = [octet >> 4, octet & 15];
  if (base > 9 || exponent > 9 || (base === 0 && exponent > 0)) cursor.fail();
  return printMetres(base * 10 ** exponent);
}

function printMetres(centimetres: number): string {
  const sign = centimetres < 0 ? '-' : '';
  const positive = Math.abs(centimetres);
  const fraction = String(positive % 100).padStart(2, '0');
  return `${sign}${Math.floor(positive / 100)}.${fraction}m`;
}

function printAngle(cursor: Cursor, max: number, plus: string, minus: string): string {
  const thousandths = cursor.u32() - MIDDLE;
  const positive = Math.abs(thousandths);
  if (positive > max * 3_600_000) cursor.fail();
  const degrees = Math.floor(positive / 3_600_000);
  const minutes = Math.floor(positive / 60_000) % 60;
  const seconds = ((positive % 60_000) / 1000).toFixed(3);
  return `${degrees} ${minutes} ${seconds} ${thousandths < 0 ? minus : plus}`;
}

/** Degrees, and minutes and seconds if the text has them, then the direction. */
function parseAngle(words: Words, what: string, max: number, plus: string, minus: string): string {
  let thousandths = words.integer(what, 0, max) * 3_600_000;
  const isDirection = () => [plus, minus].includes((words.peek() ?? '').toUpperCase());
  if (!isDirection()) thousandths += words.integer(what, 0, 59) * 60_000;
  if (!isDirection()) thousandths += parseSeconds(words, what);
  const direction = words.word(what).toUpperCase();
  if (direction !== plus && direction !== minus)
    words.fail(`${what} ends in no ${plus} or ${minus}`);
  if (thousandths > max * 3_600_000) words.fail(`${what} is above ${max} degrees`);
  const place = direction === minus ? MIDDLE - thousandths : MIDDLE + thousandths;
  return numberOctets(words.failure === undefined ? place : 0, 4);
}

function parseSeconds(words: Words, what: string): number {
  const text = words.word(what);
  const [, whole = '', fraction = ''] = /^([0-9]{1,2})(?:\.([0-9]{1,3}))?$/.exec(text) ?? [];
  if (whole === '' || Number(whole) > 59) words.fail(`${what} has no seconds from 0 to 59.999`);
  return Number(whole) * 1000 + Number(fraction.padEnd(3, '0'));
}

function parseAltitude(words: Words): string {
  const centimetres = centimetresOf(words.word('altitude'));
  const raised = (centimetres ?? -1) + DEPTH_CM;
  const isFine = centimetres !== undefined && raised >= 0 && raised < 2 ** 32;
  if (!isFine) words.fail('altitude is not -100000.00 to 42849672.95 metres');
  return numberOctets(isFine ? raised : 0, 4);
}

function parseSize(words: Words, what: string, defaultCm: number): string {
  const centimetres = words.isAtEnd ? defaultCm : centimetresOf(words.word(what));
  if (centimetres === undefined || centimetres < 0 || centimetres > MAX_METRES * 100) {
    words.fail(`${what} is not 0 to ${MAX_METRES} metres`);
    return '\0';
  }
  // Only the first digit is kept.
  const exponent = String(centimetres).length - 1;
  const base = Math.floor(centimetres / 10 ** exponent);
  return String.fromCharCode((base << 4) | (base === 0 ? 0 : exponent));
}

function centimetresOf(text: string): number | undefined {
  const [, sign = '', whole, fraction = ''] =
    /^(-?)([0-9]{1,8})(?:\.([0-9]{1,2}))?m?$/i.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const centimetres = Number(whole) * 100 + Number(fraction.padEnd(2, '0'));
  return sign === '-' ? -centimetres : centimetres;
}
