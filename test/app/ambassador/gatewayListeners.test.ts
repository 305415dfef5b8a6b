/** The listeners of links, on a proxy that only notes its calls. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Destination } from '../../../src/ambassador/proxy/destination.ts';
import type { ProxyListener } from '../../../src/ambassador/proxy/proxyPlane.ts';
import {
  GatewayListeners,
  type GatewayListenersOptions,
} from '../../../src/app/ambassador/gatewayListeners.ts';

const LINK: Destination = {
  label: 'container a, port 80/tcp',
  backends: { kind: 'known', backends: [] },
  isStatic: false,
};

function linkOf(source: string) {
  return { kind: 'consumer', source, port: 80, protocol: 'tcp' } as const;
}

function open(options: Partial<GatewayListenersOptions> = {}) {
  const calls: string[] = [];
  const listener: Partial<ProxyListener> = { refresh: () => {}, close: async () => {} };
  const gateways = new GatewayListeners({
    proxy: {
      open: async () => ({ kind: 'opened', listener: listener as ProxyListener }),
      forget: (label) => void calls.push(`forgot ${label}`),
    },
    gatewaysOf: () => ['10.1.0.1'],
    onRefused: (reason) => void calls.push(reason),
    ...options,
  });
  return { calls, gateways };
}

test('A link is forgotten when the last of its sources has gone', () => {
  const { calls, gateways } = open();
  for (const source of ['10.1.0.5', '10.2.0.5']) gateways.set(linkOf(source), LINK);
  gateways.remove(linkOf('10.1.0.5'));
  assert.deepEqual(calls, []);
  gateways.remove(linkOf('10.2.0.5'));
  assert.deepEqual(calls, [`forgot ${LINK.label}`]);
});
