/**
 * The two files of a BIND key pair, `Kskydns.local.+013+44235.key` and `.private` (Private-key-format v1.2 and v1.3), as
 * `dnssec-keygen`, `keymgr` and `ldns-keygen` write them. Reads and writes their texts; a caller reads the files.
 */
import { foldName, type Name, parseName, printName } from '../dns/name.ts';
import { parseDnssecTime, printDnssecTime } from '../dns/presentation/dnssecFields.ts';
import { KEY_DATES, type KeyDate, type KeyDates } from './keyDates.ts';

/** DNSKEY algorithm numbers (IANA, "DNS Security Algorithm Numbers"). */
export const Algorithm = { RSASHA256: 8, ECDSAP256SHA256: 13, ED25519: 15 } as const;

const ALGORITHM_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Algorithm).map(([name, number]) => [number, name]),
);

/** The mnemonic, or the number of an algorithm that is not in `Algorithm`. */
export function algorithmName(algorithm: number): string {
  return ALGORITHM_NAMES.get(algorithm) ?? String(algorithm);
}

/** DNSKEY flags (RFC 4034 §2.1.1): a zone key without and with the SEP bit. */
export const KeyFlags = { ZSK: 256, KSK: 257 } as const;

export interface KeyFile {
  /** Folded. */
  readonly zone: Name;
  readonly flags: number;
  readonly algorithm: number;
  /** The public key field of the DNSKEY. */
  readonly publicKey: Uint8Array;
  /** Fields of the private file such as `PrivateKey`, as octets. */
  readonly secrets: ReadonlyMap<string, Buffer>;
  readonly dates: KeyDates;
  /** The files know no dates (v1.2), so the key is always in use. */
  readonly isUndated: boolean;
}

export type KeyFileOutcome =
  | { readonly kind: 'read'; readonly file: KeyFile }
  | { readonly kind: 'refused'; readonly reason: string };

/** Why keys of an algorithm are refused. */
const REFUSED_ALGORITHMS: ReadonlyMap<number, string> = new Map([
  [5, 'RSASHA1 is broken, and validators ignore it (RFC 9905); make a new key'],
  [7, 'NSEC3RSASHA1 is broken, and validators ignore it (RFC 9905); make a new key'],
  [10, 'RSASHA512 is not supported; make a new key'],
  [14, 'a signature with ECDSAP384SHA384 takes 14 times as long as with ECDSAP256SHA256'],
  [16, 'ED448 is not supported; make a new key'],
]);

export function parseKeyFile(publicText: string, privateText: string): KeyFileOutcome {
  const dnskey = dnskeyIn(publicText);
  if (dnskey === undefined) return refuse('the .key file has no DNSKEY record');
  const { algorithm, flags } = dnskey;
  const reason = REFUSED_ALGORITHMS.get(algorithm);
  if (reason !== undefined) return refuse(`algorithm ${algorithm}: ${reason}`);
  if (!Object.values<number>(Algorithm).includes(algorithm))
    return refuse(`algorithm ${algorithm} is unknown`);
  if (flags !== KeyFlags.ZSK && flags !== KeyFlags.KSK)
    return refuse(`flags ${flags}: only 256 (ZSK) and 257 (KSK) are supported`);
  const fields = fieldsOf(privateText);
  const format = /^v1\.(\d+)$/.exec(fields.get('Private-key-format') ?? '')?.[1];
  if (format === undefined || Number(format) < 2)
    return refuse('the .private file is not of Private-key-format v1.2 or v1.3');
  if (Number.parseInt(fields.get('Algorithm') ?? '', 10) !== algorithm)
    return refuse('the two files have keys of different algorithms');
  const dates = datesIn(fields);
  if (typeof dates === 'string') return refuse(dates);
  const isUndated = Number(format) < 3 && Object.keys(dates).length === 0;
  const secrets = new Map(
    [...fields].flatMap(([name, text]) =>
      /^[A-Za-z0-9+/=]{8,}$/.test(text) ? [[name, Buffer.from(text, 'base64')] as const] : [],
    ),
  );
  return { kind: 'read', file: { ...dnskey, secrets, dates, isUndated } };
}

function refuse(reason: string): KeyFileOutcome {
  return { kind: 'refused', reason };
}

