/**
 * Containers of three hosts and an operator claim names above and below each other, while registrars are cut off and
 * restarted and their writes are slow. The first holder of a name keeps it, the other claims wait, and in the end no
 * registrar writes.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nameKeyOf, ownerOf } from '../../../src/registrar/describe/storedValue.ts';
import { pathOf } from '../../../src/registrar/reconcile/namespace.ts';
import type { Change, Entry } from '../../../src/service/change.ts';
import type { FakeContainer, FakeContainerSetup } from '../../support/fakeContainer.ts';
import { FakeEngine } from '../../support/fakeEngine.ts';
import {
  type RegistrarFixture,
  type Running,
  withRegistrarFixture,
} from '../../support/registrarFixture.ts';

const SITES = 3;
const ZONE = '/skydns/local/skydns/';
const named = (name: string, more: FakeContainerSetup = {}): FakeContainerSetup => ({
  env: { DNS_NAME: `${name}.skydns.local` },
  exposed: ['80/tcp'],
  ...more,
});
const numbered = (name: string, more: FakeContainerSetup = {}): FakeContainerSetup => ({
  env: { DNS_NAME: `${name}.skydns.local`, DNS_INSTANCE: 'auto' },
  exposed: ['80/tcp'],
  ...more,
});
/** Each setup with the path of its name. The path of a numbered instance has `#` below the base. */
const SETUPS: readonly (readonly [FakeContainerSetup, string])[] = [
  [named('a'), 'a'],
  [named('x.a'), 'a/x'],
  [named('y.x.a'), 'a/x/y'],
  [named('z.a', { ip6: 'fd00::7' }), 'a/z'],
  [named('a', { ip6: 'fd00::8' }), 'a'],
  [numbered('a'), 'a/#'],
  [numbered('x.a', { ip6: 'fd00::9' }), 'a/x/#'],
  [named('q.1.a'), 'a/1/q'],
  [named('b'), 'b'],
];
/** Keys that are written by hand. Some have capitals, or two labels in one component. */
const KEYS = ['a', 'a/x', 'a/x/y/deep', 'a/1', 'a/2/w', 'A/X', 'a/y.x', 'b/c', 'a/z/ipv4'];
const SLOW_MS = 3_000;

const site = fc.nat({ max: SITES - 1 });
const action = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('toggle' as const),
      site,
      which: fc.nat({ max: SETUPS.length - 1 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      at: fc.nat({ max: KEYS.length - 1 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 1, 60, 700, 6_000),
    }),
  },
  ...(['slowWrites', 'quickWrites', 'cutWatches', 'restart', 'kill'] as const).map((kind) => ({
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant(kind), site }),
  })),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

class Site {
  readonly engine: FakeEngine;
  readonly containers = new Map<number, FakeContainer>();
  running: Running;
  readonly #fixture: RegistrarFixture;

  constructor(fixture: RegistrarFixture, number: number) {
    this.#fixture = fixture;
    this.engine = new FakeEngine(fixture.clock, number * 4_096 + 2);
    const { engineInfo } = this.engine;
    this.engine.engineInfo = { ...engineInfo, id: `ENGINE:${number}`, name: `host-${number}` };
    this.running = fixture.start({ engine: this.engine });
  }

  toggle(which: number): void {
    const container = this.containers.get(which);
    if (container !== undefined) {
      this.engine.remove(container);
      this.containers.delete(which);
      return;
    }
    this.containers.set(which, this.engine.run(SETUPS[which]?.[0] ?? {}));
  }

  async restart(how: 'restart' | 'kill'): Promise<void> {
    if (how === 'kill') this.#fixture.kill(this.running);
    else await this.#fixture.end(this.running);
    this.running = this.#fixture.start({ engine: this.engine });
  }

  runs(containerId: string): boolean {
    return [...this.containers.values()].some(({ id }) => id.startsWith(containerId));
  }
}

