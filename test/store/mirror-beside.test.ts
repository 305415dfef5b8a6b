/** Mirrors that share a watch: what the store is asked for, and that none of them misses a change or stops for another. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Change } from '../../src/service/change.ts';
import { Mirror } from '../../src/store/mirror.ts';
import { type SnapshotOptions, StoreError } from '../../src/store/store.ts';
import { hasty } from '../support/etcdScene.ts';
import { FaultyStore } from '../support/faultyStore.ts';
import { CheckedReplica, contentOf } from '../support/replica.ts';
import { until } from '../support/until.ts';

const PREFIX = '/skydns/';
const lost = (): StoreError => new StoreError('unavailable', 'told to');

/** A store that counts the readers of its mirrors, and stops after a page of a mirror's listing while `gate` is set. */
class CountingStore extends FaultyStore {
  listings = 0;
  watches = 0;
  /** Watches that have not ended. */
  openWatches = 0;
  gate: Promise<void> | undefined;
  /** Before a batch of a watch. */
  watchGate: Promise<void> | undefined;

  override async *snapshot(
    prefix: string,
    options?: SnapshotOptions,
  ): ReturnType<FaultyStore['snapshot']> {
    const isMirror = options?.bulk === true;
    if (isMirror) this.listings++;
    for await (const page of super.snapshot(prefix)) {
      yield page;
      if (isMirror) await this.gate;
    }
  }

  override async *watch(
    ...args: Parameters<FaultyStore['watch']>
  ): ReturnType<FaultyStore['watch']> {
    this.watches++;
    this.openWatches++;
    try {
      for await (const batch of super.watch(...args)) {
        await this.watchGate;
        yield batch;
      }
    } finally {
      this.openWatches--;
    }
  }

  async write(key: string, value = 'x'): Promise<number> {
    const result = await this.put(PREFIX + key, Buffer.from(value));
    assert.ok(result.done);
    return result.entry.modRevision;
  }

  /** Returns the function that opens the gate. */
  shut(gate: 'gate' | 'watchGate' = 'gate'): () => void {
    let open = (): void => undefined;
    this[gate] = new Promise((resolve) => {
      open = resolve;
    });
    return () => {
      this[gate] = undefined;
      open();
    };
  }
}

/** A replica that throws in its next `apply` when told to. */
class FragileReplica extends CheckedReplica {
  mustThrow = false;

  override apply(changes: readonly Change[]): void {
    if (this.mustThrow) {
      this.mustThrow = false;
      throw new Error('a bug');
    }
    super.apply(changes);
  }
}

interface Following {
  readonly mirror: Mirror;
  readonly replica: FragileReplica;
}

interface Scene {
  readonly store: CountingStore;
  readonly first: Following;
  /** Starts a mirror beside the first one. */
  join(): Following;
  /** Waits until a mirror is synced and equals the store, with a new write. */
  assertEqual(following: Following): Promise<void>;
}

async function onScene(
  play: (scene: Scene) => Promise<void>,
  store = new CountingStore(),
): Promise<void> {
  for (let i = 0; i < 25; i++) await store.write(`k${i}`);
  const all: Following[] = [];
  let writes = 0;
  const start = (open: (replica: FragileReplica) => Mirror): Following => {
    const replica = new FragileReplica();
    const following = { mirror: open(replica), replica };
    all.push(following);
    following.mirror.start();
    return following;
  };
  const first = start((replica) => new Mirror({ store, prefix: PREFIX, replica, clock: hasty }));
  const join = () => start((replica) => first.mirror.beside({ replica }));
  const assertEqual = async ({ mirror, replica }: Following): Promise<void> => {
    await store.write('end', `${writes++}`);
    const content = await contentOf(store, PREFIX);
    const isEqual = (): boolean => replica.content().join() === content.join();
    await until('it equals the store', () => isEqual() && mirror.state().kind === 'synced');
  };
  try {
    if (store.gate === undefined)
      await until('the first is loaded', () => first.mirror.state().kind === 'synced');
    await play({ store, first, join, assertEqual });
  } finally {
    for (const { mirror } of all) mirror.close();
    await store.close();
  }
}

