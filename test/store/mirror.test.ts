/** The mirror on a memory store that fails on request: alone, and beside another mirror that shares its watch. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Change } from '../../src/service/change.ts';
import { Mirror, type MirrorEvent, type MirrorOptions } from '../../src/store/mirror.ts';
import { type Store, StoreError } from '../../src/store/store.ts';
import { type Clock, systemClock } from '../../src/timing/clock.ts';
import { FaultyStore } from '../support/faultyStore.ts';
import { CheckedReplica, contentOf } from '../support/replica.ts';
import { until } from '../support/until.ts';

const PREFIX = '/skydns/';
const lost = (): StoreError => new StoreError('unavailable', 'told to');

interface Scene {
  readonly store: FaultyStore;
  readonly replica: CheckedReplica;
  readonly events: MirrorEvent[];
  readonly mirror: Mirror;
  /** Returns the revision. */
  put(key: string, value?: string): Promise<number>;
}

const hasty: Clock = {
  ...systemClock,
  startTimer: (delayMs, callback) => systemClock.startTimer(delayMs / 50, callback),
};

type Play = (
  prepare: (store: FaultyStore) => Promise<void> | void,
  play: (scene: Scene) => Promise<void>,
  options?: Partial<MirrorOptions>,
) => Promise<void>;

const alone: Play = async (prepare, play, options) => {
  const store = new FaultyStore();
  await prepare(store);
  await playWith(store, (common) => new Mirror({ ...common, ...options }), play);
};

/** The mirror joins another one that is loaded. At the end that one has to be equal to the store too. */
const besideAnother: Play = async (prepare, play, options = {}) => {
  const store = new FaultyStore();
  const replica = new CheckedReplica();
  const { clock = hasty, random } = options;
  const drawn = random === undefined ? {} : { random };
  const other = new Mirror({ store, prefix: PREFIX, replica, clock, ...drawn });
  other.start();
  await until('the other one is loaded', () => other.state().kind === 'synced');
  await prepare(store);
  await playWith(
    store,
    (common) => other.beside({ ...common, ...options }),
    async (scene) => {
      await play(scene);
      await until('the other one is synced', () => other.state().kind === 'synced');
      await other.waitFor(await scene.put('the end'));
      assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
      other.close();
    },
  );
};

async function playWith(
  store: FaultyStore,
  open: (common: MirrorOptions) => Mirror,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  const replica = new CheckedReplica();
  const events: MirrorEvent[] = [];
  const onEvent = (event: MirrorEvent): void => void events.push(event);
  const mirror = open({ store, prefix: PREFIX, replica, onEvent, clock: hasty });
  const put = async (key: string, value = 'x'): Promise<number> => {
    const result = await store.put(PREFIX + key, Buffer.from(value));
    assert.ok(result.done);
    return result.entry.modRevision;
  };
  try {
    mirror.start();
    await play({ store, replica, events, mirror, put });
  } finally {
    mirror.close();
    await store.close();
  }
}

const fill = async (store: Store, count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await store.put(`${PREFIX}k${i}`, Buffer.from(`${i}`));
};
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

const kinds = (events: readonly MirrorEvent[]): string[] => events.map((event) => event.kind);

describe('a mirror alone', () => mirrorContract(alone));
describe('a mirror beside another one', () => mirrorContract(besideAnother));

