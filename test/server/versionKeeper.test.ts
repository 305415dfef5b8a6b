import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  VersionKeeper,
  type VersionKeeperOptions,
} from '../../src/server/transfer/versionKeeper.ts';
import type { Change } from '../../src/service/change.ts';
import { keyPrefix } from '../../src/service/key.ts';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { tablePut, tablesOf } from '../support/nameTables.ts';
import { until } from '../support/until.ts';
import { name, viewOf } from '../support/zone.ts';

async function scene(options: Partial<VersionKeeperOptions> = {}) {
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
    historyRecords: 100,
    aggregates: true,
    clock,
    onVersion: ({ serial }) => serials.push(serial),
    onOlderSerial: (_apex, _from, to) => older.push(to),
    onSkipped: () => {},
    ...options,
  });
  const putAll = (hosts: readonly (readonly [path: string, host: string, at: number])[]): void => {
    const changes = hosts.map(([path, host, modRevision]): Change => {
      const key = `/skydns/${path}`;
      const value = Buffer.from(JSON.stringify({ host }));
      const entry = { key, value, createRevision: modRevision, modRevision, lease: undefined };
      return { kind: 'put', entry, previous: undefined };
    });
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