describe('mirrors that share a watch', () => {
  it('A store has one watch for several mirrors, and one listing for each that joins', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      const others = [join(), join()];
      for (const each of [first, ...others]) await assertEqual(each);
      assert.deepEqual([store.watches, store.listings], [1, 3]);
      for (const { replica } of others) assert.deepEqual(replica.sizes.slice(0, 3), [10, 20, 25]);
    }));

  it('A store that has forgotten the revision is listed once for all mirrors', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      const all = [first, join()];
      for (const each of all) await assertEqual(each);
      const before = store.listings;
      store.watchFaults.push(new StoreError('compacted', 'told to'));
      store.cut(lost());
      await store.delete(`${PREFIX}k3`);
      for (const each of all) await assertEqual(each);
      assert.deepEqual(
        all.map(({ mirror }) => mirror.counters().resyncs),
        [1, 1],
      );
      assert.equal(store.listings, before + 1);
    }));

  it('A mirror that joins gets the changes that happen while its listing is read', () =>
    onScene(async ({ store, first, join }) => {
      const open = store.shut();
      const late = join();
      await until('it has a page', () => late.replica.entries.size === 10);
      await store.write('k1', 'new');
      await store.write('k24', 'new');
      await store.delete(`${PREFIX}k2`);
      const revision = await store.write('fresh');
      await first.mirror.waitFor(revision);
      assert.equal(late.mirror.state().kind, 'loading');
      open();
      await late.mirror.waitFor(revision);
      assert.deepEqual(late.replica.content(), await contentOf(store, PREFIX));
      assert.deepEqual(late.replica.gaps, []);
      assert.equal(store.watches, 1);
    }));

  it('A mirror that is ahead of the watch does not return to an older state', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      store.watchFaults.push(...Array.from({ length: 8 }, lost));
      store.cut(lost());
      await until('the watch is lost', () => first.mirror.state().kind === 'stale');
      for (const value of ['1', '2', '3']) await store.write('k1', value);
      const late = join();
      await until('it is loaded', () => late.mirror.state().kind !== 'loading');
      for (const each of [first, late]) await assertEqual(each);
      assert.deepEqual(late.replica.gaps, []);
    }));

  it('A mirror that joins during the first load is listed after it', () => {
    const store = new CountingStore();
    const open = store.shut();
    return onScene(async ({ first, join, assertEqual }) => {
      await until('the first has a page', () => first.replica.entries.size === 10);
      const late = join();
      open();
      for (const each of [first, late]) await assertEqual(each);
      assert.deepEqual([store.watches, store.listings], [1, 2]);
    }, store);
  });

  it('A change that the watch brings late does not undo a newer one of the snapshot', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      await assertEqual(first);
      const openWatch = store.shut('watchGate');
      const older = await store.write('k1', 'older');
      await store.write('k1', 'newer');
      const open = store.shut();
      const late = join();
      await until('it has a page', () => late.replica.entries.size === 10);
      // The watch brings only the older change.
      openWatch();
      const openAgain = store.shut('watchGate');
      await first.mirror.waitFor(older);
      open();
      await until('it is loaded', () => late.mirror.state().kind === 'synced');
      assert.deepEqual(late.replica.content(), await contentOf(store, PREFIX));
      openAgain();
      for (const each of [first, late]) await assertEqual(each);
    }));

  it('A mirror that joins takes no snapshot of another store than the one that is watched', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      await assertEqual(first);
      store.replace();
      const late = join();
      await until('it has failed', () => late.mirror.counters().failures > 1);
      assert.equal(late.mirror.state().kind, 'loading');
      assert.equal(first.mirror.counters().failures, 0);
      store.cut(lost());
      for (const each of [first, late]) await assertEqual(each);
    }));

  it('A mirror that is being listed does not fail with the watch of the others', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      await assertEqual(first);
      const open = store.shut();
      const late = join();
      await until('it has a page', () => late.replica.entries.size === 10);
      store.cut(lost());
      await until('the watch is lost', () => first.mirror.counters().failures === 1);
      open();
      for (const each of [first, late]) await assertEqual(each);
      assert.equal(late.mirror.counters().failures, 0);
    }));

  it('A mirror that joins while another store replaces the first is listed with the others', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      const open = store.shut();
      const late = join();
      await until('it has a page', () => late.replica.entries.size === 10);
      store.replace();
      await store.write('other');
      store.cut(lost());
      await until('the first has noticed', () => first.mirror.state().kind === 'stale');
      open();
      for (const each of [first, late]) await assertEqual(each);
      assert.equal(late.replica.entries.size, 2);
    }));

  for (const which of ['first', 'second'] as const)
    it(`The other mirror continues when the ${which} is closed, and the watch ends with the last`, () =>
      onScene(async ({ store, first, join, assertEqual }) => {
        const second = join();
        await assertEqual(second);
        const [closed, open] = which === 'first' ? [first, second] : [second, first];
        closed.mirror.close();
        const before = closed.replica.content();
        await assertEqual(open);
        assert.equal(store.openWatches, 1);
        store.cut(lost());
        await assertEqual(open);
        assert.deepEqual(closed.replica.content(), before);
        open.mirror.close();
        await until('no watch is open', () => store.openWatches === 0);
      }));

  for (const which of ['first', 'second'] as const)
    it(`Only the ${which} mirror is listed again when its replica threw`, () =>
      onScene(async ({ store, first, join, assertEqual }) => {
        const second = join();
        await assertEqual(second);
        const [thrown, other] = which === 'first' ? [first, second] : [second, first];
        thrown.replica.mustThrow = true;
        await other.mirror.waitFor(await store.write('k5', 'new'));
        for (const each of [thrown, other]) await assertEqual(each);
        const counters = [thrown, other].map(({ mirror }) => mirror.counters());
        assert.deepEqual(
          counters.map(({ resyncs, failures }) => [resyncs, failures]),
          [
            [1, 1],
            [0, 0],
          ],
        );
        assert.equal(store.watches, 1);
      }));

  it('A mirror whose own listing fails tries again, and the first one does not notice', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      store.snapshotFaults.push({ afterPages: 0, error: lost() }, { afterPages: 2, error: lost() });
      const late = join();
      await until('it is loaded', () => late.mirror.state().kind === 'synced');
      for (const each of [first, late]) await assertEqual(each);
      assert.equal(late.mirror.counters().failures, 2);
      assert.equal(first.mirror.counters().failures, 0);
    }));

  it('A mirror that is closed while it is listed changes nothing more', () =>
    onScene(async ({ store, first, join, assertEqual }) => {
      const open = store.shut();
      const late = join();
      await until('it has a page', () => late.replica.entries.size === 10);
      late.mirror.close();
      open();
      await assertEqual(first);
      assert.equal(late.replica.entries.size, 10);
    }));

  it('All mirrors equal the store after random writes, faults, joins and closes', async () => {
    const action = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), n: fc.nat(40) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), n: fc.nat(40) }) },
      fc.record({
        kind: fc.constantFrom(
          'cut',
          'compact',
          'replace',
          'unlisted',
          'join',
          'close',
          'throw',
          'wait',
        ),
        n: fc.nat(3),
      }),
    );
    const property = fc.asyncProperty(fc.array(action, { maxLength: 60 }), (actions) =>
      onScene(async ({ store, first, join, assertEqual }) => {
        const open = [first];
        const some = (n: number): Following => open[n % open.length] as Following;
        for (const { kind, n } of actions) {
          if (kind === 'put') await store.write(`k${n}`, `${n}`);
          else if (kind === 'delete') await store.delete(`${PREFIX}k${n}`);
          else if (kind === 'cut') store.cut(lost());
          else if (kind === 'compact') store.cut(new StoreError('compacted', 'told to'));
          else if (kind === 'unlisted') store.snapshotFaults.push({ afterPages: n, error: lost() });
          else if (kind === 'join') open.push(join());
          else if (kind === 'throw') some(n).replica.mustThrow = true;
          else if (kind === 'wait') await sleep(n);
          else if (kind === 'close' && open.length > 1) {
            const [closed] = open.splice(n % open.length, 1);
            closed?.mirror.close();
          } else if (kind === 'replace') {
            store.replace();
            store.cut(lost());
          }
        }
        store.snapshotFaults.length = 0;
        for (const each of open) await assertEqual(each);
      }),
    );
    await fc.assert(property, { numRuns: 150 });
  });
});
