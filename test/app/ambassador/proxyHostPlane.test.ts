/** The links of a container through the proxy of a server, in a network of its own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import test, { before } from 'node:test';
import type { BackendSet, Route } from '../../../src/ambassador/route.ts';
import { ProxyHostPlane } from '../../../src/app/ambassador/hostPlane.ts';
import type { Log } from '../../../src/observability/log.ts';
import { settingsOfVip } from '../../../src/tools/doctor/ambassador/startWords.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../../support/ownNetwork.ts';
import { until } from '../../support/until.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const [GATEWAY, BACKEND] = ['10.1.0.1', '10.1.0.2'] as const;
const ORIGIN = 'container c0ffee123456 web';

before(() => {
  if (noOwnNetwork !== undefined) return;
  enterOwnNetwork();
  command('ip', 'link', 'add', 'lan', 'type', 'bridge');
  for (const address of [GATEWAY, BACKEND])
    command('ip', 'address', 'add', `${address}/24`, 'dev', 'lan');
  command('ip', 'link', 'set', 'lan', 'up');
});

/** A link of a container that connects from the gateway's own address. */
function linkAt(port: number): Route {
  return {
    match: { kind: 'consumer', source: GATEWAY, port, protocol: 'tcp' },
    target: { kind: 'service', name: ['web', 'skydns', 'local'], port: undefined },
    origin: ORIGIN,
    sinceMs: 0,
  };
}

function backendsAt(...ports: readonly number[]): BackendSet {
  const common = { address: BACKEND, priority: 0, weight: 100, key: undefined };
  return { kind: 'known', backends: ports.map((port) => ({ ...common, port })) };
}

/** Resolves when the connection has ended; with whether it was accepted and not reset. */
async function isServed(port: number): Promise<boolean> {
  const socket = connect({ host: GATEWAY, port, localAddress: GATEWAY });
  const [error] = await Promise.race([
    once(socket, 'close').then(() => []),
    new Promise<Error[]>((resolve) => socket.once('error', (one) => resolve([one]))),
  ]);
  return error === undefined;
}

test('Each link of a container has a state of its own in the log', options, async (context) => {
  const lines: string[] = [];
  const note = (fields: object, message: string) =>
    void lines.push(`${JSON.stringify(fields)} ${message}`);
  const log: Log = {
    ...{ debug: note, info: note, warn: note, error: note, setLevel: () => {}, close: () => {} },
  };
  const server = createServer((socket) => socket.end()).listen(80, BACKEND);
  await once(server, 'listening');
  context.after(() => server.close());
  const plane = new ProxyHostPlane({ ...settingsOfVip(), carrier: 'net' }, [GATEWAY], log);
  context.after(() => plane.close());
  plane.set(linkAt(6379), backendsAt(80));
  plane.set(linkAt(3306), backendsAt());
  await until('both listen', async () => (await isServed(6379)) && !(await isServed(3306)));
  for (let round = 0; round < 3; round++) {
    assert.equal(await isServed(6379), true);
    assert.equal(await isServed(3306), false);
  }
  assert.deepEqual(
    lines.map((line) => line.replace(/^.*"route":"([^"]+)".*\} /, '$1: ')),
    [`${ORIGIN}, port 3306/tcp: a route has no backend; its connections are refused`],
  );
});
