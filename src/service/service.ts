/**
 * service/: The values and keys of a store: a service as JSON, and the key of an owner name. Pure.
 * Imports: dns, dns/presentation.
 * Used by: ambassador, ambassador/follow, ambassador/names, app, app/ambassador, app/answering, app/registrar, cli,
 *   cli/commands, cli/host, cli/linking, config, config/options, registrar, registrar/describe, registrar/leadership,
 *   registrar/links, registrar/reconcile, registrar/registrator, server/http, server/http/api, server/transfer, store,
 *   store/embedded, store/etcd, store/http, tools/doctor, zone, zone/tree.
 *
 * A service is SkyDNS's JSON value under a key. Every value from a store passes `parseService`, which never throws,
 * bounds what it reads, and returns the reason for an invalid value. Unlike Go's decoder it takes numbers written as
 * strings and refuses numbers that DNS cannot carry (SkyDNS cut ports to their low 16 bits).
 */
import { canonicalAddress } from '../dns/address.ts';
import { type Name, parseName, readEscape, utf8Octets } from '../dns/name.ts';
import { MAX_TTL_SECONDS, Type } from '../dns/rr.ts';
import { parseJsonValue } from './jsonValue.ts';
import { type Linking, NO_LINKING, readLinking } from './linking.ts';
import { NO_RECORDS, parseRecords, type ServiceRecord } from './records.ts';

export interface Service {
  /** 4 or 6: the host is `address`. 0: the host is `target` or, without a target, the service has no host. */
  readonly family: 0 | 4 | 6;
  readonly address: string;
  readonly target: Name | undefined;
  readonly attributes: ServiceAttributes;
}

/** The fields of a service besides its host. Many services have equal ones, which then share one object. */
export interface ServiceAttributes {
  /** 0..65535, or `NO_SRV`: SRV answers leave out the service (CoreDNS). */
  readonly port: number;
  /** 0: not set; the server's default applies. */
  readonly priority: number;
  /** 0: not set; 100 applies. */
  readonly weight: number;
  /** The octets of the TXT rdata, without escapes; empty: no TXT. */
  readonly text: string;
  readonly mail: boolean;
  /** 0: not set. */
  readonly ttlSeconds: number;
  /** How many labels to strip from the left of an SRV, MX or NS target that is made from the key's own name. */
  readonly targetStrip: number;
  readonly group: string;
  /** Whether the service counts in the answers of the names above its own. */
  readonly aggregate: boolean;
  /** The name has its host's addresses as its own records instead of a CNAME. */
  readonly alias: boolean;
  /** For the answers of the names that the service is a member of; `undefined`: the server decides. */
  readonly near: Nearness | undefined;
  /** Records of other types, for the service's own name only. */
  readonly records: readonly ServiceRecord[];
  readonly linking: Linking;
}

/** How a server treats the services on its own host: like others, in front of the others, or alone. */
export type Nearness = (typeof NEARNESSES)[number];

/** The least strict first. */
export const NEARNESSES = ['off', 'first', 'only'] as const;

export type ParsedService =
  | { readonly kind: 'service'; readonly service: Service }
  | { readonly kind: 'invalid'; readonly reason: string };

export const NO_SRV = -1;

/** The weight of a service that states none, or 0 (SkyDNS). */
export const DEFAULT_WEIGHT = 100;
export const MAX_VALUE_OCTETS = 65_536;
/** Longer text fits no message. */
const MAX_TEXT_OCTETS = 59_000;
/** A service is flat; this bounds the values of unknown fields. */
const MAX_DEPTH = 32;
/** More than SRV's 16 bits: answers use the weight relative to the other services' weights, in percent. */
const MAX_WEIGHT = 2 ** 31 - 1;

