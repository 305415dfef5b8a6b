/**
 * Consul's names: what `web.service.consul` and its kin stand for. A name ends in a word, such as `service`, that tells
 * what the labels in front of it are, and then perhaps in a data centre. The names that Consul writes with further words
 * (namespaces, peers and the like) are known, and not supported.
 */
import { addressOfHex } from '../../dns/address.ts';
import { foldLabel, type Label, type Name, utf8Octets } from '../../dns/name.ts';
import { CONSUL_WORD, PROTOCOL_LABELS, UNSUPPORTED_WORDS } from '../../service/consulWords.ts';
import type { QueryAlias } from '../../service/queryAlias.ts';
import { isWildcard } from '../../zone/tree/select.ts';
import type {
  ConsulInstances,
  ConsulMeaning,
  ConsulPlace,
  ConsulSettings,
} from '../../zone/tree/view.ts';

const MISSING: ConsulMeaning = { kind: 'missing' };
const EMPTY: ConsulMeaning = { kind: 'empty' };

/** A place, with the labels that its data centre has in a name. */
interface NamedPlace extends ConsulPlace {
  readonly suffix: Name;
}

/** What a folded name in the domain of `consul` stands for; `aliasOf` finds an alias by its folded id. */
export function consulMeaning(
  name: Name,
  consul: ConsulSettings,
  aliasOf: (id: Label) => QueryAlias | undefined,
): ConsulMeaning {
  const labels = name.slice(0, name.length - consul.domain.length);
  if (labels.some(isWildcard)) return MISSING;
  const { rest, place } = withoutDatacenter(labels, consul);
  const last = rest.at(-1);
  const front = rest.slice(0, -1);
  if (last === undefined) return EMPTY;
  switch (last) {
    case CONSUL_WORD.service:
      return serviceMeaning(front, place, consul);
    case CONSUL_WORD.node:
      if (front.length === 0) return EMPTY;
      return { kind: 'name', name: [...front, 'node', 'dns', ...place.zone] };
    case CONSUL_WORD.address:
      return addressMeaning(front);
    case CONSUL_WORD.query:
      return queryMeaning(front, place, consul, aliasOf);
    case CONSUL_WORD.virtual:
      // What follows this word in Consul is a peer, not a data centre.
      if (place.suffix.length > 0 || front.length > 1) return MISSING;
      return front.length === 0 ? EMPTY : { kind: 'virtual', name: [...front, ...place.base] };
    case CONSUL_WORD.datacenter:
      return place.suffix.length > 0 ? MISSING : unknownDatacenter(front, consul);
  }
  if (UNSUPPORTED_WORDS.includes(last)) return { kind: 'unsupported', word: last };
  if (rest.length === 1 && PROTOCOL_LABELS.includes(last)) return EMPTY;
  return isServiceForm(rest) ? serviceMeaning(rest, place, consul) : MISSING;
}

/** The labels without a known data centre at their end, which is written `east` or `east.dc`. */
function withoutDatacenter(
  labels: Name,
  { own, datacenters }: ConsulSettings,
): { readonly rest: Name; readonly place: NamedPlace } {
  const hasWord = labels.at(-1) === CONSUL_WORD.datacenter;
  const label = labels.at(hasWord ? -2 : -1);
  const found = datacenters.find((each) => each.label === label);
  if (found === undefined) return { rest: labels, place: { ...own, suffix: [] } };
  const suffix = hasWord ? [found.label, CONSUL_WORD.datacenter] : [found.label];
  return { rest: labels.slice(0, -suffix.length), place: { ...found, suffix } };
}

function unknownDatacenter(front: Name, { datacenters }: ConsulSettings): ConsulMeaning {
  const word = front.slice(1).find((label) => UNSUPPORTED_WORDS.includes(label));
  if (word !== undefined) return { kind: 'unsupported', word };
  return front.length === 0 && datacenters.length > 0 ? EMPTY : MISSING;
}

/** `_SVC._TAG` (RFC 2782). */
function isServiceForm([service, tag, ...others]: Name): boolean {
  return others.length === 0 && isUnderscored(service) && isUnderscored(tag);
}

function isUnderscored(label: Label | undefined): boolean {
  return label !== undefined && label.length > 1 && label.startsWith('_');
}

function serviceMeaning(front: Name, place: NamedPlace, consul: ConsulSettings): ConsulMeaning {
  const [first, second = ''] = front;
  if (first === undefined) return EMPTY;
  if (front.length === 1 && PROTOCOL_LABELS.includes(first)) return EMPTY;
  const services = (label: Label): ConsulInstances['services'] => [
    { name: [label, ...place.base], addressDomain: addressDomainOf(place, consul) },
  ];
  if (isServiceForm(front)) {
    const protocol = second === '_udp' ? 'udp' : undefined;
    const tag = PROTOCOL_LABELS.includes(second) ? undefined : second.slice(1);
    return instances({ services: services(first.slice(1)), tag, protocol });
  }
  const tag = front.length > 1 ? front.slice(0, -1).join('.') : undefined;
  return instances({ services: services(front.at(-1) as Label), tag, protocol: undefined });
}

function instances(wanted: Omit<ConsulInstances, 'announcedAs'>): ConsulMeaning {
  return { kind: 'instances', wanted: { ...wanted, announcedAs: undefined } };
}

/** `addr.DC.<domain>` if the place has a label. */
function addressDomainOf(place: ConsulPlace, { domain, datacenters }: ConsulSettings): Name {
  const { base } = place;
  const found = datacenters.find((each) => each.base.join('.') === base.join('.'));
  return [CONSUL_WORD.address, ...(found === undefined ? [] : [found.label]), ...domain];
}

function addressMeaning(front: Name): ConsulMeaning {
  const [label] = front;
  if (label === undefined) return EMPTY;
  const address = front.length === 1 ? addressOfHex(label) : undefined;
  return address === undefined ? MISSING : { kind: 'address', address };
}

function queryMeaning(
  front: Name,
  place: NamedPlace,
  consul: ConsulSettings,
  aliasOf: (id: Label) => QueryAlias | undefined,
): ConsulMeaning {
  const [first, second] = front;
  if (first === undefined) return EMPTY;
  if (front.length === 1 && PROTOCOL_LABELS.includes(first)) return EMPTY;
  const isService = isServiceForm(front) && PROTOCOL_LABELS.includes(second as Label);
  if (front.length > 1 && !isService) return MISSING;
  const id = isService ? first.slice(1) : first;
  const alias = aliasOf(id);
  if (alias === undefined) return MISSING;
  const others = alias.datacenters.flatMap(
    (label) => consul.datacenters.find((each) => each.label === label) ?? [],
  );
  const services = [place, ...others].map((each) => ({
    name: [...alias.service, ...each.base],
    addressDomain: addressDomainOf(each, consul),
  }));
  const tag = alias.tag === undefined ? undefined : foldLabel(utf8Octets(alias.tag));
  const announcedAs = aliasName(id, consul);
  return { kind: 'instances', wanted: { services, tag, protocol: undefined, announcedAs } };
}

/** The name of an alias without a data centre. */
export function aliasName(id: Label, { domain }: ConsulSettings): Name {
  return [id, CONSUL_WORD.query, ...domain];
}
