/** The services that answer for a name in our zones: selects them, and applies the group rule. */
import { familyOfAddress } from '../../dns/address.ts';
import { Ede, type ExtendedError } from '../../dns/message.ts';
import {
  equalNames,
  foldLabel,
  foldName,
  type Label,
  type Name,
  nameOctets,
  utf8Octets,
} from '../../dns/name.ts';
import { Type } from '../../dns/rr.ts';
import { COMPRESSED_RR_OCTETS } from '../../dns/wire.ts';
import { chooseLeader } from '../../service/leader.ts';
import type { Linking } from '../../service/linking.ts';
import { NO_SRV, type Service } from '../../service/service.ts';
import { applyGroupRule } from './group.ts';
import type { LookupState } from './lookupState.ts';
import { type GivenAddress, meaningOf, virtualAddressesAt } from './meaning.ts';
import {
  find,
  hasName,
  MAX_SELECTED,
  type Purpose,
  type Selected,
  type Selection,
  select,
  selectLiterally,
} from './select.ts';
import type { Registration } from './tree.ts';
import type { ConsulInstances, ConsulMeaning } from './view.ts';
import { wildcardFor } from './wildcard.ts';

export interface NameServices {
  /** May be empty: the name exists without services. */
  readonly services: readonly Selected[];
  /** These are all services that answer for the name. */
  readonly isWhole: boolean;
  /** The addresses that the name has in place of its services'. */
  readonly given?: readonly GivenAddress[] | undefined;
  /** SRV targets of services with an address are HEX.<addressDomain>, in place of their owner names. */
  readonly addressDomain?: Name | undefined;
  /** They are those of one instance, the leader. */
  readonly isLeader?: true;
  /** The stored wildcard that has the services, if the name does not exist. */
  readonly wildcard?: Name;
}

const EMPTY: NameServices = { services: [], isWhole: true };

/** The services of a name in the zone of `apex`; `undefined` if the name does not exist. */
export function servicesAt(
  state: LookupState,
  owner: Name,
  apex: Name,
  qtype: number,
): NameServices | undefined {
  const name = foldName(owner);
  const meaning = meaningOf(state, name, apex, qtype);
  switch (meaning.kind) {
    case 'services':
      return servicesOf(state, meaning.name, qtype) ?? synthesizedAt(state, meaning.name, qtype);
    case 'leader':
      return leaderOf(state, name, meaning.of) ?? synthesizedAt(state, name, qtype);
    case 'here':
      return { ...EMPTY, given: addressesHere(state, qtype) };
    case 'ownServer': {
      const { ownAddresses, ttlSeconds } = state.view.settings;
      return { ...EMPTY, given: ownAddresses.map((each) => ({ ...each, ttlSeconds })) };
    }
    case 'consul':
      return consulServices(state, meaning.meaning, qtype);
  }
}

/** Whether a name in the zone of `apex` exists, or a stored wildcard answers for it. */
export function nameExists(state: LookupState, owner: Name, apex: Name): boolean {
  const meaning = meaningOf(state, foldName(owner), apex, Type.ANY);
  switch (meaning.kind) {
    case 'services':
      return existsOrIsSynthesized(state, meaning.name, meaning.name);
    case 'leader':
      return existsOrIsSynthesized(state, meaning.of, foldName(owner));
    case 'here':
    case 'ownServer':
      return true;
    case 'consul':
      return consulServices(state, meaning.meaning, Type.ANY) !== undefined;
  }
}

function servicesOf(state: LookupState, name: Name, qtype: number): NameServices | undefined {
  return chosenFrom(state, name, select(state, name, purposeOf(qtype)));
}

function chosenFrom(
  state: LookupState,
  name: Name,
  selection: Selection,
): NameServices | undefined {
  if (selection.kind === 'missing') return undefined;
  const { isWhole } = selection;
  const given = virtualAddressesAt(state, name);
  return { services: grouped(state, selection), isWhole, given };
}

function grouped(
  { view }: LookupState,
  { services, sampledBelow }: Extract<Selection, { kind: 'exists' }>,
): readonly Selected[] {
  return applyGroupRule(services, sampledBelow, view.settings.aggregateDepth);
}

/** The services of the stored wildcard that answers for a folded name, if the name does not exist. */
function synthesizedAt(state: LookupState, name: Name, qtype: number): NameServices | undefined {
  const wildcard = wildcardFor(state, name);
  if (wildcard === undefined) return undefined;
  const found = chosenFrom(state, wildcard, selectLiterally(state, wildcard, purposeOf(qtype)));
  return found && { ...found, services: standingFor(found.services, name, wildcard), wildcard };
}

