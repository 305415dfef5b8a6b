/**
 * Which variables and labels of a container are links, and what each of them links: a port that leads to a service
 * (`DNS_LINK_6379`, `dns.link.53/udp`), or an alias (`dns.link.db`). Links give a container no name. An empty value
 * counts as unset.
 */
import type { Container, Port } from './container.ts';
import type { RegistrarContext } from './context.ts';

/** What a variable or label links. */
export type LinkPoint =
  | {
      readonly kind: 'port';
      readonly port: Port;
      /** connectable's labels lead from the container's own 127.0.0.1. */
      readonly isLocal: boolean;
    }
  | { readonly kind: 'alias'; readonly alias: string }
  /** The switch for all links of the container. */
  | { readonly kind: 'local' };

export type ParsedLinkKey =
  | {
      readonly kind: 'link';
      readonly point: LinkPoint;
      /** Whether the key names the protocol. */
      readonly isSpecific: boolean;
    }
  /** Begins like a link and is none. `reason` completes the sentence that the key begins. */
  | { readonly kind: 'misspelt' | 'refused'; readonly reason: string };

/** `undefined` if the rest of a variable's name, behind the prefix, is not about links. */
export function parseLinkVariable(rest: string): ParsedLinkKey | undefined {
  if (!rest.startsWith('LINK_')) return undefined;
  const word = rest.slice('LINK_'.length);
  if (word === 'LOCAL') return LOCAL;
  const [, digits, protocol] = /^([0-9]{1,9})(?:_(TCP|UDP))?$/.exec(word) ?? [];
  if (digits !== undefined) return portLink(digits, protocol?.toLowerCase());
  return {
    kind: 'misspelt',
    reason: 'is a link without a port, such as 6379 or 53_UDP; only a label may name an alias',
  };
}

/** The same for the rest of a label's name. */
export function parseLinkLabel(rest: string): ParsedLinkKey | undefined {
  if (!rest.startsWith('link.')) return undefined;
  const word = rest.slice('link.'.length);
  if (word === 'local') return LOCAL;
  const [, digits, protocol] = /^([0-9]{1,9})(?:\/(tcp|udp))?$/.exec(word) ?? [];
  if (digits !== undefined) return portLink(digits, protocol);
  if (ALIAS.test(word))
    return { kind: 'link', point: { kind: 'alias', alias: word }, isSpecific: false };
  return {
    kind: 'misspelt',
    reason: 'is a link without a port, such as 53/udp, or an alias of letters, digits, _, . and -',
  };
}

const LOCAL: ParsedLinkKey = { kind: 'link', point: { kind: 'local' }, isSpecific: false };
/** Begins with a letter, so that it can be the name of a variable. */
const ALIAS = /^[A-Za-z][A-Za-z0-9_.-]{0,62}$/;

function portLink(digits: string, protocol: string | undefined, isLocal = false): ParsedLinkKey {
  const number = Number(digits);
  if (number < 1 || number > 65_535)
    return { kind: 'refused', reason: 'is for a port outside 1 to 65535' };
  const port: Port = { number, protocol: protocol === 'udp' ? 'udp' : 'tcp' };
  return {
    kind: 'link',
    point: { kind: 'port', port, isLocal },
    isSpecific: protocol !== undefined,
  };
}

/** The links that a misspelt key in capitals may have meant, in the form of variables. */
export function linkWords(misspelt: string): readonly string[] {
  const [, digits, protocol] = /_([0-9]{1,5})(?:[_/](TCP|UDP))?$/.exec(misspelt) ?? [];
  return digits === undefined ? ['LINK_LOCAL'] : [linkWord(digits, protocol)];
}

/** `LINK_53_UDP` */
export function linkWord(digits: string, protocol: string | undefined): string {
  return `LINK_${digits}${protocol === undefined ? '' : `_${protocol.toUpperCase()}`}`;
}

/** `link.53/udp` for `LINK_53_UDP`. */
export function labelOfLink(word: string): string {
  return word.toLowerCase().replace('_', '.').replace('_', '/');
}

/** `LINK_53_UDP` for `link.53/udp`; `undefined` for an alias, which no variable can name. */
export function variableOfLink(word: string): string | undefined {
  const variable = word.toUpperCase().replace(/[./]/g, '_');
  return parseLinkVariable(variable)?.kind === 'link' ? variable : undefined;
}

/** A link as it is written, unchecked. */
export interface LinkSetting {
  readonly point: LinkPoint;
  readonly value: string;
  /** The variable or label; as written, so it may be unprintable. */
  readonly source: string;
}

/** Reads the links under both prefixes, and those of the programs in `compat`. Of two links the last takes precedence. */
export function readLinkSettings(
  { env, labels }: Pick<Container, 'env' | 'labels'>,
  {
    envPrefix,
    labelPrefix,
    compat,
  }: Pick<RegistrarContext, 'envPrefix' | 'labelPrefix' | 'compat'>,
): readonly LinkSetting[] {
  const sources: readonly LinkSource[] = [
    { texts: env, prefix: '', parse: compat.includes('ambassadord') ? parseBackend : undefined },
    { texts: labels, prefix: '', parse: compat.includes('connectable') ? parseConnect : undefined },
    { texts: env, prefix: envPrefix, parse: parseLinkVariable },
    { texts: labels, prefix: labelPrefix, parse: parseLinkLabel },
  ];
  const [foreign, own] = [sources.slice(0, 2).flatMap(linksIn), sources.slice(2).flatMap(linksIn)];
  const specificLast = own.sort((a, b) => Number(a.isSpecific) - Number(b.isSpecific));
  return [...foreign, ...specificLast].map(({ isSpecific: _, ...link }) => link);
}

interface LinkSource {
  readonly texts: ReadonlyMap<string, string>;
  readonly prefix: string;
  readonly parse: ((rest: string) => ParsedLinkKey | undefined) | undefined;
}

function linksIn({ texts, prefix, parse }: LinkSource) {
  const found: (LinkSetting & { readonly isSpecific: boolean })[] = [];
  for (const [source, text] of parse === undefined ? [] : texts) {
    const value = text.trim();
    const key = source.startsWith(prefix) ? parse?.(source.slice(prefix.length)) : undefined;
    if (value === '' || key?.kind !== 'link') continue;
    found.push({ point: key.point, value, source, isSpecific: key.isSpecific });
  }
  return found;
}

/** ambassadord's `BACKEND_6379`; it compares names without case. */
function parseBackend(name: string): ParsedLinkKey | undefined {
  const [, digits] = /^BACKEND_([0-9]{1,5})$/i.exec(name) ?? [];
  return digits === undefined ? undefined : portLink(digits, undefined);
}

/** connectable's `connect.6379`. */
function parseConnect(name: string): ParsedLinkKey | undefined {
  const [, digits] = /^connect\.([0-9]{1,5})$/.exec(name) ?? [];
  return digits === undefined ? undefined : portLink(digits, undefined, true);
}
