/** When a worker looks for packets before it sleeps, on a clock that each look moves on. */
import assert from 'node:assert/strict';
import os from 'node:os';
import { test } from 'node:test';
import { Spin } from '../../../src/dataplane/listeners/spin.ts';
import { FakeKernel } from '../../support/fakeKernel.ts';

const { EAGAIN, EBADF } = os.constants.errno;

/** A spin whose looks take a microsecond each; a packet comes `comesAfterUs` after each start, if it comes. */
function setUp() {
  const kernel = new FakeKernel();
  let micros = 0;
  const spin = new Spin(kernel, () => micros / 1000);
  /** Returns the result of a spin, and how long it took. */
  const look = (comesAfterUs: number): { found: number; tookUs: number } => {
    const beganUs = micros;
    const found = spin.look(() => {
      if (micros - beganUs >= comesAfterUs) return 1;
      micros++;
      return kernel.recvmmsg(7, 0, 0); // -1 with EAGAIN
    });
    return { found, tookUs: micros - beganUs };
  };
  return { kernel, spin, look };
}

test('A spin goes on for as long as packets come soon', () => {
  const { look } = setUp();
  for (let i = 0; i < 1000; i++) assert.equal(look(15).found, 1);
});

test('Spins end when no packets come, and are tried again now and then', () => {
  const { look } = setUp();
  let spunUs = 0;
  let tries = 0;
  const sleeps = 1000;
  for (let i = 0; i < sleeps; i++) {
    const { found, tookUs } = look(Number.POSITIVE_INFINITY);
    assert.equal(found, 0);
    spunUs += tookUs;
    if (tookUs > 0) tries++;
  }
  assert.ok(tries > 10, `${tries} tries`);
  assert.ok(spunUs <= sleeps + 100, `${spunUs} µs of spins for ${sleeps} sleeps`);
});

test('Spins that find every second packet are not worth their time', () => {
  const { look } = setUp();
  let spunUs = 0;
  for (let i = 0; i < 1000; i++) spunUs += look(i % 2 === 0 ? 20 : Number.POSITIVE_INFINITY).tookUs;
  assert.ok(spunUs < 5_000, `${spunUs} µs`);
});

test('Spins begin again when packets come soon again', () => {
  const { look } = setUp();
  for (let i = 0; i < 1000; i++) look(Number.POSITIVE_INFINITY);
  let found = 0;
  for (let i = 0; i < 1000; i++) found += look(10).found;
  assert.ok(found > 900, `${found} found`);
});

test('Packets that have arrived before do not pay for spins', () => {
  const { look } = setUp();
  for (let i = 0; i < 1000; i++) assert.deepEqual(look(0), { found: 1, tookUs: 0 });
  let spunUs = 0;
  for (let i = 0; i < 50; i++) spunUs += look(Number.POSITIVE_INFINITY).tookUs;
  assert.ok(spunUs <= 100, `${spunUs} µs`);
});

test('A spin returns a failed read at once', () => {
  const { kernel, spin } = setUp();
  kernel.receiveSteps.push(
    () => ({ errno: EAGAIN }),
    () => ({ errno: EBADF }),
  );
  assert.equal(
    spin.look(() => kernel.recvmmsg(7, 0, 0)),
    -1,
  );
  assert.equal(kernel.errno(), EBADF);
});
