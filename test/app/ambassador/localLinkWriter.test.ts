import assert from 'node:assert/strict';
import test from 'node:test';
import { LocalLinkWriter } from '../../../src/app/ambassador/localLinkWriter.ts';
import { asContainerId, shortIdOf } from '../../../src/registrar/engine/containerId.ts';
import type { Consumer } from '../../../src/registrar/links/consumers.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { until } from '../../support/until.ts';

const ID = asContainerId('a'.repeat(64));

/** On the network of the host's loopback interface. */
const CONSUMER: Consumer = {
  ...{ id: ID, shortId: shortIdOf(ID), name: 'app', startedAt: '2026-01-01T00:00:00Z', pid: 1 },
  addresses: [{ address: '127.0.0.1', family: 4, network: 'lo', networkId: 'n', isBridge: true }],
  links: [
    {
      ...{ kind: 'port', port: { number: 6379, protocol: 'tcp' }, isLocal: true },
      ...{ target: 'redis.skydns.local', source: 'DNS_LINK_6379' },
    },
  ],
  refusals: [],
};

test('Links that could not be written into a container are written later', async (context) => {
  const clock = new FakeClock();
  const causes: unknown[] = [];
  const note = ({ cause }: { readonly cause?: unknown }) => void causes.push(cause);
  const writer = new LocalLinkWriter({
    log: { ...{ debug: note, info: note, warn: note, error: note }, setLevel() {}, close() {} },
    clock,
    entry: new URL('../../support/refusingLocalLinks.mjs', import.meta.url),
  });
  context.after(() => writer.close());
  writer.set([CONSUMER]);
  writer.set([CONSUMER]);
  await until('it is refused', () => causes.length === 1);
  await clock.advance(1_000);
  await until('it is written', () => causes.length === 2);
  assert.deepEqual(causes, ['refused aaaaaaaaaaaa', 'aaaaaaaaaaaa aaaaaaaaaaaa']);
});
