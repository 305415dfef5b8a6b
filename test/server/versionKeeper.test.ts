import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Name } from '../../src/dns/name.ts';
import {
  VersionKeeper,
  type VersionKeeperOptions,
} from '../../src/server/transfer/versionKeeper.ts';
import type { Change } from '../../src/service/change.ts';
import { keyPrefix } from '../../src/service/key.ts';
import { ChildOrder } from '../../src/transfer/childOrder.ts';
import { ZoneVersions } from '../../src/transfer/zoneVersions.ts';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import { DelegatedNames, delegatedIn } from '../../src/zone/zoneCuts.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { tablePut, tablesOf } from '../support/nameTables.ts';
import { until } from '../support/until.ts';
import { name, viewOf } from '../support/zone.ts';

/** A put or, without a value, a delete. */
function changeOf(path: string, value: object | undefined, modRevision: number): Change {
  const key = `/skydns/${path}`;
  if (value === undefined) return { kind: 'delete', key, modRevision, previous: undefined };
  const octets = Buffer.from(JSON.stringify(value));
  const revisions = { createRevision: modRevision, modRevision };
  const entry = { key, value: octets, ...revisions, lease: undefined };
  return { kind: 'put', entry, previous: undefined };
}

async function scene(options: Partial<VersionKeeperOptions> = {}, historyRecords = 100) {
  const clock = new FakeClock();
  const serials: number[] = [];
  const older: number[] = [];
  let revision = 100;
  const prefix = keyPrefix('skydns');
  const catalog = new Catalog({ prefix, onApplied: (nodes, at) => keeper.onApplied(nodes, at) });
  const view = viewOf(catalog, {
    settings: { apexes: [name('skydns.local.')], virtualAddresses: true },
  });
  const keeper: VersionKeeper = new VersionKeeper({
    data: () => view,
    prefix,
    revision: () => revision,
    serial: 'revision',
    serialIntervalSeconds: 1,
    historyRecords,
    aggregates: true,
    clock,
    onVersion: ({ serial }) => serials.push(serial),
    onOlderSerial: (_apex, _from, to) => older.push(to),
    onSkipped: () => {},
    ...options,
  });
  const putAll = (hosts: readonly (readonly [path: string, host: string, at: number])[]): void => {
    const changes = hosts.map(([path, host, at]) => changeOf(path, { host }, at));
    keeper.noteChanges(changes);
    catalog.apply(changes);
  };
  const put = (path: string, host: string, modRevision = ++revision): void =>
    putAll([[path, host, modRevision]]);
  keeper.start();
  await until('the zone is read', () => serials.length > 0);
  await clock.advance(10_000);
  const { vip } = tablesOf(catalog);
  const putAddress = (address: string, of: string, at: number): void =>
    vip.apply([tablePut('vip', address, { name: of }, at)]);
  return { clock, keeper, serials, older, put, putAll, putAddress };
}

describe('Making versions', () => {
  it('The first change after a pause makes a version soon, with the revision as the serial', async () => {
    const { clock, serials, put } = await scene();
    put('local/skydns/a', '10.0.0.1');
    assert.deepEqual(serials, [100]);
    await clock.advance(20);
    assert.deepEqual(serials, [100, 101]);
  });

  it('Further changes make one version in a second', async () => {
    const { clock, serials, put } = await scene();
    for (let i = 0; i < 30; i++) {
      put('local/skydns/a', `10.0.0.${i}`);
      await clock.advance(100);
    }
    assert.ok(serials.length >= 4 && serials.length <= 6, String(serials));
    await clock.advance(1_000);
    assert.equal(serials.at(-1), 130);
  });

  it('A change of another domain makes no version, and does not raise the serial', async () => {
    const { clock, keeper, serials, put } = await scene();
    put('arpa/other', '10.0.0.1');
    await clock.advance(2_000);
    assert.deepEqual(serials, [100]);
    put('local/skydns/a', '10.0.0.1');
    put('arpa/other', '10.0.0.2');
    await clock.advance(2_000);
    assert.deepEqual(serials, [100, 102]);
    assert.equal(keeper.zoneOf(name('SkyDNS.local.'))?.serial, 102);
  });

  it('Changes in the order of their keys make a version with the greatest of their revisions', async () => {
    const { clock, serials, older, put, putAll } = await scene();
    putAll([
      ['local/skydns/a', '10.0.0.1', 120],
      ['local/skydns/b', '10.0.0.2', 105],
    ]);
    await clock.advance(2_000);
    putAll([
      ['arpa/a', '10.0.0.1', 130],
      ['arpa/b', '10.0.0.2', 110],
    ]);
    put('local/skydns/c', '10.0.0.3', 131);
    await clock.advance(2_000);
    assert.deepEqual(serials, [100, 120, 131]);
    assert.deepEqual(older, []);
  });

  it('A revision that goes back is reported, and no difference leads to it', async () => {
    const { clock, keeper, older, put } = await scene();
    put('local/skydns/a', '10.0.0.1', 50);
    await clock.advance(2_000);
    assert.deepEqual(older, [50]);
    assert.equal(keeper.zones[0]?.since(100).kind, 'same');
  });

  it('A virtual address of a name makes a version with the revision of the address', async () => {
    const { clock, keeper, serials, older, put, putAddress } = await scene();
    put('local/skydns/a', '10.0.0.1');
    await clock.advance(2_000);
    putAddress('10.96.0.1', 'a.skydns.local', 140);
    await clock.advance(2_000);
    assert.deepEqual(serials, [100, 101, 140]);
    assert.deepEqual(older, []);
    assert.equal(keeper.zones[0]?.since(101).kind, 'differences');
  });

  it('A virtual address that comes after a newer change of its name makes a newer version', async () => {
    const { clock, keeper, serials, older, put, putAddress } = await scene();
    put('local/skydns/a', '10.0.0.1', 142);
    await clock.advance(2_000);
    putAddress('10.96.0.1', 'a.skydns.local', 141);
    await clock.advance(2_000);
    assert.deepEqual(serials, [100, 142, 143]);
    assert.deepEqual(older, []);
    assert.equal(keeper.zones[0]?.since(142).kind, 'differences');
  });

  it('With unixtime the serial is the second of the change, and always grows', async () => {
    const { clock, serials, put } = await scene({ serial: 'unixtime' });
    const began = serials[0] ?? 0;
    put('local/skydns/a', '10.0.0.1');
    await clock.advance(20);
    assert.equal(serials[1], Math.floor(clock.wallMs() / 1_000));
    clock.jumpWall(-100_000);
    put('local/skydns/a', '10.0.0.2');
    await clock.advance(1_000);
    assert.equal(serials[2], (serials[1] ?? 0) + 1);
    assert.ok((serials[1] ?? 0) > began);
  });
});

