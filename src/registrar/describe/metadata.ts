/**
 * Reads a container's settings: `DNS_<KEY>` in its environment and `dns.<key>` in its labels, each also for one port
 * (`DNS_8080_WEIGHT`, `DNS_53_UDP_NAME`, `dns.53/udp.name`). Dots and hyphens join the words of a key in a label. Unknown keys are refused, so that a misspelt key is
 * reported. On a container without settings, an unknown key that resembles no known one belongs to another program.
 * A port's setting takes precedence over a generic one, then a label over a variable. An empty value counts as unset.
 */
import { nearestWord } from '../../observability/suggest.ts';
import { type Container, type Port, printPort } from './container.ts';
import { type Refusals, shown } from './description.ts';
import {
  labelOfLink,
  linkWord,
  linkWords,
  type ParsedLinkKey,
  parseLinkLabel,
  parseLinkVariable,
  variableOfLink,
} from './linkKeys.ts';

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
  'AGGREGATE',
  'NEAR',
  'TARGETSTRIP',
  'MAIL',
  'RR',
  'IP',
  'NETWORK',
  'MODE',
  'ENABLE',
  'TAGS',
  'VIP',
  'VIP_NAME',
  'VIP_PORT',
  'LEADER',
  'PROXY_PROTOCOL',
] as const;

/** Keys for the whole container only. */
const CONTAINER_KEYS = ['PORT', 'PROJECT', 'HEALTH', 'STOP', 'STOP_TIMEOUT'] as const;

const KEYS = [...PORT_KEYS, ...CONTAINER_KEYS] as const;

export type SettingKey = (typeof KEYS)[number];

export interface ContainerSetting {
  readonly value: string;
  /** The variable or label that sets it; as written, so it may be unprintable. */
  readonly source: string;
}

/** Settings by scope (`` for the container, `53`, `53/udp`) and key. */
export type ContainerSettings = ReadonlyMap<string, ReadonlyMap<string, ContainerSetting>>;

/** A port in metadata. Without a protocol it means both protocols. */
export interface MentionedPort {
  readonly number: number;
  readonly protocol: Port['protocol'] | undefined;
}

/** The scope, as in `ContainerSettings`, and the key of a variable or label. */
export interface ScopedKey {
  readonly scope: string;
  readonly key: string;
}

/** A limit against hostile containers. */
const MAX_SETTINGS = 1024;

/** The number of unknown keys that are compared with the list if the container has no settings. Comparing is slow. */
const MAX_COMPARED = 64;

/** The prefixes of keys in the environment and in labels. */
export interface MetadataPrefixes {
  readonly envPrefix: string;
  readonly labelPrefix: string;
}

/** Reads the settings under both prefixes. Refuses unknown keys and suggests the key that was likely meant. */
export function readMetadata(
  container: Container,
  prefix: MetadataPrefixes,
  refusals: Refusals,
): ContainerSettings {
  const unknownKeys: UnknownKey[] = [];
  let hasLinks = false;
  const read =
    (parse: ParseKey, nameOf: (word: string) => string) => (source: string, rest: string) => {
      const parsed = parse(rest);
      if (parsed.kind === 'setting') return parsed;
      if (parsed.kind === 'link') hasLinks = true;
      else unknownKeys.push({ source, nameOf, ...parsed });
      return undefined;
    };
  const settings = collectSettings([
    {
      texts: container.env,
      prefix: prefix.envPrefix,
      keyOf: read(parseVariable, (word) => `${prefix.envPrefix}${word}`),
    },
    {
      texts: container.labels,
      prefix: prefix.labelPrefix,
      keyOf: read(parseLabel, (word) => labelOfWord(word, prefix.labelPrefix)),
    },
  ]);
  if (settings === undefined) {
    refusals.add(`${prefix.envPrefix}*`, `matches more than ${MAX_SETTINGS} settings: remove some`);
    return new Map();
  }
  const isOurs = settings.size > 0 || hasLinks;
  for (const key of isOurs ? unknownKeys : unknownKeys.slice(0, MAX_COMPARED))
    refuseKey(key, isOurs, refusals);
  refuseMisplaced(container, prefix, refusals);
  return settings;
}

/** Refuses labels that have a variable's name, and variables that have a label's name: neither is read. */
function refuseMisplaced(
  { env, labels }: Container,
  prefix: MetadataPrefixes,
  refusals: Refusals,
): void {
  const { envPrefix: variables, labelPrefix: label } = prefix;
  for (const source of labels.keys()) {
    const rest = restBehind(source, variables, label);
    const parsed = rest === undefined ? undefined : parseVariable(rest);
    if (rest === undefined || parsed === undefined || parsed.kind === 'unknown') continue;
    const name = parsed.kind === 'link' ? labelOfWord(rest, label) : labelName(parsed, label);
    refusals.add(source, `is a label with the name of a variable: use the label ${name}`);
  }
  for (const source of env.keys()) {
    const rest = restBehind(source, label, variables);
    const parsed = rest === undefined ? undefined : parseLabel(rest);
    if (rest === undefined || parsed === undefined || parsed.kind === 'unknown') continue;
    const word = parsed.kind === 'link' ? variableOfLink(rest) : variableWord(parsed);
    const fix = word === undefined ? 'set the label' : `set ${variables}${word}`;
    refusals.add(source, `is a variable with the name of a label: ${fix}`);
  }
}

/** What follows the prefix in a name that does not have its own kind's prefix. */
function restBehind(source: string, prefix: string, ownPrefix: string): string | undefined {
  const isMisplaced = !source.startsWith(ownPrefix) && source.startsWith(prefix);
  return isMisplaced ? source.slice(prefix.length) : undefined;
}

