/** The listeners of links, on a proxy that only notes its calls. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Destination } from '../../../src/ambassador/proxy/destination.ts';
import type { ProxyListener } from '../../../src/ambassador/proxy/proxyPlane.ts';
import {
  GatewayListeners,
  type GatewayListenersOptions,
} from '../../../src/app/ambassador/gatewayListeners.ts';
import { FakeClock } from '../../support/fakeClock.ts';

const LINK: Destination = {
  label: 'container a, port 80/tcp',
  backends: { kind: 'known', backends: [] },
  isStatic: false,
};

const LISTENER: ProxyListener = {
  listen: { kind: 'port', address: '10.1.0.1', port: 80, protocol: 'tcp' },
  ...{ addresses: [], refresh: () => {}, report: () => [], close: async () => {} },
};

function linkOf(source: string) {
  return { kind: 'consumer', source, port: 80, protocol: 'tcp' } as const;
}

function open(options: Partial<GatewayListenersOptions> = {}) {
  const calls: string[] = [];
  const clock = new FakeClock();
  const gateways = new GatewayListeners({
    proxy: {
      open: async () => ({ kind: 'opened', listener: LISTENER }),
      forget: (label) => void calls.push(`forgot ${label}`),
    },
    clock,
    gatewaysOf: () => ['10.1.0.1'],
    onRefused: (reason) => void calls.push(reason),
    ...options,
  });
  return { calls, clock, gateways };
}

test('A link is forgotten when the last of its sources has gone', () => {
  const { calls, gateways } = open();
  for (const source of ['10.1.0.5', '10.2.0.5']) gateways.set(linkOf(source), LINK);
  gateways.remove(linkOf('10.1.0.5'));
  assert.deepEqual(calls, []);
  gateways.remove(linkOf('10.2.0.5'));
  assert.deepEqual(calls, [`forgot ${LINK.label}`]);
});

test('A port that another program has is opened once it is free, and no more after the end', async () => {
  let tries = 0;
  let isFree = false;
  const proxy: GatewayListenersOptions['proxy'] = {
    open: async (listen) => {
      tries++;
      if (isFree) return { kind: 'opened', listener: LISTENER };
      return { kind: 'taken', listen, holder: undefined };
    },
    forget: () => {},
  };
  const { clock, gateways } = open({ proxy });
  gateways.set(linkOf('10.1.0.5'), LINK);
  await clock.advance(0);
  await clock.advance(10_000);
  assert.ok(tries > 2 && tries < 6, `${tries} tries`);
  assert.equal(gateways.refusals().length, 1);
  isFree = true;
  await clock.advance(30_000);
  assert.deepEqual([gateways.refusals(), clock.pending], [[], 0]);
  isFree = false;
  gateways.set({ ...linkOf('10.1.0.5'), port: 81 }, LINK);
  await clock.advance(0);
  gateways.close();
  assert.equal(clock.pending, 0);
});
