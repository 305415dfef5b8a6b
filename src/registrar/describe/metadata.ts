/**
 * What a container says about itself: `DNS_<KEY>` in its environment and `dns.<key>` in its labels, each also for one
 * port (`DNS_8080_WEIGHT`, `DNS_53_UDP_NAME`, `dns.53/udp.name`). The keys are a closed list, so that a slip of the
 * pen is told and not obeyed; what is like none of them, on a container without settings, is another program's.
 * Port-specific beats generic, then label beats environment; an empty value is no value.
 */
import { nearestWord } from '../../observability/suggest.ts';
import { type Container, type Port, printPort } from './container.ts';
import { type Refusals, shown } from './description.ts';

/** Keys that also have a form for one port. */
const PORT_KEYS = [
  'NAME',
  'SERVICE',
  'ENVIRONMENT',
  'REGION',
  'DOMAIN',
  'INSTANCE',
  'PRIORITY',
  'WEIGHT',
  'TTL',
  'TEXT',
  'GROUP',
  'TARGETSTRIP',
  'MAIL',
  'IP',
  'NETWORK',
  'MODE',
  'ENABLE',
] as const;

/** Keys that are about the whole container. */
const CONTAINER_KEYS = ['PORT', 'PROJECT', 'HEALTH', 'STOP', 'STOP_TIMEOUT'] as const;

const KEYS = [...PORT_KEYS, ...CONTAINER_KEYS] as const;

export type SettingKey = (typeof KEYS)[number];

export interface ContainerSetting {
  readonly value: string;
  /** The variable or label that says so; as written, not yet printable. */
  readonly source: string;
}

/** Settings by scope (`` for the container, `53`, `53/udp`) and key. */
export type ContainerSettings = ReadonlyMap<string, ReadonlyMap<string, ContainerSetting>>;

/** A port as metadata names one; without a protocol it means both. */
export interface MentionedPort {
  readonly number: number;
  readonly protocol: Port['protocol'] | undefined;
}

/** The key that a variable or label stands for; the scope as in `Settings`. */
export interface ScopedKey {
  readonly scope: string;
  readonly key: string;
}

/** A container with more settings than this is up to something. */
const MAX_SETTINGS = 1024;

/** So many unknown keys of a container without settings are compared with ours: comparing all would be dear. */
const MAX_SLIPS = 64;

/** What comes before the keys, in the environment and in labels. */
export interface MetadataPrefixes {
  readonly envPrefix: string;
  readonly labelPrefix: string;
}

/** The container's settings under both prefixes; keys that nobody knows are refused, with the one that was likely meant. */
export function readMetadata(
  container: Container,
  prefix: MetadataPrefixes,
  refusals: Refusals,
): ContainerSettings {
  const misses: UnknownKey[] = [];
  const read =
    (parse: ParseKey, known: (key: SettingKey) => string) => (source: string, rest: string) => {
      const parsed = parse(rest);
      if (!('reason' in parsed)) return parsed;
      misses.push({ source, known, ...parsed });
      return undefined;
    };
  const settings = collectSettings([
    {
      texts: container.env,
      prefix: prefix.envPrefix,
      keyOf: read(parseVariable, (key) => variableName({ scope: '', key }, prefix.envPrefix)),
    },
    {
      texts: container.labels,
      prefix: prefix.labelPrefix,
      keyOf: read(parseLabel, (key) => labelName({ scope: '', key }, prefix.labelPrefix)),
    },
  ]);
  if (settings === undefined) {
    refusals.add(`${prefix.envPrefix}*`, `has more than ${MAX_SETTINGS} settings`);
    return new Map();
  }
  const isOurs = settings.size > 0;
  for (const miss of isOurs ? misses : misses.slice(0, MAX_SLIPS))
    refuseKey(miss, isOurs, refusals);
  refuseMisplaced(container, prefix, refusals);
  return settings;
}

/** Labels that are named as variables are, and the other way round: neither counts. */
function refuseMisplaced(
  { env, labels }: Container,
  prefix: MetadataPrefixes,
  refusals: Refusals,
): void {
  const { envPrefix: variables, labelPrefix: label } = prefix;
  for (const source of labels.keys()) {
    const key = source.startsWith(label) ? undefined : keyBehind(source, variables, parseVariable);
    if (key !== undefined)
      refusals.add(
        source,
        `is a label, and counts only as a variable: label it ${labelName(key, label)}`,
      );
  }
  for (const source of env.keys()) {
    const key = source.startsWith(variables) ? undefined : keyBehind(source, label, parseLabel);
    if (key !== undefined)
      refusals.add(
        source,
        `is a variable, and counts only as a label: set ${variableName(key, variables)}`,
      );
  }
}

function keyBehind(source: string, prefix: string, parse: ParseKey): ScopedKey | undefined {
  const parsed = source.startsWith(prefix) ? parse(source.slice(prefix.length)) : undefined;
  return parsed === undefined || 'reason' in parsed ? undefined : parsed;
}

