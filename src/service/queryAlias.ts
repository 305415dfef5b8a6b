/**
 * An alias for a query in Consul's sense: a name for the instances of a service with a tag, in the first of several
 * data centres that has some. Its key ends in its id.
 */
import { foldName, type Label, type Name, parseName } from '../dns/name.ts';
import { parseJsonValue } from './jsonValue.ts';

export interface QueryAlias {
  /** Folded. */
  readonly id: Label;
  /** The service's name below the base of a data centre, folded. */
  readonly service: Name;
  /** Octets; `undefined`: instances with any tags. */
  readonly tag: string | undefined;
  /** Folded labels of the data centres to ask after the own one, in this order. */
  readonly datacenters: readonly Label[];
}

export type ParsedQueryAlias =
  | { readonly kind: 'alias'; readonly alias: QueryAlias }
  | { readonly kind: 'invalid'; readonly reason: string };

const MAX_ALIAS_OCTETS = 4_096;
const MAX_DATACENTERS = 16;
const MAX_TAG_OCTETS = 255;

/** `id`: the part of the key after the prefix. Never throws. */
export function parseQueryAlias(id: string, value: Uint8Array): ParsedQueryAlias {
  const label = labelOf(id);
  if (label === undefined) return invalidAlias('the key is not one label');
  const parsed = parseJsonValue(value, MAX_ALIAS_OCTETS);
  if (parsed.kind === 'invalid') return parsed;
  const { service, tag, then = [] } = parsed.json;
  const name = typeof service === 'string' ? parseName(service) : undefined;
  if (name === undefined || name.length === 0) {
    return invalidAlias('service: must be a name below a data centre');
  }
  if (tag !== undefined && !isTag(tag)) {
    return invalidAlias(`tag: must be a text of 1 to ${MAX_TAG_OCTETS} octets`);
  }
  const datacenters = labelsOf(then);
  if (datacenters === undefined) {
    return invalidAlias(`then: must be a list of at most ${MAX_DATACENTERS} labels`);
  }
  return {
    kind: 'alias',
    alias: { id: label, service: foldName(name), tag, datacenters },
  };
}

function isTag(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TAG_OCTETS;
}

function labelsOf(value: unknown): readonly Label[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_DATACENTERS) return undefined;
  const labels = value.map((each) => (typeof each === 'string' ? labelOf(each) : undefined));
  return labels.every((label) => label !== undefined) ? labels : undefined;
}

/** The folded label, if the text is one. */
function labelOf(text: string): Label | undefined {
  const name = parseName(text);
  return name?.length === 1 ? foldName(name)[0] : undefined;
}

function invalidAlias(reason: string): ParsedQueryAlias {
  return { kind: 'invalid', reason };
}
