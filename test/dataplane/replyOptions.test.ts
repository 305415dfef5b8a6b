/** The EDNS options of replies: the answer table and the slow path give the same ones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PLAIN_POLICY } from '../../src/dataplane/sockets/clientPolicy.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { OptionCode } from '../../src/dns/edns.ts';
import { typeCode } from '../../src/dns/mnemonic.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { FastZone } from '../support/fastZone.ts';
import { rawOpt, rawOption, rawPacket, rawQuestion } from '../support/packets.ts';

const NSID = 'ns1.example.org';

function zoneWithRecords(): FastZone {
  const zone = new FastZone();
  zone.put('local/skydns/web', { host: '10.0.0.1' });
  for (let i = 0; i < 80; i++) zone.put(`local/skydns/many/${i}`, { host: `10.0.1.${i}` });
  zone.setFreshness('synced');
  return zone;
}

interface Asked {
  readonly qname: string;
  readonly type?: string;
  readonly udpSize?: number;
  readonly flags?: number;
  readonly options: readonly Buffer[];
}

function packetOf({ qname, type = 'A', udpSize = 1232, flags = 0, options }: Asked): Buffer {
  const opt = rawOpt({ udpSize, flags, rdata: Buffer.concat(options) });
  return rawPacket({ counts: [1, 0, 0, 1], body: [rawQuestion(qname, typeCode(type)), opt] });
}

/** The replies of both paths, once the table has the answer. */
function repliesOf(zone: FastZone, packet: Buffer, transport: 'udp' | 'tcp' = 'udp') {
  if (typeof zone.fast(packet, transport) === 'number') zone.publish(packet);
  const fast = zone.fast(packet, transport);
  const slow = zone.slow(packet, transport);
  assert.ok(typeof fast !== 'number' && slow !== undefined, `${fast}`);
  return { fast, slow };
}

const nsidOption = rawOption(OptionCode.NSID, Buffer.of());
const expectedNsid = rawOption(OptionCode.NSID, Buffer.from(NSID));

describe('NSID', () => {
  for (const [what, asked] of [
    ['an address', { qname: 'web.skydns.local' }],
    ['no data', { qname: 'web.skydns.local', type: 'TXT' }],
    ['no name', { qname: 'nope.skydns.local' }],
    ['an address with DO', { qname: 'web.skydns.local', flags: 0x8000 }],
  ] as const) {
    it(`An answer with ${what} has the NSID for a client that asks for it, on both paths`, () => {
      const zone = zoneWithRecords();
      const packet = packetOf({ ...asked, options: [nsidOption] });
      for (const transport of ['udp', 'tcp'] as const) {
        zone.setPolicy(PLAIN_POLICY);
        const without = repliesOf(zone, packet, transport);
        assert.deepEqual(without.fast, without.slow);
        assert.ok(!without.fast.includes(expectedNsid));
        zone.setPolicy({ ...PLAIN_POLICY, nsid: NSID });
        const { fast, slow } = repliesOf(zone, packet, transport);
        assert.deepEqual(fast, slow);
        assert.deepEqual(fast.subarray(-expectedNsid.length), expectedNsid);
        assert.equal(fast.length, without.fast.length + expectedNsid.length);
        assert.ok(decodeMessage(fast), 'the message is well-formed');
      }
    });
  }

  it('A client that does not ask for the NSID gets none', () => {
    const zone = zoneWithRecords();
    zone.setPolicy({ ...PLAIN_POLICY, nsid: NSID });
    const { fast, slow } = repliesOf(zone, packetOf({ qname: 'web.skydns.local', options: [] }));
    assert.deepEqual(fast, slow);
    assert.ok(!fast.includes(NSID));
    const plain = rawPacket({ body: [rawQuestion('web.skydns.local')] });
    assert.ok(!repliesOf(zone, plain).fast.includes(NSID));
  });

  it('A reply that is stale has the NSID behind the extended error', () => {
    const zone = zoneWithRecords();
    zone.setPolicy({ ...PLAIN_POLICY, nsid: NSID });
    const packet = packetOf({ qname: 'web.skydns.local', options: [nsidOption] });
    repliesOf(zone, packet);
    zone.setFreshness('stale');
    const { fast, slow } = repliesOf(zone, packet);
    assert.deepEqual(fast, slow);
    assert.ok(fast.includes('the store is unreachable') && fast.includes(NSID));
  });

  it('A reply with the NSID never exceeds what the client can receive', () => {
    const zone = zoneWithRecords();
    zone.setPolicy({ ...PLAIN_POLICY, nsid: 'x'.repeat(64) });
    for (let udpSize = 500; udpSize < 620; udpSize++) {
      const asked = { qname: 'many.skydns.local', udpSize, options: [nsidOption] };
      const { fast, slow } = repliesOf(zone, packetOf(asked));
      const [a, b] = [decodeMessage(fast), decodeMessage(slow)];
      assert.ok(fast.length <= Math.max(udpSize, 512), `${fast.length} of ${udpSize}`);
      assert.equal(a?.rcode, Rcode.NOERROR);
      assert.equal(a.answer.length, b?.answer.length, `${udpSize}`);
      assert.ok(a.truncated && a.answer.length > 20);
    }
  });
});
