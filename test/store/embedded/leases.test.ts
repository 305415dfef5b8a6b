import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  EmbeddedLeases,
  leaseKey,
  leaseRow,
  parseLeaseId,
} from '../../../src/store/embedded/leases.ts';
import type { KeyedRow, RowPage, Table } from '../../../src/store/embedded/table.ts';
import { Timeline } from '../../../src/store/embedded/timeline.ts';
import { FakeClock } from '../../support/fakeClock.ts';

const life = (deadlineMs: number) => ({ ttlSeconds: 9, deadlineMs });

describe('leases in a transaction', () => {
  it('A transaction that is rolled back leaves the leases unchanged', () => {
    const leases = open([7, 8]);
    const seven = leases.all.get(7);
    leases.set(7, life(2000));
    leases.set(7, life(3000));
    leases.set(9, life(2000));
    leases.end(8);
    assert.equal(seven?.deadlineMs, 3000, 'readers see a renewal at once');
    leases.rollBack();
    assert.deepEqual([...leases.all.keys()], [7, 8]);
    assert.equal(seven?.deadlineMs, 1000);
    leases.commit();
    assert.deepEqual([...leases.all.keys()], [7, 8]);
  });

  it('A transaction that commits changes the leases', () => {
    const leases = open([7, 8]);
    leases.set(7, life(2000));
    leases.set(9, life(2000));
    leases.end(8);
    assert.ok(leases.all.has(8), 'older rows still name it');
    leases.commit();
    assert.deepEqual([...leases.all.keys()], [7, 9]);
    leases.rollBack();
    assert.equal(leases.all.get(7)?.deadlineMs, 2000);
  });
});

it('The lease table loads thousands of leases', () => {
  const ids = Array.from({ length: 2500 }, (_, i) => 10_000 + i);
  assert.deepEqual([...open(ids).all.keys()], ids);
});

it('A text that cannot be a lease id names no lease', () => {
  assert.equal(parseLeaseId('281474976710655'), 281_474_976_710_655);
  for (const text of [
    '',
    '0',
    '01',
    '-1',
    '1.5',
    '1e3',
    ' 1',
    '1\n',
    '0x1',
    '9'.repeat(16),
    '1/',
  ]) {
    assert.equal(parseLeaseId(text), undefined, JSON.stringify(text));
  }
});

/** Leases over a table with these ids, all with a deadline at 1000. */
function open(ids: readonly number[]): EmbeddedLeases {
  const rows: KeyedRow[] = ids.map((id) => ({ key: leaseKey(id), row: leaseRow(life(1000)) }));
  const page = (prefix: string, after: string | undefined): RowPage => ({
    rows: rows.filter(({ key }) => key.startsWith(prefix) && key > (after ?? '')),
    isLast: true,
  });
  const table: Pick<Table, 'view'> = {
    view: () => ({ revision: 1, get: () => undefined, page, release: () => undefined }),
  };
  return new EmbeddedLeases(table, new Timeline(new FakeClock(), 0));
}
