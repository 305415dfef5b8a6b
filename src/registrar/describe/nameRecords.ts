/**
 * Makes records from names and addresses: their keys, one record for each family of a dual-stack name, and PTR records.
 * Refuses names that the policy forbids, and names of one container that collide.
 */
import { reverseName } from '../../dns/address.ts';
import { equalNames, isSubdomainOf, type Name } from '../../dns/name.ts';
import { keyOfName, nameOfKey } from '../../service/key.ts';
import { UNKNOWN_LABEL } from '../../service/namePattern.ts';
import { NO_SRV } from '../../service/service.ts';
import type { AddressChoice, ReachableAt } from './addressChoice.ts';
import { type Container, compareTexts, parentOf } from './container.ts';
import type { RegistrarContext, StopPolicy } from './context.ts';
import {
  type Description,
  type DesiredRecord,
  type Draining,
  type Hints,
  type RecordFields,
  type Refusals,
  shown,
} from './description.ts';
import type { RecordAttributes } from './fields.ts';
import { beginsWithAsterisk, checkFullName, type RequestedName, zoneDepth } from './names.ts';
import { challengedName, judgeNames } from './policy.ts';
import { familyLabel } from './storedValue.ts';

/** The records of one name: one record, or one for each family. */
export interface NameRecords {
  readonly records: readonly DesiredRecord[];
  /** The name, for the target of PTR records and for messages. */
  readonly host: string;
  /** Whether the addresses are the container's own on one of its networks. */
  readonly isInternal: boolean;
}

/** The parts of a description besides its records. */
export interface DescriptionParts {
  readonly refusals: Refusals;
  /** What further records wait for. */
  readonly waits: readonly string[];
  readonly hints: Hints;
  readonly stop: StopPolicy;
  readonly draining: Draining;
  /** The container's project, for the policy. */
  readonly project: string | undefined;
}

/** Builds the description of a container from the records of its names. */
export function buildDescription(
  nameRecords: readonly NameRecords[],
  { refusals, waits, hints, stop, draining, project }: DescriptionParts,
  container: Container,
  context: RegistrarContext,
): Description {
  const accepted = withoutCollisions(permitted(nameRecords, project, context, refusals), refusals);
  const refused = refusals.list();
  const [waiting] = waits;
  if (accepted.length === 0 && refused.length === 0) {
    return waiting === undefined
      ? { kind: 'ignored', reason: 'has every port switched off', ...hints.all() }
      : { kind: 'waiting', reason: waiting, ...hints.all() };
  }
  // A container that joined another one's network has no address of its own for a PTR record.
  const isOwner = parentOf(container) === undefined;
  const ptr = context.ptr && isOwner ? ptrRecords(accepted, context.prefix) : [];
  const records = [...accepted.flatMap((name) => name.records), ...ptr].sort(
    (a, b) => compareTexts(a.key, b.key) || compareTexts(a.family ?? '', b.family ?? ''),
  );
  return {
    kind: 'described',
    records,
    refusals: refused,
    stop,
    draining,
    ...(waiting === undefined ? {} : { waiting }),
    ...hints.all(),
  };
}

/** Makes the records of one name: one at its own key, or with both families one below it for each. */
export function recordsOfName(
  requested: RequestedName,
  { endpoints, isInternal }: Extract<AddressChoice, { kind: 'endpoints' }>,
  attributes: RecordAttributes,
  context: RegistrarContext,
  refusals: Refusals,
): NameRecords[] {
  const { name, instance, preferredNumber, hintIfTaken } = requested;
  const host = name.join('.');
  const [first, second] = endpoints;
  const key = keyOfName(name, context.prefix);
  if (first === undefined || key === undefined) return [];
  const common = {
    key,
    instance,
    ...(preferredNumber === undefined ? {} : { preferredNumber }),
    ...(hintIfTaken === undefined ? {} : { hintIfTaken }),
  };
  const numbered = instance === 'auto' ? ['1', ...name] : name;
  const checked = checkFullName(numbered, context);
  if (checked.kind === 'refused') {
    refusals.add(host, checked.reason);
    return [];
  }
  const virtual = virtualName(requested, attributes, context);
  if (virtual.kind === 'refused') {
    refusals.add(host, virtual.reason);
    return [];
  }
  const all = { ...attributes, ...virtual.field };
  const hasRoom = checkFullName([familyLabel(6), ...numbered], context).kind === 'name';
  if (second !== undefined && !hasRoom)
    refusals.add(
      host,
      `is too long for a record of each address family: only ${first.address} gets one`,
    );
  if (second === undefined || !hasRoom)
    return [{ records: [{ ...common, fields: recordFieldsOf(first, all) }], host, isInternal }];
  const records = [first, second].map((endpoint): DesiredRecord => {
    const fields = recordFieldsOf(endpoint, belowItsName(all));
    return { ...common, family: familyLabel(endpoint.family), fields };
  });
  return [{ records, host, isInternal }];
}

type VirtualName =
  | { readonly kind: 'name'; readonly field: Pick<RecordAttributes, 'vipName'> }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * The name that gets the virtual address: the one that VIP_NAME sets, else the name of the service, which is the name
 * without its instance. A name with only the zone above it is its own service. The record always states the name,
 * because a record of one address family is a label below it.
 */
