/** The end of a stream whose reader has no room. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Dnstap } from '../../src/dnstap/dnstap.ts';
import { DNSTAP_CONTENT } from '../../src/dnstap/frameStream.ts';
import { type Clock, systemClock } from '../../src/timing/clock.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

/** fstrm's ACCEPT, with the content type. */
const ACCEPT = Buffer.concat([
  Buffer.from('00000000000000220000000100000001', 'hex'),
  Buffer.from('00000016', 'hex'),
  Buffer.from(DNSTAP_CONTENT),
]);

/** A tap whose reader has stopped to read, with messages that wait in the ring. */
async function fullTap(t: TestContext) {
  const folder = await newTempDir();
  const path = join(folder, 'tap.sock');
  const server = createServer().listen(path);
  await once(server, 'listening');
  /** How often the tap has looked at the clock, and the messages that it got. */
  const counted = { looks: 0, messages: 0 };
  const clock: Clock = {
    monotonicMs() {
      counted.looks++;
      return systemClock.monotonicMs();
    },
    wallMs: () => systemClock.wallMs(),
    startTimer: (delayMs, callback) => systemClock.startTimer(delayMs, callback),
  };
  const tap = new Dnstap({
    ...{ target: { kind: 'unix', path }, kinds: ['client'], sample: 1, identity: undefined },
    ...{ version: 'v', workers: 0, isOurs: () => true, clock, random: Math.random },
    onEvent: () => {},
    onError: (error) => assert.fail(String(error)),
  });
  const connected = once(server, 'connection');
  tap.open();
  const [reader] = (await connected) as [Socket];
  reader.on('error', () => {});
  t.after(async () => {
    reader.destroy();
    server.close();
    await tap.close();
    await removeDir(folder);
  });
  await once(reader, 'data');
  reader.pause();
  reader.write(ACCEPT);
  const message = new Uint8Array(60_000);
  const client = { transport: 'udp', address: '192.0.2.7', port: 4000 } as const;
  await until('the reader has no room', async () => {
    tap.client?.answered(client, message, message, performance.now());
    counted.messages += 2;
    await nextTurn();
    return tap.counters().dropped > 20;
  });
  return { tap, reader, counted };
}

test('A tap that closes waits for a reader without room, and does not spin', async (t) => {
  const { tap, counted } = await fullTap(t);
  counted.looks = 0;
  await tap.close();
  assert.ok(counted.looks < 10, `${counted.looks} looks at the clock`);
});

test('A tap that closes sends the messages that wait when the reader has room again', async (t) => {
  const { tap, reader, counted } = await fullTap(t);
  const before = tap.counters();
  const closed = tap.close();
  reader.on('data', (chunk: Buffer) => {
    // STOP, which the reader answers with FINISH.
    if (chunk.subarray(-4).equals(Buffer.from('00000003', 'hex')))
      reader.write(Buffer.from('000000000000000400000005', 'hex'));
  });
  reader.resume();
  await closed;
  const { written, dropped } = tap.counters();
  assert.equal(dropped, before.dropped);
  assert.equal(written + dropped, counted.messages);
});

test('A tap that closes ends when its reader without room ends', async (t) => {
  const { tap, reader, counted } = await fullTap(t);
  counted.looks = 0;
  const closed = tap.close();
  reader.destroy();
  await closed;
  assert.ok(counted.looks < 10, `${counted.looks} looks at the clock`);
});
