/** The client policy on the slow path, for packets that are no queries. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { newRateMemory } from '../../src/dataplane/reply/rateLimiter.ts';
import { PLAIN_POLICY } from '../../src/dataplane/sockets/clientPolicy.ts';
import { Single } from '../../src/dataplane/table/counters.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { AnswerCounters } from '../../src/server/answerCounters.ts';
import { ClientGate } from '../../src/server/clientGate.ts';
import { createResponder } from '../../src/server/responder.ts';
import { NO_FACTS } from '../../src/zone/tree/view.ts';
import { rawOpt, rawOption, rawPacket, rawQuestion } from '../support/packets.ts';
import { catalogOf, settingsOf } from '../support/zone.ts';

/** Sends packets to a server with a limit of five replies a second; gives the rcode of each reply. */
function limitedServer(slip: number) {
  const gate = new ClientGate({ monotonicMs: () => 0, unixSeconds: () => 0 }, 1);
  const limit = { perSecond: 5, slip, ipv4Bits: 24, ipv6Bits: 56, exempt: [] };
  gate.setPolicy({ ...PLAIN_POLICY, rateLimit: { ...limit, memory: newRateMemory(7) } });
  const counters = new AnswerCounters();
  const respond = createResponder({
    root: catalogOf({}).root,
    version: () => 1,
    settings: () => settingsOf(),
    freshness: () => 'synced',
    facts: NO_FACTS,
    forwarder: () => undefined,
    mayRecurse: () => true,
    mayRebind: () => true,
    maxUdpOctets: 1232,
    monotonicMs: () => 0,
    unixSeconds: () => 0,
    random: () => 0,
    onError: (error) => assert.ifError(error),
    ...{ gate, counters },
  });
  const rcodes: number[] = [];
  const send = (packet: Uint8Array, transport: 'udp' | 'tcp' = 'udp'): void =>
    respond(packet, { transport, address: '192.0.2.9', port: 4000 }, (reply) => {
      rcodes.push((reply[3] as number) & 15);
    });
  const dropped = () => counters.blocks[0]?.block[Single.rateDropped];
  return { send, rcodes, dropped };
}

const withOpt = (opt: Buffer) =>
  rawPacket({ counts: [1, 0, 0, 1], body: [rawQuestion('a.skydns.local'), opt] });

/** Each packet, and the rcode of its reply in the header. */
const REJECTED: readonly (readonly [string, Buffer, number])[] = [
  ['another opcode', rawPacket({ flags: 5 << 11 }), Rcode.NOTIMP],
  ['two questions', rawPacket({ counts: [2, 0, 0, 0] }), Rcode.FORMERR],
  ['a later version of EDNS', withOpt(rawOpt({ version: 1 })), Rcode.BADVERS & 15],
  [
    'a malformed option',
    withOpt(rawOpt({ rdata: rawOption(3, Buffer.of()).subarray(1) })),
    Rcode.FORMERR,
  ],
];

for (const slip of [0, 1])
  test(`All rejections of a network share the limit of its errors, and those over it are not sent at --rrl-slip ${slip}`, () => {
    const { send, rcodes, dropped } = limitedServer(slip);
    for (let i = 0; i < 3; i++) for (const [, packet] of REJECTED) send(packet);
    const expected = [...REJECTED, ...REJECTED].map(([, , rcode]) => rcode);
    assert.deepEqual(rcodes, expected.slice(0, 5));
    assert.equal(dropped(), 7);
  });

test('Rejections over TCP have no limit', () => {
  const { send, rcodes } = limitedServer(0);
  for (let i = 0; i < 3; i++) for (const [, packet] of REJECTED) send(packet, 'tcp');
  assert.equal(rcodes.length, 12);
});