function variableName({ scope, key }: ScopedKey, prefix: string): string {
  return `${prefix}${scope === '' ? '' : `${scope.replace('/', '_').toUpperCase()}_`}${key}`;
}

function labelName({ scope, key }: ScopedKey, prefix: string): string {
  const word = key.toLowerCase().replaceAll('_', '-');
  return `${prefix}${scope === '' ? '' : `${scope}.`}${word}`;
}

/** Where settings are written, the one that counts less first. */
export interface SettingsSource {
  readonly texts: ReadonlyMap<string, string>;
  readonly prefix: string;
  /** What `source`, which is the prefix and `rest`, sets. */
  readonly keyOf: (source: string, rest: string) => ScopedKey | undefined;
}

/** The settings of all sources; `undefined` when they are too many to be meant. */
export function collectSettings(sources: readonly SettingsSource[]): ContainerSettings | undefined {
  const settings = new Map<string, Map<string, ContainerSetting>>();
  let count = 0;
  for (const { texts, prefix, keyOf } of sources) {
    for (const [source, text] of texts) {
      const value = text.trim();
      if (!source.startsWith(prefix) || value === '') continue;
      if (++count > MAX_SETTINGS) return undefined;
      const scoped = keyOf(source, source.slice(prefix.length));
      if (scoped === undefined) continue;
      const ofScope = settings.get(scoped.scope) ?? new Map<string, ContainerSetting>();
      settings.set(scoped.scope, ofScope.set(scoped.key, { value, source }));
    }
  }
  return settings;
}

/** The setting that counts for a port, or for the container as a whole. */
export function findSetting(
  settings: ContainerSettings,
  key: string,
  port?: Port,
): ContainerSetting | undefined {
  return (port && findOwnSetting(settings, key, port)) ?? settings.get('')?.get(key);
}

/** As `findSetting`, but only what is said of this very port. */
export function findOwnSetting(
  settings: ContainerSettings,
  key: string,
  port: Port,
): ContainerSetting | undefined {
  return settings.get(printPort(port))?.get(key) ?? settings.get(`${port.number}`)?.get(key);
}

/** The ports that have settings of their own. */
export function mentionedPorts(settings: ContainerSettings): MentionedPort[] {
  const ports: MentionedPort[] = [];
  for (const scope of settings.keys()) {
    const [digits = '', protocol] = scope.split('/');
    if (digits === '') continue;
    ports.push({
      number: Number(digits),
      protocol: protocol === 'tcp' || protocol === 'udp' ? protocol : undefined,
    });
  }
  return ports;
}

/** Yes or no; `undefined` for any other word. */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(true|1|yes|on)$/i.test(text)) return true;
  return /^(false|0|no|off)$/i.test(text) ? false : undefined;
}

type ParseKey = (
  rest: string,
) => ScopedKey | { readonly reason: string; readonly unknown?: string };

function parseVariable(rest: string): ReturnType<ParseKey> {
  const [, digits, protocol, key = ''] = /^(?:([0-9]+)_(?:(TCP|UDP)_)?)?(.*)$/s.exec(rest) ?? [];
  return scopedKey(digits, protocol?.toLowerCase(), key);
}

function parseLabel(rest: string): ReturnType<ParseKey> {
  const [, digits, protocol, key = ''] = /^(?:([0-9]+)(?:\/(tcp|udp))?\.)?(.*)$/s.exec(rest) ?? [];
  const folded = /[A-Z]/.test(key) ? key : key.toUpperCase().replaceAll('-', '_');
  return scopedKey(digits, protocol, folded);
}

function scopedKey(
  digits: string | undefined,
  protocol: string | undefined,
  key: string,
): ReturnType<ParseKey> {
  const known = KEYS.find((one) => one === key);
  if (known === undefined) return { reason: 'is no setting', unknown: key };
  if (digits === undefined) return { scope: '', key };
  const number = Number(digits);
  if (number < 1 || number > 65_535) return { reason: 'is for no port from 1 to 65535' };
  if (!PORT_KEYS.some((one) => one === known))
    return { reason: 'is about the whole container; leave out the port' };
  return { scope: protocol === undefined ? `${number}` : `${number}/${protocol}`, key };
}

/** A variable or label with our prefix that is no setting; `known` writes a key as it should have been. */
interface UnknownKey {
  readonly source: string;
  readonly reason: string;
  readonly unknown?: string;
  readonly known: (key: SettingKey) => string;
}

/** `isOurs`: the container has settings. Without any, a key that is like none of ours is another program's. */
function refuseKey(
  { source, reason, unknown, known }: UnknownKey,
  isOurs: boolean,
  refusals: Refusals,
): void {
  // Far from every key there is nothing to suggest, and the distance to it would be dear.
  const guess =
    unknown === undefined || unknown.length > 20 || refusals.isFull
      ? undefined
      : nearestWord(unknown.toUpperCase(), KEYS);
  if (!isOurs && unknown !== undefined && guess === undefined) return;
  const hint = guess === undefined ? '' : `; do you mean ${shown(known(guess as SettingKey))}?`;
  refusals.add(source, reason + hint);
}
