import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  registrarLog,
  SOCKET_MOUNTED,
  SOCKET_REPLACED,
} from '../../../src/app/registrar/registrarLog.ts';
import type { Log } from '../../../src/observability/log.ts';
import { asShortId } from '../../../src/registrar/engine/containerId.ts';
import { EngineError } from '../../../src/registrar/engine/engine.ts';
import type { RegistrarEvent } from '../../../src/registrar/registrarEvents.ts';
import { StoreError } from '../../../src/store/store.ts';

type Line = readonly [level: string, message: string, fields: Readonly<Record<string, unknown>>];

function listen() {
  const lines: Line[] = [];
  const clock = { nowMs: 0 };
  const writer = (level: string) => (fields: Line[2], message: string) => {
    lines.push([level, message, fields]);
  };
  const log: Log = {
    ...{ debug: writer('debug'), info: writer('info') },
    ...{ warn: writer('warn'), error: writer('error'), close: () => {} },
    setLevel: () => {},
  };
  return { lines, clock, tell: registrarLog(log, () => clock.nowMs) };
}

const SHORT_ID = asShortId('0123456789ab');
const gone = new EngineError('unreachable', 'unix:///x: gone');
const away = new StoreError('unavailable', 'http://x: away');

describe('registrar events', () => {
  const value = Buffer.from('{"host":"10.0.0.1"}');
  const put = { kind: 'put', key: '/k', value, modRevision: undefined, shortId: SHORT_ID } as const;
  const gone1 = { kind: 'delete', key: '/k', modRevision: 3, shortId: SHORT_ID } as const;
  const refusal = { about: 'a.example', reason: 'is bad' };
  const [from, to] = ['OLD', 'NEW'].map((id) => {
    const unknown = { nodeAddress: undefined, rootDir: undefined, kernel: undefined };
    const platform = { kind: 'docker', version: undefined, firewall: undefined } as const;
    return { id, isOwnId: true, name: 'vm', timeNano: undefined, platform, ...unknown };
  });
  const hosts = ['vm (10.0.0.1)', 'vm (10.0.0.2)'] as const;
  const finding = { kind: 'duplicate', hosts, message: 'two of them', fix: 'rm one' } as const;
  const table: [RegistrarEvent, Line][] = [
    [
      { kind: 'engineChanged', from: from ?? assert.fail(), to: to ?? assert.fail() },
      [
        ...(['warn', "Docker's engine id, host name or data folder changed"] as const),
        { from: 'OLD', to: 'NEW', name: 'vm' },
      ],
    ],
    [{ kind: 'found', finding }, ['warn', 'two of them', { hosts, fix: 'rm one' }]],
    [
      { kind: 'socketMounted', label: 'unix:///x' },
      ['warn', SOCKET_MOUNTED, { docker: 'unix:///x' }],
    ],
    [
      { kind: 'socketReplaced', label: 'unix:///x' },
      ['error', SOCKET_REPLACED, { docker: 'unix:///x' }],
    ],
    [
      { kind: 'wrote', operation: put },
      ['info', 'registered', { id: SHORT_ID, key: '/k', value: '{"host":"10.0.0.1"}' }],
    ],
    [{ kind: 'wrote', operation: gone1 }, ['info', 'removed', { id: SHORT_ID, key: '/k' }]],
    [{ kind: 'would', operation: gone1 }, ['info', 'would remove', { id: SHORT_ID, key: '/k' }]],
    [
      { kind: 'refused', shortId: SHORT_ID, refusal },
      ['warn', 'refused', { id: SHORT_ID, about: 'a.example', cause: 'is bad' }],
    ],
    [
      { kind: 'conflict', shortId: SHORT_ID, key: '/k', reason: 'held by another' },
      ['warn', 'the name is not free', { id: SHORT_ID, key: '/k', cause: 'held by another' }],
    ],
    [
      { kind: 'inspectFailed', shortId: SHORT_ID, error: gone },
      ['warn', 'cannot inspect the container', { id: SHORT_ID, cause: 'unix:///x: gone' }],
    ],
    [
      { kind: 'store', event: { kind: 'lost', error: away, retryInMs: 50, failuresInARow: 1 } },
      ['warn', 'the store is unreachable', { cause: 'http://x: away', retryInMs: 50 }],
    ],
    [
      { kind: 'leaseLost', leaseId: '7', reason: 'the store has ended it' },
      ['warn', 'the lease is lost', { lease: '7', cause: 'the store has ended it' }],
    ],
  ];
  for (const [event, line] of table) {
    it(`The registrar logs the event ${event.kind} as ${line[1]}`, () => {
      const { lines, tell } = listen();
      tell(event);
      assert.deepEqual(lines, [line]);
    });
  }

  it('The registrar logs a repeated event once a minute, and an event with another cause at once', () => {
    const { lines, clock, tell } = listen();
    const levels = () => lines.map(([level]) => level);
    const lost = (error: EngineError) => tell({ kind: 'engineLost', error, retryInMs: 100 });
    lost(gone);
    lost(gone);
    assert.deepEqual(levels(), ['warn', 'debug']);
    lost(new EngineError('denied', 'permission denied'));
    tell({ kind: 'leaseFailed', error: away, retryInMs: 100 });
    tell({ kind: 'writeFailed', error: away, retryInMs: 100 });
    assert.deepEqual(levels().slice(2), ['warn', 'warn', 'warn']);
    clock.nowMs = 59_999;
    lost(gone);
    clock.nowMs = 60_000;
    lost(gone);
    lost(gone);
    assert.deepEqual(levels().slice(5), ['debug', 'warn', 'debug']);
  });

  it('The registrar logs each event that is not a repetition', () => {
    const { lines, tell } = listen();
    for (let i = 0; i < 3; i++) tell({ kind: 'wrote', operation: put });
    assert.deepEqual(
      lines.map(([level]) => level),
      ['info', 'info', 'info'],
    );
  });
});