/** Follows the store's changes. Collects the records that a first holder lost while it was running. */
class Ledger {
  readonly entries = new Map<string, Entry>();
  readonly losses: string[] = [];
  /** Keys of records that were written while no other holder was around them. */
  readonly #firsts = new Set<string>();
  readonly #runs: (containerId: string) => boolean;

  constructor(runs: (containerId: string) => boolean) {
    this.#runs = runs;
  }

  async follow(fixture: RegistrarFixture, signal: AbortSignal): Promise<void> {
    for await (const { changes } of fixture.store.watch('/skydns/', 1, signal))
      for (const change of changes) this.#note(change);
  }

  /** Records of other holders at, above or below the entry's name. */
  rivals(entry: Entry): Entry[] {
    const path = nameOf(entry);
    const holder = holderOf(entry);
    return [...this.entries.values()].filter((other) => {
      const at = nameOf(other);
      const isAround = at === path || at.startsWith(`${path}/`) || path.startsWith(`${at}/`);
      return isAround && holderOf(other) !== holder && other.key !== entry.key;
    });
  }

  #note(change: Change): void {
    if (change.kind === 'put') {
      const { entry } = change;
      if (!this.entries.has(entry.key) && this.rivals(entry).length === 0)
        this.#firsts.add(entry.key);
      this.entries.set(entry.key, entry);
      return;
    }
    const before = this.entries.get(change.key);
    const containerId = before && ownerOf(before.value)?.shortId;
    this.entries.delete(change.key);
    const wasFirst = this.#firsts.delete(change.key);
    if (!wasFirst || containerId === undefined || !this.#runs(containerId)) return;
    // A write that counted as failed may take effect late. The container then has two numbers, and may lose one.
    const isLeft = [...this.entries.values()].some((one) => holderOf(one) === containerId);
    if (!isLeft) this.losses.push(`${change.key} of ${containerId} was removed`);
  }
}

/** A name with both families has a record below it for each. */
function nameOf({ key }: Entry): string {
  return nameKeyOf(pathOf(key));
}

/** The container that owns the record, or the key of a record that was written by hand. */
function holderOf({ key, value }: Entry): string {
  return ownerOf(value)?.shortId ?? key;
}

async function act(
  action: Action,
  sites: readonly Site[],
  fixture: RegistrarFixture,
): Promise<void> {
  if (action.kind === 'wait') return fixture.advance(action.ms);
  if (action.kind === 'write') return writeByHand(`${ZONE}${KEYS[action.at]}`, fixture);
  const site = sites[action.site];
  if (site === undefined) return;
  switch (action.kind) {
    case 'toggle':
      return site.toggle(action.which);
    case 'restart':
    case 'kill':
      return site.restart(action.kind);
    case 'cutWatches':
      site.running.link.cutWatches();
      return;
    case 'quickWrites':
      site.running.link.delay = undefined;
      return;
    case 'slowWrites':
      site.running.link.delay = (operation) =>
        operation === 'put'
          ? new Promise((resolve) => fixture.clock.startTimer(SLOW_MS, resolve))
          : undefined;
      return;
  }
}

async function writeByHand(key: string, { store }: RegistrarFixture): Promise<void> {
  const { entry } = await store.get(key);
  if (entry === undefined) await store.put(key, Buffer.from('{"host":"192.0.2.99"}'));
  else if (ownerOf(entry.value) === undefined) await store.delete(key);
}

function assertFirstHoldersServed(ledger: Ledger, sites: readonly Site[]): void {
  assert.deepEqual(ledger.losses, []);
  for (const entry of ledger.entries.values()) {
    if (ownerOf(entry.value) === undefined) continue;
    for (const rival of ledger.rivals(entry)) {
      const isByHand = ownerOf(rival.value) === undefined;
      const isLater = rival.createRevision > entry.createRevision;
      assert.ok(isByHand && isLater, `${entry.key} and ${rival.key} both have a holder`);
    }
  }
  for (const [which, container] of sites.flatMap(({ containers }) => [...containers]))
    assertServedOrTaken(SETUPS[which]?.[1] ?? '', container, ledger);
}

