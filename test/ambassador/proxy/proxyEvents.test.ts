/** What a proxy reports, and how often. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type ProxyEvent, ProxyReporter } from '../../../src/ambassador/proxy/proxyEvents.ts';
import { FakeClock } from '../../support/fakeClock.ts';

function reporting() {
  const clock = new FakeClock();
  const events: ProxyEvent[] = [];
  return { clock, events, reporter: new ProxyReporter(clock, (event) => events.push(event)) };
}

test('A failure that many connections meet is reported once a minute, with their number', async () => {
  const { clock, events, reporter } = reporting();
  const tried = new Map([['10.0.0.1:80', 'refused']]);
  for (let i = 0; i < 5; i++) reporter.noteUnreachable('web', tried);
  await clock.advance(59_000);
  reporter.noteUnreachable('web', tried);
  const common = { kind: 'unreachable', route: 'web', tried: ['10.0.0.1:80 refused'] };
  assert.deepEqual(events, [{ ...common, times: 1 }]);
  await clock.advance(1_000);
  reporter.noteUnreachable('web', tried);
  assert.deepEqual(events, [
    { ...common, times: 1 },
    { ...common, times: 6 },
  ]);
});

test('Each route, backend, limit and listener has reports of its own', () => {
  const { events, reporter } = reporting();
  for (let i = 0; i < 2; i++) {
    reporter.noteUnreachable('web', new Map());
    reporter.noteUnreachable('redis', new Map());
    reporter.noteForbidden('web', '127.0.0.1:80', 'loopback');
    reporter.noteForbidden('web', '127.0.0.1:81', 'loopback');
    reporter.noteLimit('connectionsPerSource', '10.0.0.1');
    reporter.noteLimit('connectionsPerSource', '10.0.0.2');
    reporter.noteLimit('connections', '10.0.0.1');
    reporter.noteLimit('connections', '10.0.0.2'); // one limit for all
    reporter.noteAcceptFailure('6379', 'EMFILE');
  }
  assert.deepEqual(
    events.map(({ kind }) => kind),
    [
      'unreachable',
      'unreachable',
      'forbidden',
      'forbidden',
      'limited',
      'limited',
      'limited',
      'acceptFailed',
    ],
  );
});

test('A route is reported when it loses its last backend and when it has one again', () => {
  const { events, reporter } = reporting();
  reporter.noteServed('web', true);
  reporter.noteServed('web', false, 'web.skydns.local. does not exist');
  reporter.noteServed('web', false);
  reporter.noteServed('redis', true);
  reporter.noteServed('web', true);
  reporter.noteServed('web', true);
  assert.deepEqual(events, [
    { kind: 'unserved', route: 'web', reason: 'web.skydns.local. does not exist' },
    { kind: 'served', route: 'web' },
  ]);
});

test('Routes without a backend that have ended leave room for reports about others', () => {
  const { events, reporter } = reporting();
  for (let i = 0; i < 5_000; i++) {
    reporter.noteServed(`route ${i}`, false);
    reporter.forget(`route ${i}`);
  }
  assert.equal(events.length, 5_000);
});

test('Backends that are not known yet are no loss of backends', () => {
  const { events, reporter } = reporting();
  const common = { label: 'web', isStatic: false };
  reporter.noteDestinations([{ ...common, backends: { kind: 'waits', reason: 'no store' } }]);
  assert.deepEqual(events, []);
  reporter.noteDestinations([{ ...common, backends: { kind: 'known', backends: [] } }]);
  assert.deepEqual(events, [{ kind: 'unserved', route: 'web', reason: undefined }]);
});

test('Reports about very many subjects do not grow the memory without bound, and the latest stay quiet', () => {
  const { events, reporter } = reporting();
  for (let i = 0; i < 10_000; i++)
    reporter.noteLimit('connectionsPerSource', `10.0.${i >> 8}.${i & 255}`);
  const reported = events.length;
  assert.equal(reported, 10_000);
  reporter.noteLimit('connectionsPerSource', '10.0.39.15'); // the last one
  assert.equal(events.length, reported);
  reporter.noteLimit('connectionsPerSource', '10.0.0.0'); // forgotten
  assert.equal(events.length, reported + 1);
});