/** The one record of a `.key` file: `OWNER [TTL] [CLASS] DNSKEY FLAGS 3 ALGORITHM BASE64`. */
function dnskeyIn(
  text: string,
): Pick<KeyFile, 'zone' | 'flags' | 'algorithm' | 'publicKey'> | undefined {
  const records = text
    .replace(/;.*$/gm, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const record = records.join(' ').replace(/[()]/g, ' ');
  const [, owner, flags, algorithm, base64] =
    /^(\S+)\s+(?:\d+\s+)?(?:IN\s+)?(?:\d+\s+)?DNSKEY\s+(\d+)\s+3\s+(\d+)\s+([A-Za-z0-9+/=\s]+)$/i.exec(
      record,
    ) ?? [];
  const zone = owner === undefined ? undefined : parseName(owner);
  if (zone === undefined || base64 === undefined) return undefined;
  const publicKey = Buffer.from(base64.replace(/\s/g, ''), 'base64');
  return { zone: foldName(zone), flags: Number(flags), algorithm: Number(algorithm), publicKey };
}

function fieldsOf(privateText: string): ReadonlyMap<string, string> {
  const lines = privateText.split('\n').map((line) => /^([A-Za-z0-9-]+):\s*(.*?)\s*$/.exec(line));
  return new Map(
    lines.flatMap((found) => (found === null ? [] : [[found[1] ?? '', found[2] ?? '']])),
  );
}

function datesIn(fields: ReadonlyMap<string, string>): KeyDates | string {
  const dates: Partial<Record<KeyDate, number>> = {};
  for (const name of KEY_DATES) {
    const text = fields.get(name);
    if (text === undefined || text === '') continue;
    const date = parseDnssecTime(text.split(' ')[0] ?? '');
    if (date === undefined) return `${name}: ${JSON.stringify(text)} is not a date`;
    dates[name] = date;
  }
  return dates;
}

/** The base name of the two files: zone, algorithm and key tag. */
export function keyFileName(
  { zone, algorithm }: Pick<KeyFile, 'zone' | 'algorithm'>,
  tag: number,
): string {
  const digits = `+${String(algorithm).padStart(3, '0')}+${String(tag).padStart(5, '0')}`;
  return `K${printName(zone).replaceAll('/', '\\047')}${digits}`;
}

export function printPublicFile(
  { zone, flags, algorithm, publicKey, dates }: Omit<KeyFile, 'secrets' | 'isUndated'>,
  tag: number,
): string {
  const kind = flags === KeyFlags.KSK ? 'key-signing' : 'zone-signing';
  const owner = printName(zone);
  const comments = KEY_DATES.flatMap((name) => {
    const date = dates[name];
    return date === undefined ? [] : [`; ${name}: ${printDnssecTime(date)}`];
  });
  const base64 = Buffer.from(publicKey).toString('base64');
  const record = `${owner} IN DNSKEY ${flags} 3 ${algorithm} ${base64}`;
  return [`; This is a ${kind} key, keyid ${tag}, for ${owner}`, ...comments, record, ''].join(
    '\n',
  );
}

export function printPrivateFile({
  algorithm,
  secrets,
  dates,
}: Pick<KeyFile, 'algorithm' | 'secrets' | 'dates'>): string {
  const fields = [...secrets].map(([name, octets]) => `${name}: ${octets.toString('base64')}`);
  const lines = KEY_DATES.flatMap((name) => {
    const date = dates[name];
    return date === undefined ? [] : [`${name}: ${printDnssecTime(date)}`];
  });
  return [
    'Private-key-format: v1.3',
    `Algorithm: ${algorithm} (${algorithmName(algorithm)})`,
    ...fields,
    ...lines,
    '',
  ].join('\n');
}

/** The texts of the two files of a key. */
export interface KeyTexts {
  readonly publicText: string;
  readonly privateText: string;
}

/** The files with some dates replaced or added. All other lines stay, also those that this program does not know. */
export function withDates({ publicText, privateText }: KeyTexts, dates: KeyDates): KeyTexts {
  let comments = publicText;
  // Without dates the format may be v1.2, whose readers know none.
  let fields = privateText.replace(/^(Private-key-format: v1\.)2\b/m, '$13');
  for (const name of KEY_DATES) {
    const date = dates[name];
    if (date === undefined) continue;
    const text = printDnssecTime(date);
    fields = withLine(fields, new RegExp(`^${name}:.*$`, 'm'), `${name}: ${text}`);
    comments = withLine(
      comments,
      new RegExp(`^; ${name}:.*$`, 'm'),
      `; ${name}: ${text}`,
      /^[^;]/m,
    );
  }
  return { publicText: comments, privateText: fields };
}

/** Replaces a line, or adds it before another one, without that at the end. */
function withLine(text: string, line: RegExp, replacement: string, before?: RegExp): string {
  if (line.test(text)) return text.replace(line, replacement);
  const at = before === undefined ? -1 : text.search(before);
  if (at >= 0) return `${text.slice(0, at)}${replacement}\n${text.slice(at)}`;
  return `${text.replace(/\n*$/, '\n')}${replacement}\n`;
}
