import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endsContainer, signalNumber } from '../../../src/registrar/observe/ending.ts';
import { inspection } from '../../support/inspection.ts';

describe('signals', () => {
  for (const [text, number] of [
    ['15', 15],
    ['SIGTERM', 15],
    ['term', 15],
    ['QUIT', 3],
    ['SIGSYS', 31],
    ['SIGRTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['RTMAX-2', 62],
    ['SIGRTMAX', 64],
    ['SIGRTMIN+99', undefined],
    ['0', undefined],
    ['65', undefined],
    ['', undefined],
    ['TERMINATE', undefined],
    [{ toString: () => '9' }, undefined],
  ] as const) {
    it(`The signal ${JSON.stringify(text)} has the number ${number}`, () =>
      assert.equal(signalNumber(text), number));
  }

  for (const [stopSignal, signal, ends] of [
    [undefined, '15', true],
    [undefined, '9', true],
    [undefined, '1', false],
    [undefined, undefined, false],
    ['SIGQUIT', '3', true],
    ['SIGQUIT', '15', false],
    ['SIGHUP', '1', true],
    ['nonsense', '15', true],
    ['SIGRTMIN+3', '37', true],
  ] as const) {
    it(`The signal ${signal} ${ends ? 'ends' : 'does not end'} a container with the stop signal ${stopSignal}`, () => {
      const container = inspection();
      const config = { ...container.Config, ...(stopSignal && { StopSignal: stopSignal }) };
      assert.equal(endsContainer(signal, { ...container, Config: config }), ends);
    });
  }
});
