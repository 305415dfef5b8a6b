/** The answer table that the fast path reads. */
import { counter, type Family, gauge } from '../metrics.ts';

export interface TableFigures {
  /** Names with a place in the table. */
  readonly names: number;
  /** Finished answers. */
  readonly answers: number;
  readonly octetsUsed: number;
  readonly octetsCapacity: number;
  /** Answers that found no room. */
  readonly refused: number;
}

export function tableFamilies(table: TableFigures): Family[] {
  return [
    gauge('soradns_table_names', 'Names with a place in the answer table.', table.names),
    gauge('soradns_table_answers', 'Finished answers in it.', table.answers),
    gauge('soradns_table_used_bytes', 'Memory that they take.', table.octetsUsed),
    gauge('soradns_table_capacity_bytes', 'Memory that there is.', table.octetsCapacity),
    counter('soradns_table_refused_total', 'Answers that found no room in it.', table.refused),
  ];
}
