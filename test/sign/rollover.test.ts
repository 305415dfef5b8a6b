/**
 * The dates of a roll-over against a model of resolvers: a validator that wants each algorithm of a
 * DNSKEY accepts at any time what caches have kept of the DS, the DNSKEY and the signatures up to their TTLs.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import type { KeyDates } from '../../src/sign/keyDates.ts';
import { keyStatus } from '../../src/sign/keyStatus.ts';
import { finishRoll, type RollPlan, rollStage, startRoll } from '../../src/sign/rollover.ts';
import type { SigningKey } from '../../src/sign/signingKey.ts';
import { zoneKeysAt } from '../../src/sign/zoneKeys.ts';

const NOW = 1_796_000_000;
const TTL = 3_600;
const LONGEST = 7_200;
const DS_TTL = 86_400;
const times = (nowSeconds: number) => ({ nowSeconds, ttlSeconds: TTL, longestTtlSeconds: LONGEST });

const { privateKey } = generateKeyPairSync('ed25519');
let lastTag = 0;

function newKey(flags: number, algorithm: number, dates: KeyDates): SigningKey {
  const tag = ++lastTag;
  const dnskey = Uint8Array.of(flags >> 8, flags & 255, 3, algorithm, tag);
  return { zone: ['a'], flags, algorithm, tag, dnskey, privateKey, dates, isUndated: false };
}

/** A key that has been in use for long. */
const oldKey = (flags: number, algorithm: number): SigningKey =>
  newKey(flags, algorithm, { Publish: NOW - 10 * DS_TTL, Activate: NOW - 10 * DS_TTL });

function carriedOut(keys: readonly SigningKey[], { made, changed }: RollPlan): SigningKey[] {
  const others = keys.map((key) => {
    const dates = changed.find((change) => change.key === key)?.dates;
    return dates === undefined ? key : { ...key, dates: { ...key.dates, ...dates } };
  });
  return [...others, ...made.map(({ flags, algorithm, dates }) => newKey(flags, algorithm, dates))];
}

/** The parent's DS: from a time on it names these keys, by their tags. */
type ParentHistory = readonly { readonly from: number; readonly tags: readonly number[] }[];

/** Every time at which a cached record could do harm, and what it would not validate. */
function faultsOf(keys: readonly SigningKey[], parent: ParentHistory, until: number): string[] {
  const dates = [
    ...keys.flatMap(({ dates }) => Object.values(dates)),
    ...parent.map((p) => p.from),
  ];
  const around = dates.flatMap((date) =>
    [0, TTL, LONGEST, DS_TTL].flatMap((later) => [
      date + later - 1,
      date + later,
      date + later + 1,
    ]),
  );
  const instants = [...new Set(around)].filter((t) => t > NOW - DS_TTL && t < until);
  const during = (t: number, ttl: number) => [
    ...[t, t - ttl],
    ...dates.flatMap((date) => [date - 1, date]).filter((each) => each > t - ttl && each < t),
  ];
  const faults = new Set<string>();
  for (const t of instants) {
    for (const fetched of during(t, TTL)) {
      const { published, keySigning } = zoneKeysAt(keys, fetched);
      for (const signed of during(t, LONGEST)) {
        const { zoneSigning } = zoneKeysAt(keys, signed);
        if (!areSigned(published, zoneSigning)) faults.add(`data of ${signed - NOW} at ${t - NOW}`);
      }
      for (const asked of during(t, DS_TTL)) {
        const tags = parent.findLast(({ from }) => from <= asked)?.tags ?? [];
        const trusted = keys.filter(({ tag }) => tags.includes(tag));
        if (!areSigned(trusted, keySigning)) faults.add(`DS of ${asked - NOW} at ${t - NOW}`);
      }
    }
  }
  return [...faults];
}

/** Each algorithm of the known keys has made a signature with one of them. */
function areSigned(known: readonly SigningKey[], signing: readonly SigningKey[]): boolean {
  const algorithms = new Set(known.map(({ algorithm }) => algorithm));
  return (
    algorithms.size > 0 &&
    [...algorithms].every((algorithm) =>
      known.some((key) => key.algorithm === algorithm && signing.includes(key)),
    )
  );
}

