/** Descriptions in a form that a table can hold: records as `key -> JSON`, refusals as `about: reason`. */

import type { RegistrarContext } from '../../src/docker/context.ts';
import { describe } from '../../src/docker/describe.ts';
import type { Description, RecordFields } from '../../src/docker/description.ts';
import type { Inspection } from '../../src/docker/engine.ts';

export interface Told {
  /** By key without `/skydns/`; auto keys end in `/*`. */
  readonly records: Readonly<Record<string, RecordFields>>;
  readonly refusals: readonly string[];
  /** Of one that is ignored or waits. */
  readonly reason: string | undefined;
  readonly description: Description;
}

export function told(inspection: Inspection, context: RegistrarContext, parent?: Inspection): Told {
  const description = describe(inspection, context, parent);
  if (description.kind !== 'described')
    return { records: {}, refusals: [], reason: description.reason, description };
  const records = description.records.map((record) => {
    const leaf = record.instance === 'auto' ? `/*${record.instanceSuffix ?? ''}` : '';
    return [record.key.replace(context.prefix, '') + leaf, record.fields] as const;
  });
  return {
    records: Object.fromEntries(records),
    refusals: description.refusals.map(({ about, reason }) => `${about}: ${reason}`),
    reason: description.waiting,
    description,
  };
}