function variableWord({ scope, key }: ScopedKey): string {
  return `${scope === '' ? '' : `${scope.replace('/', '_').toUpperCase()}_`}${key}`;
}

function labelOfWord(word: string, prefix: string): string {
  return word.startsWith('LINK_')
    ? `${prefix}${labelOfLink(word)}`
    : labelName({ scope: '', key: word }, prefix);
}

function labelName({ scope, key }: ScopedKey, prefix: string): string {
  const word = key.toLowerCase().replace(/^vip_/, 'vip.').replaceAll('_', '-');
  return `${prefix}${scope === '' ? '' : `${scope}.`}${word}`;
}

/** A source of settings. */
export interface SettingsSource {
  readonly texts: ReadonlyMap<string, string>;
  readonly prefix: string;
  /** The key that the variable or label `source` sets; `rest` is the part of `source` after the prefix. */
  readonly keyOf: (source: string, rest: string) => ScopedKey | undefined;
}

/** The settings of all sources. A later source takes precedence. `undefined` if the settings exceed the limit. */
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

/** The setting that counts for a port, or without a port for the whole container. */
export function findSetting(
  settings: ContainerSettings,
  key: string,
  port?: Port,
): ContainerSetting | undefined {
  return (port && findOwnSetting(settings, key, port)) ?? settings.get('')?.get(key);
}

/** The port's own setting. */
export function findOwnSetting(
  settings: ContainerSettings,
  key: string,
  port: Port,
): ContainerSetting | undefined {
  return settings.get(printPort(port))?.get(key) ?? settings.get(`${port.number}`)?.get(key);
}

/** The ports with their own settings. */
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

type ParsedKey =
  | (ScopedKey & { readonly kind: 'setting' })
  | { readonly kind: 'link' }
  | (MistakenKey & { readonly kind: 'unknown' });

interface MistakenKey {
  /** Completes the sentence that the variable or label begins. */
  readonly reason: string;
  /** The key, if it is to be compared with the known ones. */
  readonly unknown?: string;
  /** The key that was meant, where it need not be searched. */
  readonly guess?: string;
  /** No other program has such a key. */
  readonly isOurs?: boolean;
}

type ParseKey = (rest: string) => ParsedKey;

function parseVariable(rest: string): ParsedKey {
  const link = parseLinkVariable(rest);
  if (link !== undefined) return parsedLink(link, rest);
  const [, digits, protocol, key = ''] = /^(?:([0-9]+)_(?:(TCP|UDP)_)?)?(.*)$/s.exec(rest) ?? [];
  return scopedKey(digits, protocol?.toLowerCase(), key);
}

function parseLabel(rest: string): ParsedKey {
  const link = parseLinkLabel(rest);
  if (link !== undefined) return parsedLink(link, rest);
  const [, digits, protocol, key = ''] = /^(?:([0-9]+)(?:\/(tcp|udp))?\.)?(.*)$/s.exec(rest) ?? [];
  const folded = /[A-Z]/.test(key) ? key : key.toUpperCase().replace(/[-.]/g, '_');
  return scopedKey(digits, protocol, folded);
}

function parsedLink(link: ParsedLinkKey, rest: string): ParsedKey {
  if (link.kind === 'link') return link;
  const misspelt =
    link.kind === 'misspelt' ? { unknown: rest.toUpperCase().replace('.', '_') } : {};
  return { kind: 'unknown', reason: link.reason, isOurs: true, ...misspelt };
}

function scopedKey(
  digits: string | undefined,
  protocol: string | undefined,
  key: string,
): ParsedKey {
  const known = KEYS.find((one) => one === key);
  if (known === undefined) return unknownKey(digits, protocol, key);
  if (digits === undefined) return { kind: 'setting', scope: '', key };
  const number = Number(digits);
  if (number < 1 || number > 65_535)
    return { kind: 'unknown', reason: 'is for a port outside 1 to 65535' };
  if (!PORT_KEYS.some((one) => one === known))
    return { kind: 'unknown', reason: 'applies to the whole container: leave out the port' };
  const scope = protocol === undefined ? `${number}` : `${number}/${protocol}`;
  return { kind: 'setting', scope, key };
}

/** In a link the port comes last, otherwise first. */
function unknownKey(
  digits: string | undefined,
  protocol: string | undefined,
  key: string,
): ParsedKey {
  const isLink = digits !== undefined && key === 'LINK';
  const guess = isLink ? { guess: linkWord(digits, protocol) } : {};
  return { kind: 'unknown', reason: 'is not a setting', unknown: key, ...guess };
}

/** A variable or label that has the prefix and is not a setting. `nameOf` names a key in the form of the source. */
interface UnknownKey extends MistakenKey {
  readonly source: string;
  readonly nameOf: (word: string) => string;
}

/** `isOurs`: whether the container has settings. If not, a key that resembles no setting belongs to another program. */
function refuseKey(key: UnknownKey, isOurs: boolean, refusals: Refusals): void {
  const { source, reason, unknown, nameOf } = key;
  const guess = key.guess ?? (refusals.isFull ? undefined : nearestKey(unknown));
  if (!isOurs && key.isOurs !== true && unknown !== undefined && guess === undefined) return;
  refusals.add(
    source,
    guess === undefined ? reason : `is not a setting; did you mean ${shown(nameOf(guess))}?`,
  );
}

function nearestKey(unknown: string | undefined): string | undefined {
  // A long key resembles no setting, and its distance would be slow to compute.
  if (unknown === undefined || unknown.length > 20) return undefined;
  const word = unknown.toUpperCase().replaceAll('.', '_');
  return nearestWord(word, [...KEYS, ...linkWords(word)]);
}