/** The services of a stored wildcard, for the name that it answers for. */
function standingFor(
  services: readonly Selected[],
  name: Name,
  wildcard: Name,
): readonly Selected[] {
  return services.map((selected) => {
    const labelsBelow = selected.node.owner().length - wildcard.length;
    return { ...selected, standsFor: { name, labelsBelow } };
  });
}

function existsOrIsSynthesized(state: LookupState, name: Name, asked: Name): boolean {
  return hasName(state, name) || wildcardFor(state, asked) !== undefined;
}

/** The leading instance of `of`, for the name of the leader. */
function leaderOf(state: LookupState, name: Name, of: Name): NameServices | undefined {
  const node = find(state, of);
  if (node === undefined) return undefined;
  const given = virtualAddressesAt(state, name);
  const services = node.serviceCount > MAX_SELECTED ? [] : leaderAmong(state, of);
  return { services, isWhole: true, given, isLeader: true };
}

/** The services of the leading instance: one for each of its address families. */
function leaderAmong(state: LookupState, of: Name): readonly Selected[] {
  const selection = select(state, of, INSTANCES);
  if (selection.kind === 'missing') return [];
  const instances = grouped(state, { ...selection, sampledBelow: undefined }).filter(hasHost);
  const candidates = instances.map((selected) => {
    const { createRevision, attributes } = selected.registration;
    return {
      name: instanceName(selected),
      rule: attributes.linking.leader,
      createRevision,
      selected,
    };
  });
  const leader = chooseLeader(candidates, state.view.facts.chosenLeader(of));
  if (leader === undefined) return [];
  return candidates
    .filter(({ name }) => equalNames(name, leader.name))
    .map(({ selected }) => withTtl(selected, state.view.settings.leaderTtlSeconds));
}

/**
 * The name of the instance that a service belongs to, which is the target of its SRV record if its host is an address:
 * its owner name without its first `targetstrip` labels. A `targetstrip` of all labels or more strips nothing
 * (SkyDNS). A host name keeps its labels, although external-dns sets `targetstrip` beside host names, too, for its own
 * prefix. For a service of a stored wildcard the name that it answers for takes the place of the wildcard's, and of the
 * names below that.
 */
export function instanceName(
  selected: Pick<Selected, 'node' | 'registration' | 'standsFor'>,
): Name {
  const { node, registration, standsFor } = selected;
  const owner = standsFor?.name ?? node.owner();
  const targetStrip = registration.attributes.targetStrip - (standsFor?.labelsBelow ?? 0);
  const isStripped = registration.family !== 0 && targetStrip > 0 && targetStrip < owner.length;
  return isStripped ? owner.slice(targetStrip) : owner;
}

function hasHost({ registration: { family, target } }: Selected): boolean {
  return family !== 0 || target !== undefined;
}

/** The service with another TTL, which its lease still limits. */
function withTtl(selected: Selected, ttlSeconds: number): Selected {
  const { registration } = selected;
  const attributes = { ...registration.attributes, ttlSeconds };
  return { ...selected, registration: { ...registration, attributes } };
}

function consulServices(
  state: LookupState,
  meaning: ConsulMeaning,
  qtype: number,
): NameServices | undefined {
  switch (meaning.kind) {
    case 'missing':
      return undefined;
    case 'empty':
      return EMPTY;
    case 'unsupported':
      state.denialReason = unsupported(meaning.word);
      return undefined;
    case 'name':
      return servicesOf(state, meaning.name, qtype);
    case 'instances':
      return firstInstances(state, meaning.wanted, qtype);
    case 'virtual': {
      const given = hasName(state, meaning.name) && virtualAddressesAt(state, meaning.name);
      return given ? { ...EMPTY, given } : undefined;
    }
    case 'address': {
      const { ttlSeconds } = state.view.settings;
      return { ...EMPTY, given: [{ ...meaning.address, ttlSeconds }] };
    }
  }
}

function unsupported(word: Label): ExtendedError {
  return { code: Ede.NOT_SUPPORTED, text: `names with the label ${word} are not supported` };
}