function mirrorContract(onScene: Play): void {
  it('The mirror loads page by page and then follows the watch', () =>
    onScene(
      (store) => fill(store, 25),
      async ({ store, replica, mirror, events, put }) => {
        assert.equal(mirror.state().kind, 'loading');
        await until('it is loaded', () => mirror.state().kind === 'synced');
        assert.deepEqual(replica.sizes, [10, 20, 25]);
        await mirror.waitFor(await put('k7', 'new'));
        await store.delete(`${PREFIX}k8`);
        const revision = await put('end');
        await mirror.waitFor(revision);
        assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
        assert.deepEqual(replica.gaps, []);
        assert.deepEqual(kinds(events), ['loaded']);
        assert.equal(mirror.counters().events, 3);
        const state = mirror.state();
        assert.ok(state.kind === 'synced' && state.revision === revision);
      },
    ));

  it('The mirror counts an empty store as loaded', () =>
    onScene(
      () => undefined,
      async ({ mirror, replica }) => {
        await until('it is loaded', () => mirror.state().kind === 'synced');
        assert.equal(replica.entries.size, 0);
      },
    ));

  it('The mirror continues from the pages of an interrupted load', () =>
    onScene(
      async (store) => {
        await fill(store, 25);
        store.snapshotFaults.push(
          { afterPages: 1, error: lost() },
          { afterPages: 2, error: lost() },
        );
      },
      async ({ store, replica, mirror, events }) => {
        await until('the first failure', () => events.length > 0);
        await store.delete(`${PREFIX}k0`);
        await store.put(`${PREFIX}k1`, Buffer.from('new'));
        await until('it is loaded', () => mirror.state().kind === 'synced');
        const { revision } = await store.get(PREFIX);
        await mirror.waitFor(revision);
        assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
        assert.deepEqual(kinds(events), ['lost', 'lost', 'loaded']);
      },
    ));

  it('The mirror watches again from the revision after its last one', () =>
    onScene(
      (store) => fill(store, 3),
      async ({ store, replica, mirror, put }) => {
        for (let i = 0; i < 20; i++) {
          await mirror.waitFor(await put(`k${i % 5}`, `${i}`));
          store.cut(lost());
          await put(`k${i % 3}`, `${i} unseen`);
        }
        await mirror.waitFor(await put('end'));
        assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
        assert.deepEqual(replica.gaps, []);
        assert.equal(mirror.counters().resyncs, 0);
      },
    ));

  it('The mirror lists a compacted store again and applies it in one step', () =>
    onScene(
      (store) => fill(store, 35),
      async ({ store, replica, mirror, events, put }) => {
        await mirror.waitFor(await put('k0', 'seen'));
        const steps = replica.sizes.length;
        store.watchFaults.push(new StoreError('compacted', 'told to'));
        store.snapshotFaults.push({ afterPages: 2, error: lost() });
        store.cut(lost());
        for (let i = 0; i < 20; i++) await store.delete(`${PREFIX}k${i}`);
        await put('k30', 'new');
        await until('it was listed', () => mirror.counters().resyncs === 1);
        assert.deepEqual(replica.sizes.slice(steps), [15]);
        assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
        const relisted = events.find((event) => event.kind === 'relisted');
        assert.ok(relisted?.kind === 'relisted' && relisted.puts === 1 && relisted.deletes === 20);
      },
      // The pause after the loss is longer than these steps take.
      { clock: systemClock, random: () => 0.99 },
    ));

  it('The mirror is stale with the reason from the loss until a watch is established', () =>
    onScene(
      (store) => fill(store, 3),
      async ({ store, mirror, events, put }) => {
        await mirror.waitFor(await put('a'));
        for (let i = 0; i < 3; i++) store.watchFaults.push(new StoreError('denied', 'no more'));
        const { watch } = store;
        const back = gate();
        store.watch = async function* (...args) {
          if (store.watchFaults.length === 0) await back.opened;
          yield* watch.apply(store, args);
        };
        store.cut(lost());
        await until('it is stale', () => mirror.state().kind === 'stale');
        const state = mirror.state();
        await until('it has failed 4 times', () => mirror.counters().failures === 4);
        const later = mirror.state();
        assert.ok(state.kind === 'stale' && later.kind === 'stale');
        assert.equal(later.sinceMs, state.sinceMs);
        assert.equal(later.reason, 'no more');
        back.open();
        await until('it is back', () => mirror.state().kind === 'synced');
        assert.deepEqual(kinds(events), ['loaded', 'lost', 'lost', 'lost', 'lost', 'resumed']);
      },
      { clock: systemClock, random: () => 0 },
    ));

  it('The mirror is stale until it has the changes that it missed', () =>
    onScene(
      (store) => fill(store, 3),
      async ({ store, mirror, events, put }) => {
        await mirror.waitFor(await put('a'));
        const { watch } = store;
        const established = gate();
        store.watch = async function* (...args) {
          for await (const batch of watch.apply(store, args)) {
            if (batch.changes.length === 0) await established.opened;
            yield batch;
          }
        };
        store.cut(lost());
        const missed = await put('missed');
        await mirror.waitFor(missed);
        const state = mirror.state();
        assert.ok(state.kind === 'stale' && state.revision === missed, state.kind);
        established.open();
        await until('it is back', () => mirror.state().kind === 'synced');
        const resumed = events.find(({ kind }) => kind === 'resumed');
        assert.ok(resumed?.kind === 'resumed' && resumed.revision === missed);
      },
    ));

  it('The mirror stays stale, and its failures add up, while its watches bring nothing', () =>
    onScene(
      (store) => fill(store, 3),
      async ({ store, mirror, events, put }) => {
        await mirror.waitFor(await put('a'));
        const { watch } = store;
        let silences = 0;
        store.watch = async function* (...args) {
          if (silences++ < 3) {
            // For the mirror's clock this is 15 s, the time that an http store waits for a silent peer.
            await sleep(300);
            throw lost();
          }
          yield* watch.apply(store, args);
        };
        store.cut(lost());
        await until('it has failed 4 times', () => mirror.counters().failures === 4);
        await until('it is back', () => mirror.state().kind === 'synced');
        const failures = events.flatMap((each) =>
          each.kind === 'lost' ? [each.failuresInARow] : [],
        );
        assert.deepEqual(failures, [1, 2, 3, 4]);
        assert.deepEqual(kinds(events), ['loaded', 'lost', 'lost', 'lost', 'lost', 'resumed']);
      },
    ));

  it('The mirror doubles the ceiling of its backoff up to 5 s, and pauses for a random part of it', () =>
    onScene(
      (store) => {
        for (let i = 0; i < 10; i++) store.snapshotFaults.push({ afterPages: 0, error: lost() });
      },
      async ({ mirror, events }) => {
        await until('it is loaded', () => mirror.state().kind === 'synced');
        const pauses = events.flatMap((event) => (event.kind === 'lost' ? [event.retryInMs] : []));
        const ceilings = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
        assert.deepEqual(
          pauses,
          ceilings.map((ceilingMs) => ceilingMs * 0.5),
        );
      },
      { random: () => 0.5 },
    ));

  it('The mirror spreads a relist over the time that its last listing took', () =>
    onScene(
      async (store) => {
        await fill(store, 25);
        const { snapshot } = store;
        store.snapshot = async function* (...args) {
          for await (const page of snapshot.apply(store, args)) {
            await sleep(100);
            yield page;
          }
        };
      },
      async ({ store, mirror, events, put }) => {
        await mirror.waitFor(await put('k0', 'seen'));
        store.cut(new StoreError('compacted', 'told to'));
        await until('it was listed', () => mirror.counters().resyncs === 1);
        store.cut(lost());
        await until('it has lost the watch', () => mirror.counters().failures === 2);
        const pauses = events.flatMap((event) => (event.kind === 'lost' ? [event.retryInMs] : []));
        const [beforeRelist = 0, beforeWatch = 0] = pauses;
        // Three pages of 100 ms, a random part of 0.5. Node's timers may be up to 1 ms early.
        assert.ok(beforeRelist >= 148, `${beforeRelist}`);
        assert.ok(beforeWatch <= 50, `${beforeWatch}`);
      },
      { random: () => 0.5 },
    ));

  it('The mirror lists a store again when the store’s revision went back', () =>
    onScene(
      (store) => fill(store, 5),
      async ({ store, replica, mirror, events, put }) => {
        await mirror.waitFor(await put('k0', 'seen'));
        store.replace();
        await fill(store, 4);
        await put('k3', 'other');
        store.cut(lost());
        await until('it was listed', () => mirror.counters().resyncs === 1);
        const relisted = events.find((event) => event.kind === 'relisted');
        assert.ok(relisted?.kind === 'relisted' && relisted.puts === 4 && relisted.deletes === 1);
        assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
        await mirror.waitFor(await put('k9'));
      },
    ));

  it('The mirror lists another store again even if that store’s revision is behind the mirror’s', () =>
    onScene(
      (store) => fill(store, 5),
      async ({ store, replica, mirror, events, put }) => {
        await mirror.waitFor(await put('k0', 'seen'));
        const steps = replica.sizes.length;
        store.replace();
        // k1 and k2 at their earlier revisions with other values, and no k4.
        for (const key of ['k0', 'k1', 'k2', 'k3']) await put(key, 'other');
        for (let i = 0; i < 20; i++) await put('k0', `${i}`);
        store.cut(lost());
        await until('it was listed', () => mirror.counters().resyncs === 1);
        assert.deepEqual(replica.sizes.slice(steps), [4]);
        assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
        const relisted = events.find((event) => event.kind === 'relisted');
        assert.ok(relisted?.kind === 'relisted' && relisted.puts === 4 && relisted.deletes === 1);
        await mirror.waitFor(await put('k9'));
      },
    ));

  it('The mirror lists another store again that has compacted the mirror’s revision', () =>
    onScene(
      (store) => fill(store, 5),
      async ({ store, replica, mirror, put }) => {
        await mirror.waitFor(await put('k0', 'seen'));
        store.replace();
        for (const key of ['k0', 'k1', 'k2', 'k3']) await put(key, 'other');
        store.watchFaults.push(new StoreError('compacted', 'told to'));
        store.cut(lost());
        await until('it was listed', () => mirror.counters().resyncs === 1);
        assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
      },
    ));

  it('The mirror lists the store again after its replica threw', async () => {
    let bugs = 1;
    const replica = new CheckedReplica();
    const apply = (changes: readonly Change[]): void => {
      if (replica.sizes.length > 0 && bugs-- > 0) throw new Error('a bug');
      replica.apply(changes);
    };
    await onScene(
      (store) => fill(store, 3),
      async ({ store, mirror, put }) => {
        await until('it is loaded', () => mirror.state().kind === 'synced');
        await put('k1', 'new');
        await until('it was listed', () => mirror.counters().resyncs === 1);
        assert.deepEqual(replica.content(), await contentOf(store, PREFIX));
      },
      { replica: { apply, revisions: () => replica.revisions() } },
    );
  });

  it('The mirror changes nothing after close', () =>
    onScene(
      (store) => fill(store, 3),
      async ({ replica, mirror, store, put }) => {
        await mirror.waitFor(await put('a'));
        const before = replica.content();
        mirror.close();
        await put('b');
        store.cut(lost());
        await sleep(100);
        assert.deepEqual(replica.content(), before);
      },
    ));
}
