import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EtcdLeases, type LeaseLife } from '../../src/store/etcd/leases.ts';
import { until } from '../support/until.ts';

const alive = (ttlSeconds: number, remainingSeconds: number): LeaseLife => ({
  kind: 'alive',
  ttlSeconds,
  remainingSeconds,
});

describe('the lease table', () => {
  it('The lease table queries every lease, a few at a time', async () => {
    let asking = 0;
    let most = 0;
    const asked = new Set<string>();
    const table = new EtcdLeases({
      nowMs: () => 0,
      concurrency: 4,
      async lookUp(id) {
        asked.add(id);
        most = Math.max(most, ++asking);
        await new Promise((resolve) => setImmediate(resolve));
        asking--;
        return alive(600, 500);
      },
    });
    const leases = Array.from({ length: 100 }, (_, i) => table.of(`${i}`));
    assert.deepEqual(
      [leases[99]?.id, leases[99]?.ttlSeconds, leases[99]?.expiresAtMs],
      ['99', undefined, undefined],
    );
    await until('all are known', () => leases.every((lease) => lease.expiresAtMs === 500_000));
    assert.equal(most, 4);
    assert.equal(asked.size, 100);
    assert.equal(leases[0]?.ttlSeconds, 600);
    assert.equal(table.of('7'), leases[7]);
    table.close();
  });

  it('The lease table limits the lookups for which a caller waits too, and makes them first', async () => {
    let asking = 0;
    let most = 0;
    const asked: string[] = [];
    const table = new EtcdLeases({
      nowMs: () => 0,
      concurrency: 4,
      async lookUp(id) {
        asked.push(id);
        most = Math.max(most, ++asking);
        await new Promise((resolve) => setImmediate(resolve));
        asking--;
        return alive(600, 500);
      },
    });
    const leases = Array.from({ length: 40 }, (_, i) => table.of(`${i}`));
    await table.lookUpUnknown(leases.slice(20).map(({ id }) => id));
    assert.equal(most, 4);
    const awaited = asked.filter((id) => Number(id) >= 20);
    assert.equal(awaited.length, 20);
    assert.ok(
      asked.slice(4, 24).every((id) => Number(id) >= 20),
      asked.join(),
    );
    await until('all are known', () => leases.every((lease) => lease.expiresAtMs === 500_000));
    assert.equal(most, 4);
    table.close();
  });

  it('A lookup that was sent before a renewal does not change the renewed expiry', async () => {
    let nowMs = 0;
    const answers: Array<(life: LeaseLife) => void> = [];
    const lookUp = () => new Promise<LeaseLife>((resolve) => answers.push(resolve));
    const table = new EtcdLeases({ nowMs: () => nowMs, lookUp });
    for (const late of [alive(10, 3), { kind: 'gone' } as const]) {
      answers.length = 0;
      const lease = table.of(late.kind);
      nowMs += 2_000;
      table.renewed(late.kind, 10, nowMs - 100);
      const expiresAtMs = nowMs - 100 + 10_000;
      assert.equal(lease.expiresAtMs, expiresAtMs);
      const looked = table.lookUpUnknown([late.kind]);
      answers[0]?.(late);
      await looked;
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(lease.expiresAtMs, expiresAtMs);
    }
    table.close();
  });

  it('The lease table keeps the exact expiry of its own grant while etcd’s answers agree', async () => {
    let nowMs = 0;
    let life = alive(2, 1);
    const table = new EtcdLeases({ nowMs: () => nowMs, lookUp: async () => life });
    const lease = table.granted('1', 2, -300);
    assert.equal(lease.expiresAtMs, 1_700);
    nowMs = 10_000;
    life = alive(2, 2);
    await until('a renewal moves it', () => lease.expiresAtMs === 12_000);
    nowMs = 11_100;
    life = alive(2, 0);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(lease.expiresAtMs, 12_000);
    table.close();
  });

  it('The lease table ends a lease that etcd does not have and keeps one whose state is unknown', async () => {
    let life: LeaseLife | undefined;
    const table = new EtcdLeases({
      nowMs: () => 1_000,
      lookUp: async () => life ?? Promise.reject(new Error('no answer')),
    });
    const lease = table.of('1');
    await table.lookUpUnknown(['1']);
    assert.equal(lease.expiresAtMs, undefined);
    life = { kind: 'gone' };
    await table.lookUpUnknown(['1']);
    assert.equal(lease.expiresAtMs, 1_000);
    table.close();
  });

  it('The lease table queries a lease again after half of its lifetime', {
    timeout: 20_000,
  }, async () => {
    const remaining = [4, 9];
    const table = new EtcdLeases({
      nowMs: () => performance.now(),
      lookUp: async () => alive(10, remaining.shift() ?? 0),
    });
    const startMs = performance.now();
    const lease = table.of('1');
    await table.lookUpUnknown(['1']);
    await until('the renewal is seen', () => (lease.expiresAtMs ?? 0) > startMs + 9_000);
    assert.ok(performance.now() - startMs > 1_500);
    table.close();
  });

  it('The lease table looks up only those of many leases whose expiry is read, and its own', {
    timeout: 20_000,
  }, async () => {
    let nowMs = 0;
    const asked: string[] = [];
    const table = new EtcdLeases({
      nowMs: () => nowMs,
      many: 2,
      async lookUp(id) {
        asked.push(id);
        return alive(2, 2);
      },
    });
    const own = table.granted('own', 2, 0);
    const leases = ['1', '2', '3', '4'].map((id) => table.of(id));
    await new Promise((resolve) => setImmediate(resolve));
    // The table was small when it got the first two.
    assert.deepEqual(asked, ['1']);
    assert.equal(leases[3]?.expiresAtMs, undefined);
    await until('the lease that is read is looked up', () => leases[3]?.expiresAtMs === 2_000);
    nowMs = 3_000;
    await until('only leases of interest are looked up again', () => asked.includes('own'));
    assert.deepEqual([...asked].sort(), ['1', '4', '4', 'own']);
    // The expiry that was known has passed, and the lease may have been renewed since.
    assert.equal(leases[0]?.expiresAtMs, undefined);
    await until('the other lease is looked up', () => leases[0]?.expiresAtMs === 5_000);
    assert.equal(own.expiresAtMs, 5_000);
    table.close();
  });
});
