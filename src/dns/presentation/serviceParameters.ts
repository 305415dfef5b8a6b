/** The parameters of SVCB and HTTPS (RFC 9460 §2.1, §7, §8, appendix A; RFC 9461 §5). */
import { printAddress } from '../address.ts';
import { Cursor } from '../cursor.ts';
import { numberOctets, parseBase64, printBase64 } from './encodings.ts';
import { type Field, ipAddressOctets, restOf } from './fields.ts';
import { quote, type Words } from './words.ts';

const MANDATORY = 0;
const ALPN = 1;
const NO_DEFAULT_ALPN = 2;

/** A parameter's value, as its octets and as text. */
interface ValueCodec {
  print(cursor: Cursor): string;
  /** Takes the text behind the equals sign, with its escapes; `undefined` without an equals sign. */
  parse(text: string | undefined, words: Words): string;
}

interface ServiceParameter {
  readonly name: string;
  readonly form: ValueCodec;
}

const NOTHING: ValueCodec = {
  print: () => '',
  parse(text, words) {
    if (text !== undefined && text !== '') words.fail('no-default-alpn has a value');
    return '';
  },
};

/** Several values, separated by commas; each has the given form. */
function listOf(print: (cursor: Cursor) => string, parse: ValueCodec['parse']): ValueCodec {
  return {
    print(cursor) {
      const values: string[] = [];
      while ((values.length === 0 || cursor.at < cursor.end) && !cursor.failed) {
        values.push(print(cursor));
      }
      return `=${values.join(',')}`;
    },
    parse: (text, words) =>
      (text ?? '')
        .split(',')
        .map((each) => parse(each, words))
        .join(''),
  };
}

function hints(family: 4 | 6): ValueCodec {
  const what = `ipv${family}hint`;
  return listOf(
    (cursor) => {
      const octets = cursor.copy(family === 4 ? 4 : 16);
      return cursor.failed ? '' : printAddress(octets);
    },
    (text, words) => ipAddressOctets(text ?? '', family, words, what),
  );
}

/**
 * Protocols, each behind its length (RFC 9460 §7.1.1). In text a backslash within the value protects a comma or a
 * backslash (appendix A.1), and the escapes of the text come on top of that.
 */
const PROTOCOLS: ValueCodec = {
  print(cursor) {
    const items: string[] = [];
    while ((items.length === 0 || cursor.at < cursor.end) && !cursor.failed) {
      const item = cursor.characterString();
      if (item === '') cursor.fail();
      items.push(item.replace(/[,\\]/g, '\\$&'));
    }
    return `=${quote(items.join(','))}`;
  },
  parse(text, words) {
    const items = splitItems(words.unescaped(text ?? '', 'alpn'));
    const isList = items?.every((item) => item.length > 0 && item.length <= 255);
    if (!isList) words.fail('alpn is not a list of protocols');
    return (items ?? []).map((item) => String.fromCharCode(item.length & 0xff) + item).join('');
  },
};

/** Stands for a comma between items. It is no octet. */
const SEPARATOR = '\uffff';

/** The items of a list, without their backslashes; `undefined` if a backslash protects nothing. */
function splitItems(value: string): string[] | undefined {
  if (!/^(?:[^\\]|\\[\s\S])*$/.test(value)) return undefined;
  return value.replace(/\\([\s\S])|,/g, (_, char?: string) => char ?? SEPARATOR).split(SEPARATOR);
}

const PORT: ValueCodec = {
  print: (cursor) => `=${cursor.u16()}`,
  parse(text, words) {
    const port = /^[0-9]{1,5}$/.test(text ?? '') ? Number(text) : -1;
    if (port < 0 || port > 0xffff) words.fail('port is not 0 to 65535');
    return numberOctets(Math.max(0, port) & 0xffff, 2);
  },
};

/** The configuration of encrypted client hello, in base64 (RFC 9848 §3). */
const ECH: ValueCodec = {
  print: (cursor) => `=${printBase64(restOf(cursor))}`,
  parse(text, words) {
    const octets = parseBase64(text ?? '') ?? '';
    if (octets === '') words.fail('ech is not base64');
    return octets;
  },
};

/** Octets without a meaning for us. */
const OPAQUE: ValueCodec = {
  print: (cursor) => (cursor.at < cursor.end ? `=${quote(restOf(cursor))}` : ''),
  parse: (text, words) => words.unescaped(text ?? '', 'a parameter'),
};