describe('Delegations in versions', () => {
  const label = fc.constantFrom('a', 'b', 'ns');
  const path = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('/'));
  const server = fc
    .array(label, { maxLength: 3 })
    .map((labels) => [...labels, 'skydns', 'local'].join('.'));
  const value = fc.oneof(
    fc.constant(undefined),
    fc.constantFrom('10.0.0.1', 'fd00::1').map((host): object => ({ host, port: 1 })),
    server.map((host): object => ({ host })),
    fc.array(server, { minLength: 1, maxLength: 2 }).map((names): object => {
      return { rr: names.map((each) => `NS ${each}.`) };
    }),
  );
  const steps = fc.array(fc.tuple(path, value, fc.boolean()), { minLength: 1, maxLength: 20 });
  /** A name gathers the address of a host that a cut hides for a while. */
  const hidden: [string, object | undefined, boolean][] = [
    ['b/a', { host: '10.0.0.1', port: 1 }, false],
    ['b/b', { host: 'ns.a.skydns.local' }, false],
    ['a/ns', { host: '10.0.0.9' }, false],
    ['a', { rr: ['NS ns.b.skydns.local.'] }, true],
    ['a', undefined, true],
  ];

  it('Delegations that come, go and change make differences, and the zone then equals one that is read anew', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const apexes = [name('skydns.local.')];
        const delegated = new DelegatedNames();
        let revision = 100;
        const prefix = keyPrefix('skydns');
        const catalog = new Catalog({
          prefix,
          onApplied: (nodes) => {
            if (delegated.apply(nodes)) {
              const forwarded = delegatedIn(delegated.cuts(), apexes);
              view = { ...view, settings: { ...view.settings, forwarded } };
              followed.keeper.onSettings();
            }
            followed.keeper.onApplied(nodes);
          },
        });
        let view = viewOf(catalog, { settings: { apexes } });
        const followed = await scene({ data: () => view, revision: () => revision }, 10_000);
        const [first] = followed.keeper.zones;
        for (const [key, given, isCut] of all) {
          const change = changeOf(`local/skydns/${key}`, given, ++revision);
          followed.keeper.noteChanges([change]);
          catalog.apply([change]);
          if (isCut) await followed.clock.advance(1_500);
        }
        await followed.clock.advance(1_500);
        const [zone] = followed.keeper.zones;
        assert.ok(zone !== undefined);
        const { inOrder } = new ChildOrder();
        const anew = new ZoneVersions({
          ...{ apex: apexes[0] as Name, data: view, inOrder, historyRecords: 0, aggregates: true },
          onSkipped: () => {},
        });
        for (const _ of anew.read());
        anew.begin(zone.serial, []);
        assert.deepEqual(recordsOf(zone), recordsOf(anew));
        assert.equal(zone, first);
        followed.keeper.close();
      }),
      { numRuns: 60, examples: [[hidden]] },
    );
  });
});

function recordsOf(zone: ZoneVersions): readonly string[] {
  const records = [...zone.whole().records];
  return records.map(({ owner, octets }) => `${owner} ${octets}`).sort();
}
