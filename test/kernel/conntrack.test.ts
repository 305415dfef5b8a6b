/** Flows that the kernel of this machine tracks, in a network namespace of the test. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import test, { before } from 'node:test';
import { type Conntrack, openConntrack } from '../../src/kernel/conntrack.ts';
import type { FlowFilter, TrackedFlow } from '../../src/kernel/conntrackMessage.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';
import { until } from '../support/until.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };

let conntrack: Conntrack;

before(() => {
  if (noOwnNetwork !== undefined) return;
  enterOwnNetwork();
  command('ip', 'address', 'add', '10.9.0.1/24', 'dev', 'lo');
  // A rule that looks at states switches tracking on.
  for (const family of ['ip', 'ip6']) {
    command('nft', `add table ${family} t`);
    command('nft', `add chain ${family} t c { type filter hook output priority 0; }`);
    command('nft', `add rule ${family} t c ct state new counter`);
  }
  command('nft', 'add chain ip t n { type nat hook output priority -100; }');
  const opened = openConntrack();
  if (opened.kind === 'missing') assert.fail(opened.reason);
  conntrack = opened.conntrack;
});

/** The end of a connection may not arrive after its entry was deleted. */
function keep(socket: Socket): void {
  socket.on('error', () => {}).unref();
}

function flows(filter: FlowFilter): readonly TrackedFlow[] {
  const listed = conntrack.list(filter);
  if (listed.kind === 'failed') assert.fail(listed.code);
  return listed.entries;
}

test(
  'A connection whose destination is translated has both destinations, and can be deleted',
  options,
  async () => {
    const server = createServer(keep).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    command('nft', `add rule ip t n tcp dport 81 dnat to 127.0.0.1:${port}`);
    const client = connect(81, '10.9.0.1');
    await once(client, 'connect');

    const filter = {
      family: 4,
      destination: '10.9.0.1',
      port: { protocol: 'tcp', number: 81 },
    } as const;
    const [flow, ...others] = flows(filter);
    assert.ok(flow);
    assert.deepEqual(others, []);
    assert.equal(flow.tcpState, 'established');
    assert.deepEqual([flow.reply.source, flow.reply.sourcePort], ['127.0.0.1', port]);
    assert.equal(flow.original.sourcePort, client.localPort);
    assert.deepEqual(flows({ ...filter, destination: '10.9.0.2' }), []);
    assert.deepEqual(flows({ ...filter, source: '10.9.0.2' }), []);
    assert.deepEqual(flows({ ...filter, port: { protocol: 'udp', number: 81 } }), []);

    assert.equal(conntrack.delete(flow), true);
    assert.equal(conntrack.delete(flow), false);
    assert.deepEqual(flows(filter), []);
    client.destroy();
    server.close();
  },
);

test('A flow with another id than the deleted one stays', options, async () => {
  const socket = createSocket('udp4');
  socket.send('x', 99, '10.9.0.1');
  const filter = { family: 4, port: { protocol: 'udp', number: 99 } } as const;
  await until('the kernel tracks the datagram', () => flows(filter).length === 1);
  const [flow] = flows(filter);
  assert.ok(flow);
  assert.equal(flow.tcpState, undefined);
  assert.equal(conntrack.delete({ ...flow, id: ((flow.id ?? 0) ^ 1) >>> 0 }), false);
  assert.deepEqual(flows(filter), [flow]);
  assert.equal(conntrack.delete(flow), true);
  socket.close();
});

test('IPv6 flows are filtered by address too', options, async () => {
  const server = createServer(keep).listen(0, '::1');
  await once(server, 'listening');
  const { port: number } = server.address() as AddressInfo;
  const client = connect(number, '::1');
  await once(client, 'connect');
  const port = { protocol: 'tcp', number } as const;
  assert.equal(flows({ family: 6, port }).length, 1);
  assert.equal(flows({ family: 6, port, source: '::1', destination: '::1' }).length, 1);
  assert.deepEqual(flows({ family: 6, port, destination: '::2' }), []);
  assert.deepEqual(flows({ family: 4, port }), []);
  client.destroy();
  server.close();
});
