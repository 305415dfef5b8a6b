/** The records of the registrar's host itself, which Consul's names of nodes lead to. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { nodeRecords } from '../../src/registrar/nodeRecords.ts';
import { parseService } from '../../src/service/service.ts';
import { registrarContext } from '../support/inspection.ts';
import { KEY, WEB, withRegistrarFixture } from '../support/registrarFixture.ts';

const NODE = 'local/skydns/dns/node/fakehost';
const node = true;

test('With --node the host has a record, which is renewed, kept over a restart, and removed without the option', () =>
  withRegistrarFixture(async (fixture) => {
    fixture.engine.run({ name: 'web', ...WEB });
    const first = fixture.start({ context: { node } });
    await fixture.settle();
    assert.deepEqual(await fixture.hosts(), { [NODE]: '192.0.2.1', [KEY]: '172.17.0.2' });
    assert.deepEqual([...first.registrar.host.localBackends().keys()], [`/skydns/${KEY}`]);
    await fixture.advance(120_000);
    assert.ok((await fixture.keys()).includes(NODE));
    const { createRevision } = (await fixture.store.get(`/skydns/${NODE}`)).entry ?? {};
    await fixture.end(first);
    const second = fixture.start({ context: { node } });
    await fixture.settle();
    assert.equal(
      (await fixture.store.get(`/skydns/${NODE}`)).entry?.createRevision,
      createRevision,
    );
    assert.equal(second.registrar.isUpToDate(), true);
    await fixture.end(second);
    fixture.start();
    await fixture.settle();
    assert.deepEqual(await fixture.keys(), [KEY]);
  }));

test('A host without an address has no record until it gets one, and its record follows the address', () =>
  withRegistrarFixture(async (fixture) => {
    fixture.hostAddress = undefined;
    fixture.start({ context: { node } });
    await fixture.settle();
    assert.deepEqual(await fixture.keys(), []);
    for (const address of ['192.0.2.7', '192.0.2.8']) {
      fixture.hostAddress = address;
      await fixture.advance(120_000);
      assert.deepEqual(await fixture.hosts(), { [NODE]: address });
    }
  }));

test('A host whose name another host has waits for it, says so, and takes it when it is free', () =>
  withRegistrarFixture(async (fixture) => {
    const value = JSON.stringify({ host: '192.0.2.9', owner: { r: 'X', c: 'c', s: 's' } });
    await fixture.store.put(`/skydns/${NODE}`, Buffer.from(value));
    const running = fixture.start({ context: { node } });
    await fixture.settle();
    assert.equal((await fixture.hosts())[NODE], '192.0.2.9');
    const [conflict] = running.events.flatMap((event) =>
      event.kind === 'conflict' ? [event] : [],
    );
    assert.equal(conflict?.key, `/skydns/${NODE}`);
    await fixture.store.delete(`/skydns/${NODE}`);
    await fixture.settle();
    assert.equal((await fixture.hosts())[NODE], '192.0.2.1');
  }));

const TEXTS = { node, nodeMeta: ['rack=7', 'zone=b', 'note='] };

function stored(context: Parameters<typeof registrarContext>[0], hostName: string) {
  const hostAddresses = { v4: '192.0.2.1', v6: '2001:db8::1' };
  return nodeRecords(registrarContext({ hostAddresses, ...context }), hostName, 'R').map(
    ({ record: { key, fields } }) => `${key} ${fields.host} ${fields.text ?? '-'}`,
  );
}

test('Each address and each text of a host has a record', () => {
  const base = '/skydns/local/skydns/dns/node/b/a';
  assert.deepEqual(stored({ node }, 'A.b'), [`${base}/1 192.0.2.1 -`, `${base}/2 2001:db8::1 -`]);
  assert.deepEqual(stored({ ...TEXTS, ip: '192.0.2.5' }, 'a.b'), [
    `${base}/1 192.0.2.5 rack=7`,
    `${base}/2 192.0.2.5 zone=b`,
    `${base}/3 192.0.2.5 note=`,
  ]);
  assert.deepEqual(stored({ node, ip: '192.0.2.5' }, 'a.b'), [`${base} 192.0.2.5 -`]);
});

test('A host name that is no name in DNS gives no record, and any other gives valid values', () => {
  for (const hostName of ['', '.', '-', 'a b', 'ä', '*', 'x'.repeat(64), `${'a.'.repeat(120)}a`])
    assert.deepEqual(stored(TEXTS, hostName), [], hostName);
  assert.deepEqual(stored({}, 'a'), []);
  fc.assert(
    fc.property(fc.string(), (hostName) => {
      for (const { value } of nodeRecords(
        registrarContext({ ...TEXTS, ip: '192.0.2.1' }),
        hostName,
        'R',
      ))
        assert.equal(parseService(value).kind, 'service');
    }),
  );
});