function virtualName(
  { name, instance }: RequestedName,
  { vip, vipName: stated }: RecordAttributes,
  context: RegistrarContext,
): VirtualName {
  if (stated !== undefined && !isSubdomainOf(name, stated.split('.')))
    return {
      kind: 'refused',
      reason: `is not below ${shown(stated)}, to which ${context.envPrefix}VIP_NAME gives the virtual address: choose the name or one above it`,
    };
  const isAsked = vip !== undefined && vip !== 'none';
  if (isAsked && beginsWithAsterisk(name))
    return {
      kind: 'refused',
      reason: `is a wildcard, which can have no virtual address: remove ${context.envPrefix}VIP`,
    };
  if (stated !== undefined || !isAsked) return { kind: 'name', field: {} };
  const isAlone = name.length - zoneDepth(name, context) === 1;
  const service = instance === 'auto' || isAlone ? name : name.slice(1);
  return { kind: 'name', field: { vipName: service.join('.') } };
}

/** A record without a port gets `NO_SRV`, so that it is in no SRV answer. */
function recordFieldsOf(
  { address, port }: ReachableAt,
  attributes: RecordAttributes,
): RecordFields {
  return { host: address, port: port ?? NO_SRV, ...attributes };
}

/** A name has at most 127 labels. */
const MAX_TARGETSTRIP = 127;

/**
 * Makes the name the SRV target of the record below it: strips the family's label besides those that TARGETSTRIP
 * strips.
 */
function belowItsName(attributes: RecordAttributes): RecordAttributes {
  // The name has the addresses of both records only because it gathers them.
  const { aggregate: _, ...gathered } = attributes;
  const targetstrip = Math.min((attributes.targetstrip ?? 0) + 1, MAX_TARGETSTRIP);
  return { ...gathered, targetstrip };
}

/**
 * A PTR record is at the exact reverse name, because CoreDNS finds no record below it. Each address points to its first
 * name.
 */
function ptrRecords(nameRecords: readonly NameRecords[], prefix: string): DesiredRecord[] {
  const byKey = new Map<string, DesiredRecord>();
  for (const { records, host, isInternal } of nameRecords) {
    if (!isInternal || beginsWithAsterisk(host.split('.'))) continue;
    for (const { key: name, instance, fields } of records) {
      const key = keyOfName(reverseName(fields.host), prefix);
      if (key === undefined || byKey.has(key)) continue;
      const pointer = instance === 'auto' ? { numberedBy: name } : {};
      const ptrFields = { host, ttl: fields.ttl };
      byKey.set(key, { key, instance: 'named', pointer, fields: ptrFields });
    }
  }
  return [...byKey.values()];
}

/** The names that the policy allows. A record keeps its `keyIfTaken` only if the policy allows that name too. */
function permitted(
  nameRecords: readonly NameRecords[],
  project: string | undefined,
  context: RegistrarContext,
  refusals: Refusals,
): NameRecords[] {
  const named = nameRecords.map((one) => ({
    one,
    name: nameOfRecord(one.records[0], context.prefix),
  }));
  const reasons = judgeNames(
    named.map(({ name }) => name),
    project,
    context,
  );
  return named.flatMap(({ one, name }) => {
    const reason = reasons.get(name);
    if (reason !== undefined) {
      refusals.add(one.host, reason);
      return [];
    }
    const above = challengedName(name);
    const beside = named.find((other) => above !== undefined && equalNames(other.name, above));
    const onlyBeside = beside?.one.records[0]?.key;
    const records = one.records
      .map((record) => withPermittedKeys(record, project, context))
      .map((record) => (onlyBeside === undefined ? record : { ...record, onlyBeside }));
    return [{ ...one, records }];
  });
}

function withPermittedKeys(
  record: DesiredRecord,
  project: string | undefined,
  context: RegistrarContext,
): DesiredRecord {
  const { keyIfTaken, ...rest } = record;
  if (keyIfTaken === undefined) return record;
  const other = nameOfRecord({ key: keyIfTaken, instance: 'named' }, context.prefix);
  return judgeNames([other], project, context).size === 0 ? record : rest;
}

/** The owner name of a record. */
function nameOfRecord(
  record: Pick<DesiredRecord, 'key' | 'instance'> | undefined,
  prefix: string,
): Name {
  const read = nameOfKey(record?.key ?? '', prefix);
  const owner = read.kind === 'name' ? read.owner : [];
  return record?.instance === 'auto' ? [UNKNOWN_LABEL, ...owner] : owner;
}

/**
 * Refuses names of one container that collide: equal names, and a name above another name, which it would hide. A name
 * may be above its ACME challenge, because both have the same addresses, and above a name that counts in no other.
 */
function withoutCollisions(nameRecords: readonly NameRecords[], refusals: Refusals): NameRecords[] {
  const byName = new Map<string, NameRecords>();
  for (const one of nameRecords) {
    const name = nameId(one);
    if (byName.has(name))
      refusals.add(one.host, 'is the name of two ports of the container: give each its own');
    else byName.set(name, one);
  }
  const names = [...byName]
    .filter(([, { host }]) => challengedName(host.split('.')) === undefined)
    .filter(([, { records }]) => records[0]?.fields.aggregate !== false)
    .map(([name]) => name);
  return [...byName]
    .filter(([name, { host }]) => {
      const isAbove = names.some((other) => other.startsWith(`${name}/`));
      if (isAbove)
        refusals.add(
          host,
          'is above another name of the container, which would hide it: choose another name',
        );
      return !isAbove;
    })
    .map(([, one]) => one);
}

/** The key of the name, with `?`, which no key has, for a number that is not claimed yet. */
function nameId({ records: [first] }: NameRecords): string {
  if (first === undefined) return '';
  return first.instance === 'auto' ? `${first.key}/?` : first.key;
}