export function parseService(value: Uint8Array): ParsedService {
  const parsed = parseJsonValue(value, MAX_VALUE_OCTETS);
  return parsed.kind === 'object' ? readFields(parsed.json) : parsed;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Draft = Mutable<Omit<Service, 'attributes'>>;

function readFields(json: Readonly<Record<string, unknown>>): ParsedService {
  const host: Draft = { family: 0, address: '', target: undefined };
  const attributes: Mutable<ServiceAttributes> = {
    port: 0,
    priority: 0,
    weight: 0,
    text: '',
    mail: false,
    ttlSeconds: 0,
    targetStrip: 0,
    group: '',
    aggregate: true,
    alias: false,
    near: undefined,
    records: NO_RECORDS,
    linking: NO_LINKING,
  };
  for (const field of Object.keys(json)) {
    const value = json[field];
    if (value === null) continue;
    const reason = readField(host, attributes, field.toLowerCase(), value);
    if (reason === undefined) continue;
    return invalid(`${field.slice(0, 40)}${reason.startsWith('[') ? '' : ': '}${reason}`);
  }
  const reason = settleRecords(host, attributes);
  if (reason !== undefined) return invalid(`rr: ${reason}`);
  const { family, address, target } = host;
  return { kind: 'service', service: { family, address, target, attributes } };
}

/** Whether a service has nothing but records: then names below it do not hide it. */
export function hasRecordsOnly({ family, target, attributes }: Service): boolean {
  const { records, text } = attributes;
  return records.length > 0 && family === 0 && target === undefined && text === '';
}

/**
 * A CNAME stands alone at its name (RFC 1034 §3.6.2): the service is then an alias like one whose host is the target,
 * but without SRV records. A service with nothing but records counts at its own name only, so it hides no other.
 */
function settleRecords(host: Draft, attributes: Mutable<ServiceAttributes>): string | undefined {
  const { records } = attributes;
  if (records.length === 0) return undefined;
  const hasOthers = host.family !== 0 || host.target !== undefined || attributes.text !== '';
  if (!hasOthers) attributes.aggregate = false;
  const cname = records.find(({ type }) => type === Type.CNAME);
  if (cname?.rdata.kind !== 'name') return undefined;
  if (hasOthers || records.length > 1) return 'a CNAME cannot stand beside other data';
  if (cname.rdata.target.length === 0) return 'a CNAME cannot lead to the root';
  host.target = cname.rdata.target;
  attributes.port = NO_SRV;
  attributes.records = NO_RECORDS;
  return undefined;
}

/** Sets the field (Go's decoder matches names in any case). Returns the reason if its value is invalid. */
function readField(
  host: Draft,
  attributes: Mutable<ServiceAttributes>,
  field: string,
  value: unknown,
): string | undefined {
  const number = NUMBER_FIELDS.get(field);
  if (number !== undefined) return readNumber(attributes, number, value);
  switch (field) {
    case 'host':
      return typeof value === 'string' ? readHost(host, value) : 'must be a string';
    case 'text':
      if (typeof value !== 'string') return 'must be a string';
      attributes.text = unescapeText(utf8Octets(value));
      return attributes.text.length > MAX_TEXT_OCTETS
        ? `is above ${MAX_TEXT_OCTETS} octets`
        : undefined;
    case 'group':
      if (typeof value !== 'string') return 'must be a string';
      attributes.group = value;
      return undefined;
    case 'mail':
      if (value !== true && value !== false && value !== 'true' && value !== 'false') {
        return 'must be true or false';
      }
      attributes.mail = value === true || value === 'true';
      return undefined;
    case 'aggregate':
      // Other programs may store a field of this name, so another value counts as none.
      attributes.aggregate = value !== false && value !== 'false';
      return undefined;
    case 'alias':
      attributes.alias = value === true || value === 'true';
      return undefined;
    case 'near':
      attributes.near = NEARNESSES.find((each) => each === value);
      return undefined;
    case 'rr': {
      const parsed = parseRecords(value);
      if (parsed.kind === 'invalid') return parsed.reason;
      attributes.records = parsed.records;
      return undefined;
    }
    default:
      attributes.linking = readLinking(attributes.linking, field, value) ?? attributes.linking;
      return isDeeperThan(value, MAX_DEPTH) ? `nested deeper than ${MAX_DEPTH}` : undefined;
  }
}

function readHost(draft: Draft, host: string): string | undefined {
  draft.family = 0;
  draft.address = '';
  draft.target = undefined;
  if (host === '') return undefined;
  const canonical = canonicalAddress(host);
  if (canonical !== undefined) {
    draft.family = canonical.family;
    draft.address = canonical.address;
    return undefined;
  }
  const target = parseName(host);
  if (target === undefined || target.length === 0 || /[\s:/]/.test(host)) {
    return 'must be an IP address or a host name, without port';
  }
  if (/^[0-9]+$/.test(target.at(-1) as string)) return 'looks like an IP address but is none';
  draft.target = target;
  return undefined;
}

interface NumberField {
  readonly attribute: 'port' | 'priority' | 'weight' | 'ttlSeconds' | 'targetStrip';
  /** The values that a field may have, and those that count: others count as the nearest of them. */
  readonly least: number;
  readonly most: number;
  readonly countsFrom?: number;
  readonly countsTo?: number;
}

const NUMBER_FIELDS: ReadonlyMap<string, NumberField> = new Map<string, NumberField>([
  ['port', { attribute: 'port', least: NO_SRV, most: 65_535 }],
  ['priority', { attribute: 'priority', least: 0, most: 65_535 }],
  ['weight', { attribute: 'weight', least: 0, most: MAX_WEIGHT }],
  // SkyDNS takes any 32 bits.
  ['ttl', { attribute: 'ttlSeconds', least: 0, most: 2 ** 32 - 1, countsTo: MAX_TTL_SECONDS }],
  ['targetstrip', { attribute: 'targetStrip', least: -127, most: 127, countsFrom: 0 }],
]);

function readNumber(
  attributes: Mutable<ServiceAttributes>,
  { attribute, least, most, countsFrom = least, countsTo = most }: NumberField,
  value: unknown,
): string | undefined {
  const isDigits = typeof value === 'string' && /^-?[0-9]{1,15}$/.test(value);
  const n = isDigits ? Number(value) : value;
  if (typeof n !== 'number' || !Number.isInteger(n) || n < least || n > most) {
    return `must be a whole number from ${least} to ${most}`;
  }
  attributes[attribute] = Math.min(Math.max(n, countsFrom), countsTo);
  return undefined;
}

function isDeeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth === 0) return true;
  for (const inner of Object.values(value)) if (isDeeperThan(inner, depth - 1)) return true;
  return false;
}

/** SkyDNS takes text in presentation form: `\"` is a quote, `\009` a tab. A backslash that escapes nothing stays. */
function unescapeText(octets: string): string {
  if (!octets.includes('\\')) return octets;
  let text = '';
  for (let i = 0; i < octets.length; i++) {
    const char = octets[i] as string;
    const escaped = char === '\\' ? readEscape(octets, i + 1) : undefined;
    text += escaped === undefined ? char : escaped.octet;
    i += escaped?.length ?? 0;
  }
  return text;
}

function invalid(reason: string): ParsedService {
  return { kind: 'invalid', reason };
}
