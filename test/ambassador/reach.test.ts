import assert from 'node:assert/strict';
import test from 'node:test';
import { reachedFromHere } from '../../src/ambassador/reach.ts';
import { type Backend, isSameBackendSet } from '../../src/ambassador/route.ts';
import type { LocalBackend } from '../../src/registrar/links/localBackends.ts';

const BACKEND: Backend = {
  ...{ address: '10.0.0.1', port: 49_153, priority: 10, weight: 100 },
  key: '/skydns/local/skydns/web/1',
};
const RUNNING: Extract<LocalBackend, { kind: 'running' }> = {
  kind: 'running',
  containerId: 'c'.repeat(64) as never,
  name: 'web',
  port: { number: 80, protocol: 'tcp' },
  addresses: [
    { address: '172.17.0.2', family: 4, network: 'bridge', networkId: 'n', isBridge: true },
  ],
  publishedAt: ['0.0.0.0', '::'],
  mode: 'published',
};

const CASES: readonly (readonly [
  what: string,
  local: LocalBackend | undefined,
  reached: readonly Pick<Backend, 'address' | 'port' | 'access'>[],
])[] = [
  ['on another host', undefined, [{ address: '10.0.0.1', port: 49_153, access: undefined }]],
  ['published here', RUNNING, [{ address: '172.17.0.2', port: 80, access: 'published' }]],
  [
    'published here for this host alone',
    { ...RUNNING, publishedAt: ['127.0.0.1'] },
    [{ address: '172.17.0.2', port: 80, access: 'private' }],
  ],
  [
    'that is not published',
    { ...RUNNING, publishedAt: [], mode: 'internal' },
    [{ address: '10.0.0.1', port: 49_153, access: 'private' }],
  ],
  [
    'on the host’s network',
    { ...RUNNING, addresses: [] },
    [{ address: '10.0.0.1', port: 49_153, access: undefined }],
  ],
  ['that has ended', { kind: 'ended', containerId: undefined }, []],
];

for (const [what, local, expected] of CASES)
  test(`This host reaches a backend ${what} at its place, for the consumers that may reach it`, () => {
    const reached = reachedFromHere([BACKEND], () => local);
    assert.deepEqual(
      reached.map(({ address, port, access }) => ({ address, port, access })),
      expected,
    );
  });

test('A set is another one when only the access of a backend differs', () => {
  const known = (access: Backend['access']) =>
    ({ kind: 'known', backends: [{ ...BACKEND, access }] }) as const;
  assert.ok(isSameBackendSet(known('private'), known('private')));
  assert.ok(!isSameBackendSet(known(undefined), known('private')));
});
