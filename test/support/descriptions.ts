/** Descriptions in a form that a table can hold: records as `key -> JSON`, refusals as sentences. */
import type { RegistrarContext } from '../../src/registrar/describe/context.ts';
import type { Description, RecordFields } from '../../src/registrar/describe/description.ts';
import { storedKey } from '../../src/registrar/describe/storedValue.ts';
import { describeContainer } from '../../src/registrar/describeContainer.ts';
import type { Inspection } from '../../src/registrar/engine/engine.ts';

export interface DescriptionSummary {
  /** By stored key without `/skydns/`; the number of an auto name is `*`, or `3?` if 3 is preferred. */
  readonly records: Readonly<Record<string, RecordFields>>;
  /** As sentences. */
  readonly refusals: readonly string[];
  readonly hints: readonly string[];
  /** Why the container is ignored or waits. */
  readonly reason: string | undefined;
  readonly description: Description;
}

export function summaryOf(
  inspection: Inspection,
  context: RegistrarContext,
  parent?: Inspection,
): DescriptionSummary {
  const description = describeContainer(inspection, context, parent);
  const { hints = [] } = description;
  if (description.kind !== 'described')
    return { records: {}, refusals: [], hints, reason: description.reason, description };
  const records = description.records.map((record) => {
    const { preferredNumber } = record;
    const number = preferredNumber === undefined ? '*' : `${preferredNumber}?`;
    const name = record.instance === 'auto' ? `${record.key}/${number}` : record.key;
    const key = storedKey(name, record.family).replace(context.prefix, '');
    return [key, record.fields] as const;
  });
  return {
    records: Object.fromEntries(records),
    refusals: description.refusals.map(({ about, reason }) => `${about} ${reason}`),
    hints,
    reason: description.waiting,
    description,
  };
}
