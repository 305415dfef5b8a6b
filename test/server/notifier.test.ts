import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeMessage } from '../../src/dns/decode.ts';
import { Notifier } from '../../src/server/transfer/notifier.ts';
import { recordOf } from '../../src/transfer/records.ts';
import type { NotifyTarget } from '../../src/transfer/transferRules.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { name } from '../support/zone.ts';

const APEX = name('skydns.local.');
const SERVER = { address: '10.0.0.2', port: 53 };
const TARGET: NotifyTarget = { server: SERVER, key: undefined };

function soa(serial: number) {
  const numbers = { refreshSeconds: 1, retrySeconds: 1, expireSeconds: 1, minimumSeconds: 1 };
  const rdata = { kind: 'soa', mname: [], rname: [], serial, ...numbers } as const;
  const octets = recordOf({ owner: APEX, type: 6, class: 1, ttlSeconds: 60, rdata });
  return { owner: '\x06skydns\x05local', octets };
}

function scene(target = TARGET) {
  const clock = new FakeClock();
  const sent: { readonly atMs: number; readonly packet: Uint8Array }[] = [];
  const results: string[] = [];
  let id = 0;
  const notifier = new Notifier({
    targets: () => [target],
    keys: () => new Map(),
    clock,
    randomId: () => ++id,
    send: (packet) => sent.push({ atMs: clock.monotonicMs(), packet }),
    onResult: (_zone, _target, result) => results.push(result),
  });
  /** The reply to the last message. */
  const reply = (rcode = 0): Uint8Array => {
    const packet = Buffer.from(sent.at(-1)?.packet ?? assert.fail('nothing was sent'));
    packet.writeUInt8(packet.readUInt8(2) | 0x80, 2);
    packet.writeUInt8(rcode, 3);
    return packet;
  };
  const serials = () =>
    sent.map(({ packet }) => {
      const rdata = decodeMessage(packet)?.answer[0]?.rdata;
      return rdata?.kind === 'soa' ? rdata.serial : undefined;
    });
  return { clock, notifier, sent, results, reply, serials };
}

describe('Notifying a secondary', () => {
  it('A version is announced at once, with its SOA', async () => {
    const { clock, notifier, results, reply, serials } = scene();
    notifier.announce(APEX, soa(7));
    await clock.advance(1);
    assert.deepEqual(serials(), [7]);
    notifier.receive(reply(), SERVER);
    assert.deepEqual(results, ['acknowledged']);
    await clock.advance(100_000);
    assert.deepEqual(serials(), [7]);
  });

  it('The reply of a secondary at a link-local address counts, with and without the zone index', async () => {
    for (const zone of ['', '%eth0']) {
      const { clock, notifier, results, reply } = scene({
        server: { address: 'fe80::1%eth0', port: 53 },
        key: undefined,
      });
      notifier.announce(APEX, soa(7));
      await clock.advance(1);
      notifier.receive(reply(), { address: `fe80::1${zone}`, port: 53 });
      assert.deepEqual(results, ['acknowledged'], zone);
    }
  });

  it('A secondary gets at most one message in 5 s, about the newest version', async () => {
    const { clock, notifier, sent, reply, serials } = scene();
    notifier.announce(APEX, soa(1));
    await clock.advance(1);
    notifier.receive(reply(), SERVER);
    for (let serial = 2; serial < 10; serial++) {
      notifier.announce(APEX, soa(serial));
      await clock.advance(100);
    }
    assert.deepEqual(serials(), [1]);
    await clock.advance(5_000);
    assert.deepEqual(serials(), [1, 9]);
    assert.ok((sent[1]?.atMs ?? 0) - (sent[0]?.atMs ?? 0) >= 5_000);
  });

  it('A message without a reply is sent five times, after 1, 2, 4 and 8 s, then given up', async () => {
    const { clock, notifier, sent, results } = scene();
    notifier.announce(APEX, soa(1));
    await clock.advance(1);
    for (let second = 0; second < 40; second++) await clock.advance(1_000);
    const waits = sent
      .slice(1)
      .map(({ atMs }, i) => Math.round((atMs - (sent[i]?.atMs ?? 0)) / 1_000));
    assert.deepEqual(waits, [1, 2, 4, 8]);
    assert.deepEqual(results, ['unanswered']);
    notifier.announce(APEX, soa(2));
    await clock.advance(1);
    assert.equal(sent.length, 6);
  });

  it('A version that comes while a message waits for its reply is announced after the reply', async () => {
    const { clock, notifier, reply, serials } = scene();
    notifier.announce(APEX, soa(1));
    await clock.advance(1);
    const answer = reply();
    notifier.announce(APEX, soa(2));
    notifier.receive(answer, SERVER);
    await clock.advance(5_000);
    assert.deepEqual(serials(), [1, 2]);
  });

  it('Replies of other servers, and to other messages, do not count', async () => {
    const { clock, notifier, results, reply } = scene();
    notifier.announce(APEX, soa(1));
    await clock.advance(1);
    notifier.receive(reply(), { ...SERVER, port: 54 });
    const other = Buffer.from(reply());
    other.writeUInt16BE(999, 0);
    notifier.receive(other, SERVER);
    assert.deepEqual(results, []);
    notifier.receive(reply(9), SERVER);
    assert.deepEqual(results, ['refused']);
  });
});
