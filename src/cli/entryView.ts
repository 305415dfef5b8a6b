/** A key and its value as commands print them: the fields of `--json`, which never change their meaning, and text. */
import { printName } from '../dns/name.ts';
import { printHolder } from '../registrar/describe/storedValue.ts';
import type { HiddenValue } from '../registrar/reconcile/hiddenValues.ts';
import type { Entry } from '../service/change.ts';
import { nameOfKey } from '../service/key.ts';
import { printStored } from '../service/records.ts';
import { type Nearness, NO_SRV, parseService, type Service } from '../service/service.ts';

export interface EntryView {
  readonly key: string;
  /** Presentation form; absent if the key is not a name. */
  readonly name?: string;
  readonly service?: ServiceView;
  /** Why the key or its value is invalid. */
  readonly invalid?: string;
  /** Some names below this one: the server answers with them instead of this value. */
  readonly hiddenBy?: readonly HiderView[];
  /** The delegated name at or below which the value is: its name servers answer instead of it. */
  readonly delegatedAt?: string;
  /** The value has a host beside NS records: it answers only as glue, or not at all. */
  readonly hostBesideNs?: 'glue' | 'hidden';
  /** The container that a registrar wrote the value for, and its engine. */
  readonly holder?: string;
  /** The time until the key expires; absent if it does not expire. */
  readonly expiresSeconds?: number;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface HiderView {
  readonly name: string;
  /** Absent if the value was set by hand. */
  readonly holder?: string;
}

/** The fields that are set: those of SkyDNS, and those that make records of their own. */
export interface ServiceView {
  readonly host?: string;
  readonly port?: number;
  readonly priority?: number;
  readonly weight?: number;
  readonly text?: string;
  readonly mail?: boolean;
  readonly ttl?: number;
  readonly targetstrip?: number;
  readonly group?: string;
  readonly alias?: boolean;
  /** In the text of zone files. */
  readonly rr?: readonly string[];
  readonly aggregate?: boolean;
  readonly near?: Nearness;
}

/** Undefined for entries that are never services: empty directories and SkyDNS's configuration. */
export function viewEntry(entry: Entry, prefix: string, nowMs: number): EntryView | undefined {
  const owner = nameOfKey(entry.key, prefix);
  if (owner.kind === 'directory' || entry.key === `${prefix}config` || entry.key.endsWith('/'))
    return undefined;
  const parsed = parseService(entry.value);
  const { key, createRevision, modRevision } = entry;
  const holder = printHolder(entry.value);
  return {
    key,
    ...(owner.kind === 'name' && { name: printName(owner.owner) }),
    ...(parsed.kind === 'service' && { service: viewService(parsed.service) }),
    ...(owner.kind === 'invalid'
      ? { invalid: `key ${owner.reason}` }
      : parsed.kind === 'invalid' && { invalid: parsed.reason }),
    ...(holder === undefined ? {} : { holder }),
    ...lifeOf(entry, nowMs),
    createRevision,
    modRevision,
  };
}

/** The view of a hidden value. */
export function viewHidden(view: EntryView, hidden: HiddenValue, prefix: string): EntryView {
  const hiddenBy = hidden.by.map(({ key, holder }) => {
    const { name = key } = viewName(key, prefix);
    return { name, ...(holder === undefined ? {} : { holder }) };
  });
  return { ...view, hiddenBy };
}

function viewName(key: string, prefix: string): { readonly name?: string } {
  const named = nameOfKey(key, prefix);
  return named.kind === 'name' ? { name: printName(named.owner) } : {};
}

/** Empty for a lease whose expiry the store does not know yet. */
function lifeOf({ lease }: Entry, nowMs: number): { readonly expiresSeconds?: number } {
  if (lease?.expiresAtMs === undefined) return {};
  return { expiresSeconds: Math.max(0, Math.ceil((lease.expiresAtMs - nowMs) / 1000)) };
}

function viewService({ attributes, ...service }: Service): ServiceView {
  const host = service.target === undefined ? service.address : printName(service.target);
  return {
    ...(host !== '' && { host }),
    ...(attributes.port !== 0 && { port: attributes.port }),
    ...(attributes.priority !== 0 && { priority: attributes.priority }),
    ...(attributes.weight !== 0 && { weight: attributes.weight }),
    ...(attributes.text !== '' && {
      text: Buffer.from(attributes.text, 'latin1').toString('utf8'),
    }),
    ...(attributes.mail && { mail: true }),
    ...(attributes.ttlSeconds !== 0 && { ttl: attributes.ttlSeconds }),
    ...(attributes.targetStrip !== 0 && { targetstrip: attributes.targetStrip }),
    ...(attributes.group !== '' && { group: attributes.group }),
    ...(attributes.alias && { alias: true }),
    ...(attributes.records.length > 0 && { rr: attributes.records.map(printStored) }),
    ...(!attributes.aggregate && { aggregate: false }),
    ...(attributes.near !== undefined && { near: attributes.near }),
  };
}

/** Why no answer has a value or its host, in one line; empty if answers may have it. Not yet printable. */
export function describeHiders({ hiddenBy = [], delegatedAt, hostBesideNs }: EntryView): string {
  if (hostBesideNs === 'glue') return 'its host answers only as glue';
  if (hostBesideNs === 'hidden') return 'its host is hidden by its NS records';
  if (delegatedAt !== undefined) return `hidden by the delegation of ${delegatedAt}`;
  const [first, ...more] = hiddenBy;
  if (first === undefined) return '';
  const holder = first.holder === undefined ? '' : ` (${first.holder})`;
  return `hidden by ${first.name}${holder}${more.length === 0 ? '' : ' and others'}`;
}

/** The service in one line: `10.0.1.5:8080 priority 20 ttl 60`. Not yet printable. */
export function describeService(service: ServiceView): string {
  const { host = '', port, text, mail, alias, rr = [], ...others } = service;
  const words = Object.entries(others).map(([field, value]) => `${field} ${value}`);
  return [
    describeHost(host, port),
    ...words,
    ...(mail ? ['mail'] : []),
    ...(alias ? ['alias'] : []),
    ...(text === undefined ? [] : [`text ${JSON.stringify(text)}`]),
    ...rr.map((record) => `rr ${record}`),
  ]
    .filter((word) => word !== '')
    .join(' ');
}

function describeHost(host: string, port: number | undefined): string {
  if (port === undefined || port === NO_SRV) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