/** The instances of the first service that has some; `undefined` if none has. */
function firstInstances(
  state: LookupState,
  wanted: ConsulInstances,
  qtype: number,
): NameServices | undefined {
  if (wanted.announcedAs !== undefined) state.namesRead.push(wanted.announcedAs);
  let isEmpty = false;
  for (const { name, addressDomain } of wanted.services) {
    const found = taggedInstances(state, name, wanted, qtype);
    if (found !== undefined && found.services.length > 0) return { ...found, addressDomain };
    isEmpty ||= found !== undefined;
  }
  return isEmpty ? EMPTY : undefined;
}

/** The wanted instances of a service. Without instances it is `undefined`, unless the name exists all the same. */
function taggedInstances(
  state: LookupState,
  name: Name,
  { tag, protocol }: ConsulInstances,
  qtype: number,
): NameServices | undefined {
  const purpose = purposeOf(qtype);
  const isWanted = ({ attributes: { linking } }: Service): boolean =>
    (tag === undefined || hasTag(linking, tag)) &&
    (protocol === undefined || linking.expose?.protocol === protocol || hasTag(linking, protocol));
  const isUseful = (service: Registration) => isWanted(service) && purpose.isUseful(service);
  const selection = select(state, name, { ...purpose, isUseful });
  if (selection.kind === 'missing') return undefined;
  const { services: all, isWhole, sampledBelow } = selection;
  const services = grouped(state, selection).filter((each) => isWanted(each.registration));
  if (services.length === 0) {
    // A sample has only services that are useful to this question. A tag with dots makes several names.
    const isEmpty = sampledBelow !== undefined || all.some((each) => isBelowTag(each, tag));
    return isEmpty ? EMPTY : undefined;
  }
  const isAll = tag === undefined && protocol === undefined;
  return { services, isWhole, given: isAll ? virtualAddressesAt(state, name) : undefined };
}

function hasTag({ tags }: Linking, wanted: string): boolean {
  return tags.some((tag) => foldLabel(utf8Octets(tag)) === wanted);
}

/** Whether one of the service's tags has further labels in front of `tag`. */
function isBelowTag({ registration }: Selected, tag: string | undefined): boolean {
  const { tags } = registration.attributes.linking;
  return tags.some((each) => foldLabel(utf8Octets(each)).endsWith(`.${tag}`));
}

/** The address at which the question arrived, which differs from client to client. */
function addressesHere(state: LookupState, qtype: number): readonly GivenAddress[] {
  if (qtype !== Type.A && qtype !== Type.AAAA) return [];
  state.isPersonal = true;
  const { localAddress: address } = state.view;
  if (address === undefined) return [];
  // A cache that several clients share would give one client's address to another.
  return [{ family: familyOfAddress(address), address, ttlSeconds: 0 }];
}

const HOST_PURPOSE: Purpose = {
  isUseful: ({ family, target }) => family !== 0 || target !== undefined,
  octetsOf: () => 0,
  mergesAddresses: false,
};

/** For the choice of a leader, which takes all instances. */
const INSTANCES: Purpose = { ...HOST_PURPOSE, ignoresTexts: true };

const PURPOSES: ReadonlyMap<number, Purpose> = new Map<number, Purpose>([
  [Type.A, addressPurpose(4, 4)],
  [Type.AAAA, addressPurpose(6, 16)],
  [
    Type.TXT,
    {
      ...HOST_PURPOSE,
      isUseful: ({ attributes, target }) => attributes.text !== '' || target !== undefined,
      octetsOf: (_, { attributes: { text } }) =>
        text === '' ? 0 : COMPRESSED_RR_OCTETS + 1 + text.length,
    },
  ],
  [
    Type.SRV,
    {
      ...HOST_PURPOSE,
      octetsOf: (node, { family, target, attributes: { port } }) => {
        if (port === NO_SRV || (family === 0 && target === undefined)) return 0;
        // SRV targets are not compressed (RFC 2782).
        return COMPRESSED_RR_OCTETS + 6 + nameOctets(target ?? node.owner());
      },
    },
  ],
  [
    Type.MX,
    {
      ...HOST_PURPOSE,
      isUseful: ({ attributes }) => attributes.mail,
      octetsOf: (_, { attributes: { mail } }) => (mail ? COMPRESSED_RR_OCTETS + 4 : 0),
    },
  ],
]);

function addressPurpose(family: 4 | 6, octets: number): Purpose {
  return {
    isUseful: (service) => service.family === family || service.target !== undefined,
    octetsOf: (_, service) => (service.family === family ? COMPRESSED_RR_OCTETS + octets : 0),
    mergesAddresses: true,
  };
}

function purposeOf(qtype: number): Purpose {
  return PURPOSES.get(qtype) ?? HOST_PURPOSE;
}
