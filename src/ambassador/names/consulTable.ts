/**
 * What the answer table needs to know about Consul's names (`consulName.ts`): those that always exist, and the rules by
 * which a worker tells which others may exist.
 */
import type { Label, Name } from '../../dns/name.ts';
import { CONSUL_WORD, PROTOCOL_LABELS, UNSUPPORTED_WORDS } from '../../service/consulWords.ts';
import type {
  ConsulNames,
  ConsulPlace,
  ConsulSettings,
  DerivedRule,
} from '../../zone/tree/view.ts';
import { aliasName } from './consulName.ts';

/** `aliases`: the ids of all aliases. */
export function consulNames(consul: ConsulSettings, aliases: Iterable<Label>): ConsulNames {
  const places = placesOf(consul);
  const named = [...aliases].map((id) => aliasName(id, consul));
  return {
    fixed: [...places.flatMap((place) => emptyNames(place, consul)), ...named],
    rules: [...places.flatMap((place) => rulesOf(place, consul)), ...ownRules(consul)],
  };
}

/** A place, with the labels behind the word of a name. */
interface PlaceNames extends ConsulPlace {
  readonly end: Name;
}

function placesOf({ own, domain, datacenters }: ConsulSettings): readonly PlaceNames[] {
  return [
    { ...own, end: domain },
    ...datacenters.flatMap((each) => [
      { ...each, end: [each.label, ...domain] },
      { ...each, end: [each.label, CONSUL_WORD.datacenter, ...domain] },
    ]),
  ];
}

/** The names that exist because others are below them: else a resolver may take these for missing (RFC 8020). */
function emptyNames({ end }: PlaceNames, { domain, datacenters }: ConsulSettings): Name[] {
  const isOwn = end === domain;
  const words = [CONSUL_WORD.service, CONSUL_WORD.node, CONSUL_WORD.address, CONSUL_WORD.query];
  return [
    end,
    ...words.map((word) => [word, ...end]),
    ...[[], [CONSUL_WORD.service], [CONSUL_WORD.query]].flatMap((front) =>
      PROTOCOL_LABELS.map((label) => [label, ...front, ...end]),
    ),
    ...(isOwn ? [[CONSUL_WORD.virtual, ...end]] : []),
    ...(isOwn && datacenters.length > 0 ? [[CONSUL_WORD.datacenter, ...end]] : []),
  ];
}

function rulesOf({ base, zone, end }: PlaceNames, { domain }: ConsulSettings): DerivedRule[] {
  return [
    { suffix: end, base, form: 'srv' },
    { suffix: [CONSUL_WORD.service, ...end], base, form: 'service' },
    { suffix: [CONSUL_WORD.node, ...end], base: ['node', 'dns', ...zone], form: 'whole' },
    { suffix: [CONSUL_WORD.address, ...end], base: [], form: 'address' },
    { suffix: [CONSUL_WORD.query, ...end], base: [CONSUL_WORD.query, ...domain], form: 'service' },
    ...UNSUPPORTED_WORDS.map(
      (word): DerivedRule => ({ suffix: [word, ...end], base: [], form: 'any' }),
    ),
  ];
}

function ownRules({ own, domain }: ConsulSettings): DerivedRule[] {
  return [
    { suffix: [CONSUL_WORD.virtual, ...domain], base: own.base, form: 'whole' },
    { suffix: [CONSUL_WORD.datacenter, ...domain], base: [], form: 'any' },
  ];
}
