/** The answer table that the fast path reads. */
import type { TableFigures } from '../dataplane/table/table.ts';
import { counter, type Family, gauge } from '../metrics.ts';

export function tableFamilies(table: TableFigures): Family[] {
  return [
    gauge('soradns_table_names', 'Names with a place in the answer table.', table.names),
    gauge('soradns_table_answers', 'Finished answers in it.', table.answers),
    gauge('soradns_table_used_bytes', 'Memory that they take.', table.usedOctets),
    gauge('soradns_table_capacity_bytes', 'Memory that there is.', table.capacityOctets),
    counter('soradns_table_refused_total', 'Answers that found no room in it.', table.refused),
  ];
}
