/** The sizes of a snapshot's pages, by the time that etcd took for the pages before. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BULK, ON_DEMAND, PagePace } from '../../src/store/etcd/pagePace.ts';

/** The octets and the reading ahead after each of these answers. */
function paceAfter(paging: typeof BULK, answersMs: readonly number[]): [number, boolean][] {
  const pace = new PagePace(paging);
  return answersMs.map((tookMs) => {
    pace.noteAnswer(tookMs);
    return [pace.bytes, pace.ahead];
  });
}

const MIB = 1 << 20;

describe('the pace of pages', () => {
  it('A bulk reader of a quick etcd gets large pages at once and reads ahead', () => {
    assert.deepEqual(paceAfter(BULK, [20, 700, 900]), [
      [8 * MIB, true],
      [8 * MIB, true],
      [8 * MIB, true],
    ]);
  });

  it('A bulk reader of a busy etcd begins with smaller pages, and doubles them while etcd is quick', () => {
    assert.deepEqual(paceAfter(BULK, [2_000, 1_500, 500, 500, 500, 500]), [
      [MIB, false],
      [MIB, false],
      [2 * MIB, true],
      [4 * MIB, true],
      [8 * MIB, true],
      [8 * MIB, true],
    ]);
  });

  it('A bulk reader whose etcd becomes slow takes smaller pages down to a mebibyte', () => {
    assert.deepEqual(paceAfter(BULK, [20, 4_000, 4_000, 4_000]), [
      [8 * MIB, true],
      [2 * MIB, false],
      [MIB, false],
      [MIB, false],
    ]);
  });

  it('A bulk reader pauses for longer before each page of a busy etcd, and not at all when etcd is quick again', () => {
    const pace = new PagePace(BULK, () => 0.5);
    const pauses = [20, 2_000, 2_000, 4_000, 4_000, 4_000, 4_000, 100, 100, 100, 100, 100].map(
      (tookMs) => {
        pace.noteAnswer(tookMs);
        return pace.pauseMs();
      },
    );
    assert.deepEqual(pauses, [0, 125, 250, 500, 1_000, 2_000, 2_500, 1_250, 625, 312.5, 156.25, 0]);
  });

  it('No times make a page larger or smaller than its limits, or an on-demand reader read ahead', () => {
    const times = fc.array(fc.nat(20_000), { maxLength: 30 });
    fc.assert(
      fc.property(times, fc.constantFrom(BULK, ON_DEMAND), (answersMs, paging) => {
        for (const [bytes, ahead] of paceAfter(paging, answersMs)) {
          assert.ok(bytes >= paging.leastBytes && bytes <= paging.pageBytes);
          assert.ok(paging.ahead || !ahead);
        }
      }),
    );
  });
});
