import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Effective } from '../../src/app/liveConfig.ts';
import { readConfig } from '../../src/config/config.ts';
import type { FlagValue } from '../../src/config/settings.ts';
import type { Log } from '../../src/observability/log.ts';
import type { Change } from '../../src/service/change.ts';

const KEY = '/skydns/config';

function read(flags: Readonly<Record<string, FlagValue>>) {
  return readConfig({
    flags: { store: 'memory:', nameservers: '127.0.0.1:5399', addr: '127.0.0.1:5398', ...flags },
    env: {},
    readFile: () => ({ problem: 'ENOENT' }),
    stateDirectory: '/nonexistent',
  });
}

function effectiveOf(flags: Readonly<Record<string, FlagValue>> = {}) {
  const config = read(flags);
  assert.ok(config.kind === 'config');
  const lines: string[] = [];
  const write = (_: unknown, message: string) => void lines.push(message);
  const levels: string[] = [];
  const log: Log = {
    ...{ debug: write, info: write, warn: write, error: write, close: () => {} },
    setLevel: (level) => levels.push(level),
  };
  const effective = new Effective(config.config, KEY, log);
  let changes = 0;
  effective.onChanged(() => changes++);
  return { effective, lines, levels, changes: () => changes };
}

function put(text: string): Change[] {
  const value = Buffer.from(text);
  const entry = { key: KEY, value, createRevision: 1, modRevision: 1, lease: undefined };
  return [{ kind: 'put', entry, previous: undefined }];
}

describe('what the server goes by', () => {
  it('stays the very same when the same is read again', async () => {
    const { effective, changes } = effectiveOf({ ttl: '60' });
    const { settings, forwarder } = effective;
    effective.reload(read({ ttl: '60', 'min-ttl': '5' }));
    assert.equal(effective.settings, settings);
    assert.equal(effective.forwarder, forwarder);
    assert.equal(effective.reloads.done, 1);
    assert.equal(changes(), 1);
    effective.reload(read({ ttl: '61', 'log-level': 'error' }));
    assert.notEqual(effective.settings, settings);
    assert.equal(effective.settings.ttlSeconds, 61);
    assert.equal(effective.forwarder, forwarder);
    await effective.close();
  });

  it('takes other nameservers and another level of the log, and leaves the rest for the next start', async () => {
    const { effective, lines, levels } = effectiveOf();
    const { forwarder } = effective;
    const next = { nameservers: '127.0.0.1:5397', 'log-level': 'warn', addr: '127.0.0.1:5396' };
    effective.reload(read({ ...next, 'recursion-allow': '10.0.0.0/8' }));
    assert.notEqual(effective.forwarder, forwarder);
    assert.ok(effective.forwarder !== undefined);
    assert.deepEqual(levels, ['warn']);
    assert.deepEqual(effective.config.addr, [{ address: '127.0.0.1', port: 5398 }]);
    assert.ok(lines.includes('changed; counts from the next start'));
    assert.ok(effective.mayRecurse('10.1.1.1') && !effective.mayRecurse('127.0.0.1'));
    effective.reload(read({ ...next, 'no-rec': true }));
    assert.equal(effective.forwarder, undefined);
    await effective.close();
  });

  it('asks the key in the store only once it was read, and keeps what it said over mistakes', async () => {
    const { effective, changes } = effectiveOf();
    effective.note(put('{"ttl":7}'));
    effective.settle();
    assert.equal(effective.settings.ttlSeconds, 3600);
    effective.overlay();
    assert.equal(effective.settings.ttlSeconds, 7);
    assert.deepEqual(effective.reloads, { done: 0, failed: 0 });
    for (const bad of ['{"ttl":"x","min_ttl":9}', '{', '[]']) {
      effective.note(put(bad));
      effective.settle();
    }
    assert.equal(effective.settings.ttlSeconds, 7);
    assert.equal(effective.settings.minTtlSeconds, 5);
    assert.deepEqual(effective.reloads, { done: 0, failed: 3 });
    assert.equal(changes(), 1);
    effective.reload(read({ 'min-ttl': '4' }));
    assert.equal(effective.settings.ttlSeconds, 7, 'the mistakes do not count later either');
    assert.equal(effective.settings.minTtlSeconds, 4);
    effective.note([{ kind: 'delete', key: KEY, modRevision: 9, previous: undefined }]);
    effective.settle();
    assert.equal(effective.settings.ttlSeconds, 3600);
    await effective.close();
  });
});
