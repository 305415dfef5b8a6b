import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { EngineError } from '../../../src/registrar/engine/engine.ts';
import { NetworkDrivers } from '../../../src/registrar/observe/networkDrivers.ts';
import { FakeClock } from '../../support/fakeClock.ts';

describe('the drivers of networks', () => {
  let clock: FakeClock;
  let asked: string[];
  let changes: number;
  /** Answers the next questions; an error rejects them. */
  let answer: string | undefined | EngineError;
  let drivers: NetworkDrivers;

  beforeEach(() => {
    clock = new FakeClock();
    asked = [];
    changes = 0;
    answer = 'bridge';
    drivers = new NetworkDrivers({
      engine: {
        networkDriver: async (networkId) => {
          asked.push(networkId);
          if (answer instanceof EngineError) throw answer;
          return answer;
        },
      },
      clock,
      onChange: () => changes++,
    });
  });

  const isBridge = (id: string, name = 'net') => drivers.isBridge({ id, name });

  it('The engine is asked once about a network, and its answer is announced', async () => {
    assert.equal(isBridge('n1'), undefined);
    assert.equal(isBridge('n1'), undefined);
    assert.equal(drivers.isSettled, false);
    await clock.advance(0);
    assert.equal(drivers.isSettled, true);
    assert.equal(changes, 1);
    assert.equal(isBridge('n1'), true);
    assert.deepEqual(asked, ['n1']);
  });

  for (const driver of ['macvlan', 'ipvlan', 'overlay', 'null', 'Bridge', 'weave'])
    it(`A network with the driver ${driver} is no bridge`, async () => {
      answer = driver;
      isBridge('n1');
      await clock.advance(0);
      assert.equal(isBridge('n1'), false);
    });

  it('The default network is a bridge without a question', () => {
    assert.equal(isBridge('any', 'bridge'), true);
    assert.equal(isBridge('', 'bridge'), true);
    assert.deepEqual(asked, []);
    assert.equal(drivers.isSettled, true);
  });

  it('A network without an id is unknown', () => {
    assert.equal(isBridge(''), undefined);
    assert.deepEqual(asked, []);
  });

  for (const [what, given] of [
    ['refuses', new EngineError('denied', 'a proxy refuses it')],
    ['does not know the network', undefined],
  ] as const)
    it(`The engine that ${what} is asked again later, each time later`, async () => {
      answer = given;
      isBridge('n1');
      await clock.advance(0);
      assert.equal(drivers.isSettled, true);
      assert.equal(isBridge('n1'), undefined);
      const times: number[] = [];
      for (let passedMs = 0; passedMs < 200_000; passedMs += 100) {
        const before = asked.length;
        isBridge('n1');
        await clock.advance(100);
        if (asked.length > before) times.push(Math.floor(passedMs / 1000));
      }
      assert.deepEqual(times, [1, 6, 36, 96, 156]);
      answer = 'bridge';
      await clock.advance(60_000);
      isBridge('n1');
      await clock.advance(0);
      assert.equal(isBridge('n1'), true);
    });

  it('A retry is announced, so that the network is asked for', async () => {
    answer = undefined;
    isBridge('n1');
    await clock.advance(0);
    assert.equal(changes, 1);
    await clock.advance(1_000);
    assert.equal(changes, 2);
    assert.deepEqual(asked, ['n1']);
  });

  it('More networks than the limit are forgotten and asked for again', async () => {
    for (let i = 0; i < 1_000; i++) isBridge(`n${i}`);
    await clock.advance(0);
    assert.equal(isBridge('n0'), true);
    isBridge('another');
    await clock.advance(0);
    assert.equal(isBridge('another'), true);
    assert.equal(isBridge('n0'), undefined);
    assert.equal(asked.length, 1_002);
  });

  it('After the end no network is asked for, and no answer or retry is announced', async () => {
    answer = undefined;
    isBridge('n1');
    await clock.advance(0);
    isBridge('n2');
    drivers.close();
    await clock.advance(100_000);
    assert.equal(isBridge('n3'), undefined);
    assert.equal(changes, 1);
    assert.deepEqual(asked, ['n1', 'n2']);
  });
});