function assertServedOrTaken(name: string, { id }: FakeContainer, ledger: Ledger): void {
  const entries = [...ledger.entries.values()];
  if (entries.some(({ value }) => id.startsWith(ownerOf(value)?.shortId ?? '-'))) return;
  // There is always another number, so only records at the base or above it can take the name.
  const path = `${ZONE}${name.replace(/\/#$/, '')}`;
  const isBelowCounted = !name.endsWith('/#');
  const isTaken = entries.some((entry) => {
    const at = nameOf(entry);
    return (
      at === path || path.startsWith(`${at}/`) || (isBelowCounted && at.startsWith(`${path}/`))
    );
  });
  assert.ok(isTaken, `${name} has no holder, and the container that claims it has no record`);
}

describe('names above and below each other', () => {
  it(
    'Conflicting names end with their first holders after any race, and then nothing is written',
    {
      timeout: 240_000,
    },
    () =>
      fc.assert(
        fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40 }), (actions) =>
          withRegistrarFixture(async (fixture) => {
            const sites = Array.from({ length: SITES }, (_, n) => new Site(fixture, n + 1));
            const abort = new AbortController();
            const ledger = new Ledger((id) => sites.some((site) => site.runs(id)));
            const following = ledger.follow(fixture, abort.signal);
            try {
              await fixture.advance(1_000);
              for (const action of actions) await act(action, sites, fixture);
              for (const { running } of sites) running.link.delay = undefined;
              await fixture.advance(90_000);
              assertFirstHoldersServed(ledger, sites);
              await fixture.assertQuiet(120_000);
            } finally {
              abort.abort();
              await following;
            }
          }),
        ),
        {
          numRuns: 100,
          endOnFailure: false,
          includeErrorInReport: true,
        },
      ),
  );

  it('The registrar reads the records below a wanted name again when it kept only some of them and those are deleted', () =>
    withRegistrarFixture(async (fixture) => {
      const keys = Array.from({ length: 40 }, (_, n) => `${ZONE}a/${n}`);
      for (const key of keys) await fixture.store.put(key, Buffer.from('{"host":"192.0.2.99"}'));
      const { registrar } = fixture.start();
      fixture.engine.run(named('a'));
      await fixture.advance(1_000);
      const why = () => registrar.status().containers[0]?.records[0]?.reason;
      const last = keys.pop() ?? '';
      for (const key of keys) await fixture.store.delete(key);
      await fixture.advance(1_000);
      assert.match(why() ?? '', /^would be hidden by 39\.a\.skydns\.local, which was set by hand/);
      await fixture.store.delete(last);
      await fixture.advance(1_000);
      assert.deepEqual(await fixture.keys(), ['local/skydns/a']);
    }));

  it('A name that two hosts claim at the same moment stays with the first write', () =>
    withRegistrarFixture(async (fixture) => {
      const [first, second] = [new Site(fixture, 1), new Site(fixture, 2)];
      await fixture.advance(1_000);
      let go = (): void => {};
      const both = new Promise<void>((resolve) => {
        go = resolve;
      });
      for (const { running } of [first, second])
        running.link.delay = (operation) => (operation === 'put' ? both : undefined);
      first.toggle(0);
      second.toggle(1);
      await fixture.settle();
      for (const { running } of [first, second]) running.link.delay = undefined;
      go();
      await fixture.advance(1_000);
      const [held, ...more] = await fixture.keys();
      assert.deepEqual(more, []);
      (held === 'local/skydns/a' ? first : second).toggle(held === 'local/skydns/a' ? 0 : 1);
      await fixture.advance(1_000);
      const other = held === 'local/skydns/a' ? 'local/skydns/a/x' : 'local/skydns/a';
      assert.deepEqual(await fixture.keys(), [other]);
    }));
});
