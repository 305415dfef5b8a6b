/** The generator against a thread that echoes every query as its answer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Worker } from 'node:worker_threads';
import { putLoad } from '../../../bench/generator/load.ts';
import { loadLibc } from '../../../src/kernel/libc.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';

const missing = loadLibc();
const skip = missing.kind === 'missing' ? `optional: ${missing.reason}` : false;

/** Answers NXDOMAIN, except for every `silentEvery`th query, which gets no answer. */
const ECHO = `
  const { parentPort, workerData } = require('node:worker_threads');
  const socket = require('node:dgram').createSocket('udp4');
  let received = 0;
  socket.on('message', (message, peer) => {
    if (++received % workerData.silentEvery === 0) return;
    message[2] |= 0x80;
    message[3] = 3;
    socket.send(message, peer.port, peer.address);
  });
  socket.bind(0, '127.0.0.1', () => {
    socket.setRecvBufferSize(1 << 20);
    parentPort.postMessage(socket.address().port);
  });`;

async function startEcho(t: test.TestContext, silentEvery = Number.MAX_SAFE_INTEGER) {
  const echo = new Worker(ECHO, { eval: true, workerData: { silentEvery } });
  t.after(() => echo.terminate());
  const [port] = (await once(echo, 'message')) as [number];
  const folder = await newTempDir();
  t.after(() => removeDir(folder));
  const questions = join(folder, 'questions');
  writeFileSync(questions, 'a.local A\nb.local SRV\n????.local A\n');
  return { port, questions };
}

test('A window stream sends queries up to its limit and receives every answer', {
  skip,
}, async (t) => {
  const { port, questions } = await startEcho(t);
  const pace = { kind: 'window', window: 16 } as const;
  const { streams } = putLoad({
    ...{ port, seconds: 60 },
    streams: [
      { questions, pace, limit: 5000 },
      { questions, pace, limit: 777, sockets: 1, edns: true },
    ],
  });
  const [all, few] = streams;
  assert.deepEqual([all?.sent, all?.answered, all?.nxdomain, all?.lost], [5000, 5000, 5000, 0]);
  assert.deepEqual([few?.sent, few?.answered, few?.noerror], [777, 777, 0]);
  assert.equal(all?.latency, undefined);
});

test('A window stream counts a query without an answer as lost', { skip }, async (t) => {
  const { port, questions } = await startEcho(t, 100);
  const pace = { kind: 'window', window: 16 } as const;
  const { streams } = putLoad({ port, seconds: 60, streams: [{ questions, pace, limit: 1000 }] });
  assert.deepEqual([streams[0]?.sent, streams[0]?.answered, streams[0]?.lost], [1000, 990, 10]);
});

test('A paced stream keeps its rate and counts a lost query as slower than all others', {
  skip,
}, async (t) => {
  const { port, questions } = await startEcho(t, 10);
  const startedMs = performance.now();
  const { streams } = putLoad({
    ...{ port, seconds: 1 },
    streams: [{ questions, sockets: 2, pace: { kind: 'rate', perSecond: 500 } }],
  });
  assert.ok(performance.now() - startedMs >= 990);
  const [result] = streams;
  assert.deepEqual([result?.sent, result?.answered, result?.lost], [500, 450, 50]);
  const { p50, p90, p99, max } = result?.latency ?? {};
  assert.ok(typeof p50 === 'number' && p50 > 0);
  assert.ok(typeof p90 === 'number' && p90 >= p50);
  assert.deepEqual([p99, max], [null, null]);
});

test('putLoad refuses a load without a finite duration', { skip }, () => {
  for (const seconds of [0, Number.POSITIVE_INFINITY, Number.NaN]) {
    assert.throws(() => putLoad({ port: 9, seconds, streams: [] }), /seconds/);
  }
});

test('A single stream waits for each answer before it asks again', { skip }, async (t) => {
  const { port, questions } = await startEcho(t, 10);
  const pace = { kind: 'single' } as const;
  const { streams } = putLoad({ port, seconds: 60, streams: [{ questions, pace, limit: 30 }] });
  const [result] = streams;
  assert.deepEqual([result?.sent, result?.answered, result?.lost], [30, 27, 3]);
  const { p50, max } = result?.latency ?? {};
  assert.ok(typeof p50 === 'number' && p50 > 0);
  assert.equal(max, null);
});

test('A blind stream sends all queries and reads no answer', { skip }, async (t) => {
  const { port, questions } = await startEcho(t);
  const pace = { kind: 'rate', perSecond: 5_000 } as const;
  const { streams } = putLoad({ port, seconds: 0.2, streams: [{ questions, pace, blind: true }] });
  assert.deepEqual([streams[0]?.sent, streams[0]?.answered], [1000, 0]);
});
