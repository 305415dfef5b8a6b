/**
 * From names and addresses to records: keys, the second leaf for IPv6, PTR, and no two records of a container in each
 * other's way.
 */
import { reverseName } from '../dns/address.ts';
import type { Name } from '../dns/name.ts';
import { keyOfName } from '../service/key.ts';
import { type AddressChoice, parentOf } from './chooseAddress.ts';
import { type Container, compareTexts } from './container.ts';
import type { RegistrarContext, StopPolicy } from './context.ts';
import type { Description, DesiredRecord, RecordFields } from './description.ts';
import type { Attributes } from './fields.ts';
import { checkPlace, withSuffix } from './names.ts';
import type { Refusals } from './refusals.ts';

/** A name that a record is wanted at. */
export interface Place {
  readonly name: Name;
  /** `auto`: a label for the instance is still to come in front of the name. */
  readonly instance: 'named' | 'auto';
}

/** A record, with what else is known of it. */
export interface PlacedRecord {
  readonly record: DesiredRecord;
  /** The name that it is about, in messages and as what PTR points to. */
  readonly host: string;
  /** Whether its address is the container's own, on one of its networks. */
  readonly isInternal: boolean;
}

/** What else a description says. */
export interface Outcome {
  readonly refusals: Refusals;
  /** What is not known yet. */
  readonly waits: readonly string[];
  readonly stop: StopPolicy;
}

/** The description of a container with these records. */
export function conclude(
  placed: readonly PlacedRecord[],
  { refusals, waits, stop }: Outcome,
  container: Container,
  context: RegistrarContext,
): Description {
  const settled = settle(placed, refusals);
  const refused = refusals.list();
  const [waiting] = waits;
  if (settled.length === 0 && refused.length === 0) {
    return waiting === undefined
      ? { kind: 'ignored', reason: 'has every port switched off' }
      : { kind: 'waiting', reason: waiting };
  }
  // The network of a container that joined another's is the other's, and so is the PTR.
  const isOwner = parentOf(container) === undefined;
  const ptr = context.ptr && isOwner ? ptrRecords(settled, context.prefix) : [];
  const records = [...settled.map(({ record }) => record), ...ptr].sort((a, b) =>
    compareTexts(a.key, b.key),
  );
  const description = { kind: 'described', records, refusals: refused, stop } as const;
  return waiting === undefined ? description : { ...description, waiting };
}

/** The records of one name: IPv4, or what there is, at the name itself, IPv6 beside it at `-v6`. */
export function placeRecords(
  { name, instance }: Place,
  { endpoints, isInternal }: Extract<AddressChoice, { kind: 'endpoints' }>,
  attributes: Attributes,
  context: RegistrarContext,
  refusals: Refusals,
): PlacedRecord[] {
  const placed: PlacedRecord[] = [];
  endpoints.forEach(({ address, port }, i) => {
    const suffix = i === 0 ? '' : '-v6';
    const leaf = instance === 'auto' ? name : withSuffix(name, 0, suffix);
    const checked = checkPlace(leaf, context);
    if (checked.kind === 'refused') refusals.add(leaf.join('.'), checked.reason);
    const key = checked.kind === 'name' ? keyOfName(leaf, context.prefix) : undefined;
    if (key === undefined) return;
    const fields: RecordFields = {
      host: address,
      ...(port === undefined ? {} : { port }),
      ...attributes,
    };
    const record: DesiredRecord = {
      key,
      instance,
      ...(instance === 'auto' && suffix !== '' ? { instanceSuffix: suffix } : {}),
      fields,
    };
    placed.push({ record, host: leaf.join('.'), isInternal });
  });
  return placed;
}

/** PTR at the exact reverse name: CoreDNS finds none below it. Each address points to the first of its names. */
function ptrRecords(placed: readonly PlacedRecord[], prefix: string): DesiredRecord[] {
  const byKey = new Map<string, DesiredRecord>();
  for (const { record, host, isInternal } of placed) {
    const key = isInternal ? keyOfName(reverseName(record.fields.host), prefix) : undefined;
    if (key === undefined || byKey.has(key)) continue;
    byKey.set(key, { key, instance: 'named', fields: { host, ttl: record.fields.ttl } });
  }
  return [...byKey.values()];
}

/** Those that can stand beside each other, in their order. Values belong at leaves: what has another below it is refused. */
function settle(placed: readonly PlacedRecord[], refusals: Refusals): PlacedRecord[] {
  const byLeaf = new Map<string, PlacedRecord>();
  for (const one of placed) {
    const leaf = leafKey(one.record);
    if (byLeaf.has(leaf)) refusals.add(one.host, 'is the name of two of its ports');
    else byLeaf.set(leaf, one);
  }
  const leaves = [...byLeaf.keys()];
  return [...byLeaf]
    .filter(([leaf, { host }]) => {
      const isAbove = leaves.some((other) => other.startsWith(`${leaf}/`));
      if (isAbove) refusals.add(host, 'has another of its names below it');
      return !isAbove;
    })
    .map(([, one]) => one);
}

/** The key that a record will have, with a stand-in for the number that is not claimed yet. */
function leafKey({ key, instance, instanceSuffix = '' }: DesiredRecord): string {
  return instance === 'auto' ? `${key}/*${instanceSuffix}` : key;
}