/** The template of a DNS over HTTPS server's path, which has the variable `dns` (RFC 9461 §5). */
const PATH: ValueCodec = {
  print(cursor) {
    const path = restOf(cursor);
    if (!isDohPath(path)) cursor.fail();
    return `=${quote(path)}`;
  },
  parse(text, words) {
    const path = words.unescaped(text ?? '', 'dohpath');
    if (!isDohPath(path)) words.fail('dohpath is not a path with {?dns}');
    return path;
  },
};

function isDohPath(path: string): boolean {
  return /^\/.*\{\?dns\}/s.test(path);
}

const PARAMETERS: readonly ServiceParameter[] = [
  {
    name: 'mandatory',
    form: listOf(
      (cursor) => keyName(cursor.u16()),
      (text, words) => numberOctets(keyOf(text ?? '', words), 2),
    ),
  },
  { name: 'alpn', form: PROTOCOLS },
  { name: 'no-default-alpn', form: NOTHING },
  { name: 'port', form: PORT },
  { name: 'ipv4hint', form: hints(4) },
  { name: 'ech', form: ECH },
  { name: 'ipv6hint', form: hints(6) },
  { name: 'dohpath', form: PATH },
];

function keyName(key: number): string {
  return PARAMETERS[key]?.name ?? `key${key}`;
}

/** Key 65535 is reserved (RFC 9460 §14.3.2). A number does not stand for a key that has a name, as in BIND. */
function keyOf(name: string, words: Words): number {
  const known = PARAMETERS.findIndex((each) => each.name === name);
  if (known >= 0) return known;
  const digits = /^key(0|[1-9][0-9]{0,4})$/.exec(name)?.[1];
  const key = digits === undefined ? 0xffff : Number(digits);
  if (key < 0xffff && PARAMETERS[key] === undefined) return key;
  words.fail(`${name === '' ? 'a parameter' : quote(name).slice(1, -1)} is not a known parameter`);
  return 0;
}

/** All parameters of a record. The octets have them in ascending order of their keys. */
export const serviceParameters: Field = {
  print(cursor) {
    const words: string[] = [];
    const values = new Map<number, string>();
    let before = -1;
    while (cursor.at < cursor.end && !cursor.failed) {
      const key = cursor.u16();
      const value = cursor.string(cursor.u16());
      if (key <= before) cursor.fail();
      before = key;
      values.set(key, value);
      const inner = new Cursor(Buffer.from(value, 'latin1'));
      words.push(keyName(key) + (PARAMETERS[key]?.form ?? OPAQUE).print(inner));
      if (inner.failed || inner.at !== inner.end) cursor.fail();
    }
    if (inconsistency(values) !== undefined) cursor.fail();
    return words.join(' ');
  },
  parse(words) {
    const values = new Map<number, string>();
    while (!words.isAtEnd) {
      const [name, text] = words.pair('a parameter');
      const key = keyOf(name, words);
      if (values.has(key)) words.fail(`${name} is there twice`);
      values.set(key, (PARAMETERS[key]?.form ?? OPAQUE).parse(text, words));
    }
    sortMandatory(values);
    const reason = inconsistency(values);
    if (reason !== undefined) words.fail(reason);
    return [...values]
      .sort(([a], [b]) => a - b)
      .map(([key, value]) => numberOctets(key, 2) + numberOctets(value.length, 2) + value)
      .join('');
  },
};

/** The keys of `mandatory` are in ascending order (RFC 9460 §8). */
function sortMandatory(values: Map<number, string>): void {
  const mandatory = values.get(MANDATORY);
  if (mandatory === undefined) return;
  values.set(MANDATORY, (mandatory.match(/[\s\S]{2}/g) ?? []).sort().join(''));
}

/** Why the parameters contradict each other (RFC 9460 §7.1.1, §8). */
function inconsistency(values: ReadonlyMap<number, string>): string | undefined {
  if (values.has(NO_DEFAULT_ALPN) && !values.has(ALPN)) return 'no-default-alpn needs alpn';
  const mandatory = values.get(MANDATORY);
  if (mandatory === undefined) return undefined;
  let before = -1;
  for (let i = 0; i < mandatory.length; i += 2) {
    const key = mandatory.charCodeAt(i) * 256 + mandatory.charCodeAt(i + 1);
    if (key === MANDATORY) return 'mandatory is among the mandatory parameters';
    if (key <= before) return `${keyName(key)} is there twice in mandatory`;
    if (!values.has(key)) return `${keyName(key)} is mandatory and missing`;
    before = key;
  }
  return undefined;
}