describe('the dates of a roll-over', () => {
  it('A ZSK leaves after its signatures, and the KSK is not touched', () => {
    const before = [oldKey(257, 13), oldKey(256, 13)];
    const stage = rollStage(before, false, NOW);
    assert.ok(stage.kind === 'start');
    assert.equal(stage.old, before[1]);
    const keys = carriedOut(before, startRoll(stage.old, before, 13, times(NOW)));
    assert.deepEqual(
      faultsOf(keys, [{ from: 0, tags: [keys[0]?.tag ?? 0] }], NOW + 7 * DS_TTL),
      [],
    );
    assert.equal(rollStage(keys, false, NOW).kind, 'refused');
    const end = zoneKeysAt(keys, NOW + 7 * DS_TTL);
    assert.deepEqual(end.published, [keys[0], keys[2]]);
    assert.deepEqual(end.zoneSigning, [keys[2]]);
  });

  for (const [what, before, algorithm] of [
    ['KSK', [oldKey(257, 13), oldKey(256, 13)], 13],
    ['key that signs everything', [oldKey(257, 13)], 13],
    ['algorithm of a KSK and a ZSK', [oldKey(257, 8), oldKey(256, 8)], 13],
    ['algorithm of a key that signs everything', [oldKey(257, 13)], 15],
  ] as const)
    for (const delay of [0, 30 * DS_TTL])
      it(`A new ${what} validates at all times, with a parent that waits ${delay} s`, () => {
        const [old] = before;
        const stage = rollStage(before, true, NOW);
        assert.ok(stage.kind === 'start');
        const during = carriedOut(before, startRoll(stage.old, before, algorithm, times(NOW)));
        const { SyncPublish = 0 } = during[before.length]?.dates ?? {};
        assert.equal(during[0]?.dates.SyncDelete, SyncPublish);
        const changedAt = SyncPublish + delay;
        const second = rollStage(during, true, changedAt);
        assert.ok(second.kind === 'finish');
        const keys = carriedOut(during, finishRoll(second, during, DS_TTL, times(changedAt)));
        const parent = [
          { from: 0, tags: [old.tag] },
          { from: changedAt, tags: [second.next.tag] },
        ];
        const until = changedAt + 7 * DS_TTL;
        assert.deepEqual(faultsOf(keys, parent, until), []);
        const { published } = zoneKeysAt(keys, until);
        assert.ok(published.every((key) => key.algorithm === algorithm && key.tag !== old.tag));
        assert.equal(rollStage(keys, true, changedAt).kind, 'refused');
        // The model itself finds a parent that is too early.
        const early = parent.map(({ from, tags }) => ({ from: from === 0 ? 0 : NOW, tags }));
        assert.notDeepEqual(faultsOf(keys, early, until), []);
      });

  it('A ZSK that was made with an end is replaced before it, and a trusted key with an end is not', () => {
    const far = { Inactive: NOW + 99 * DS_TTL, Delete: NOW + 99 * DS_TTL };
    const ending = (key: SigningKey): SigningKey => ({ ...key, dates: { ...key.dates, ...far } });
    const keys = [ending(oldKey(257, 13)), ending(oldKey(256, 13))];
    const trusted = rollStage(keys, true, NOW);
    assert.ok(trusted.kind === 'refused');
    assert.match(trusted.reason, /^key \d+: remove its end with dnssec-settime/);
    const zsk = rollStage(keys, false, NOW);
    assert.ok(zsk.kind === 'start');
    const [change] = startRoll(zsk.old, keys, 13, times(NOW)).changed;
    assert.ok((change?.dates.Inactive ?? 0) < NOW + DS_TTL);
    const lost = [{ ...oldKey(257, 13), dates: { Publish: 1, Activate: 1, SyncDelete: 2 } }];
    assert.equal(rollStage(lost, true, NOW).kind, 'start', 'the successor is gone');
  });

  it('A key can be removed once the parent does not name it and caches have lost its signatures', () => {
    const end = NOW + 100;
    const old = newKey(257, 13, {
      Publish: 1,
      Activate: 1,
      SyncDelete: 2,
      Inactive: end,
      Delete: end,
    });
    const next = newKey(257, 13, { Publish: 1, Activate: 1 });
    const keys = [old, next];
    const ds = ({ tag, algorithm }: SigningKey) =>
      Uint8Array.of(tag >> 8, tag & 255, algorithm, 99);
    const asked = (...named: SigningKey[]) =>
      ({ kind: 'asked', ds: named.map(ds), ttlSeconds: DS_TTL }) as const;
    const keptAt = (seconds: number, parent: Parameters<typeof keyStatus>[2]) =>
      keyStatus(old, keys, parent, times(seconds)).kept;
    assert.equal(keptAt(NOW, asked(next)), 'it signs');
    assert.equal(keptAt(end + DS_TTL, asked(old, next)), "the parent's DS names it");
    assert.match(keptAt(end + DS_TTL, { kind: 'unknown', reason: 'x' }) ?? '', /not known$/);
    assert.equal(keptAt(end + DS_TTL - 1, asked(next)), 'caches may need it');
    assert.equal(keptAt(end + DS_TTL, asked(next)), undefined);
  });
});
