/** The EDNS options of replies: the answer table and the slow path give the same ones. */
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { newRateMemory } from '../../src/dataplane/reply/rateLimiter.ts';
import {
  type ClientPolicy,
  PLAIN_POLICY,
  type RateLimit,
} from '../../src/dataplane/sockets/clientPolicy.ts';
import { Single } from '../../src/dataplane/table/counters.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { OptionCode } from '../../src/dns/edns.ts';
import { typeCode } from '../../src/dns/presentation/mnemonic.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { FastZone } from '../support/fastZone.ts';
import { rawOpt, rawOption, rawPacket, rawQuestion, unhex } from '../support/packets.ts';

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

const SECRET = Uint8Array.from(unhex('e5e973e5a6b2a43f48e7dc849e37bfcf'));
const COOKIES = { ...PLAIN_POLICY, cookieSecrets: [SECRET] };
const CLIENT_COOKIE = '2464c4abcf10c957';
const cookieOption = (hex: string): Buffer => rawOption(OptionCode.COOKIE, unhex(hex));

/** The cookie of a reply in hexadecimal digits: the last option. */
function cookieOf(reply: Buffer): string {
  assert.deepEqual(reply.subarray(-28, -24), Buffer.of(0, OptionCode.COOKIE, 0, 24));
  return reply.subarray(-24).toString('hex');
}

describe('Cookies', () => {
  for (const [what, asked] of [
    ['an address', { qname: 'web.skydns.local' }],
    ['no data', { qname: 'web.skydns.local', type: 'TXT' }],
    ['no name', { qname: 'nope.skydns.local' }],
  ] as const) {
    it(`An answer with ${what} has the same cookie on both paths, with and without an NSID`, (t) => {
      mock.timers.enable({ apis: ['Date'], now: 1_559_731_985_000 });
      t.after(() => mock.timers.reset());
      const zone = zoneWithRecords();
      for (const policy of [COOKIES, { ...COOKIES, nsid: NSID }]) {
        zone.setPolicy(policy);
        let cookie = CLIENT_COOKIE;
        for (let round = 0; round < 3; round++) {
          const packet = packetOf({ ...asked, options: [cookieOption(cookie), nsidOption] });
          for (const transport of ['udp', 'tcp'] as const) {
            const { fast, slow } = repliesOf(zone, packet, transport);
            assert.deepEqual(fast, slow);
            assert.equal(fast.includes(NSID), policy.nsid !== undefined);
            cookie = cookieOf(fast);
          }
          assert.ok(cookie.startsWith(`${CLIENT_COOKIE}01000000`));
        }
      }
      const { cookiesNew, cookiesValid, cookiesInvalid } = Single;
      assert.ok((zone.counters[cookiesNew] as number) > 0);
      assert.ok((zone.counters[cookiesValid] as number) > 0);
      assert.equal(zone.counters[cookiesInvalid], 0);
    });
  }

  it('A wrong cookie is answered like none, with a new cookie', () => {
    const zone = zoneWithRecords();
    zone.setPolicy(COOKIES);
    const wrong = `${CLIENT_COOKIE}0100000000000000${'11'.repeat(8)}`;
    const packet = packetOf({ qname: 'web.skydns.local', options: [cookieOption(wrong)] });
    for (const reply of Object.values(repliesOf(zone, packet))) {
      assert.equal(decodeMessage(reply)?.answer.length, 1);
      assert.notEqual(cookieOf(reply), wrong);
    }
  });

  it('A cookie of an impossible length gets FORMERR, and no answer from the table', () => {
    const zone = zoneWithRecords();
    zone.setPolicy(COOKIES);
    const ask = (octets: number) =>
      packetOf({ qname: 'web.skydns.local', options: [cookieOption('01'.repeat(octets))] });
    repliesOf(zone, ask(8));
    for (const octets of [0, 7, 9, 15, 41]) {
      assert.equal(zone.fast(ask(octets)), Outcome.SLOW);
      const message = decodeMessage(zone.slow(ask(octets)) as Buffer);
      assert.equal(message?.rcode, Rcode.FORMERR, `${octets} octets`);
      assert.deepEqual(message?.answer, []);
    }
  });

  it('Without --cookies every cookie is ignored', () => {
    const zone = zoneWithRecords();
    for (const octets of [0, 8, 24, 41]) {
      const options = [cookieOption('01'.repeat(octets))];
      const { fast, slow } = repliesOf(zone, packetOf({ qname: 'web.skydns.local', options }));
      assert.deepEqual(fast, slow);
      assert.deepEqual(fast.subarray(-2), Buffer.of(0, 0));
    }
  });
});

describe('The rate limit', () => {
  const limited = (fields: Partial<RateLimit> = {}): ClientPolicy => ({
    ...COOKIES,
    rateLimit: {
      ...{ perSecond: 5, slip: 1, ipv4Bits: 24, ipv6Bits: 56, exempt: [] },
      memory: newRateMemory(7),
      ...fields,
    },
  });
  /** Asks `count` times; each reply in a word. */
  function askTimes(
    path: 'fast' | 'slow',
    count: number,
    policy: ClientPolicy,
    options: Buffer[] = [],
  ) {
    const zone = zoneWithRecords();
    const packet = packetOf({ qname: 'web.skydns.local', options });
    if (path === 'fast') repliesOf(zone, packet);
    zone.setPolicy(policy);
    return Array.from({ length: count }, () => {
      const reply = path === 'fast' ? zone.fast(packet) : zone.slow(packet);
      if (reply === Outcome.DROP || reply === undefined) return 'nothing';
      const message = typeof reply === 'number' ? undefined : decodeMessage(reply);
      if (message?.rcode === Rcode.BADCOOKIE) return 'BADCOOKIE';
      return message?.truncated === true ? `TC ${message.answer.length}` : 'answer';
    });
  }
  const times = (count: number, word: string): string[] => new Array(count).fill(word);

  for (const path of ['fast', 'slow'] as const) {
    it(`Over the limit a client gets TC, nothing, or BADCOOKIE if it has a cookie (${path})`, () => {
      const five = times(5, 'answer');
      assert.deepEqual(askTimes(path, 8, limited()), [...five, ...times(3, 'TC 0')]);
      assert.deepEqual(askTimes(path, 8, limited({ slip: 0 })), [...five, ...times(3, 'nothing')]);
      const cookie = [cookieOption(CLIENT_COOKIE)];
      assert.deepEqual(askTimes(path, 8, limited(), cookie), [...five, ...times(3, 'BADCOOKIE')]);
      const exempt = [{ address: '192.0.2.0', prefixLength: 24 }];
      assert.deepEqual(askTimes(path, 8, limited({ exempt })), times(8, 'answer'));
    });
  }

  it('A BADCOOKIE has a cookie, and with it the client has no limit', () => {
    const zone = zoneWithRecords();
    const first = packetOf({ qname: 'web.skydns.local', options: [cookieOption(CLIENT_COOKIE)] });
    repliesOf(zone, first);
    zone.setPolicy(limited());
    const replies = Array.from({ length: 6 }, () => zone.fast(first) as Buffer);
    const cookie = cookieOf(replies[5] as Buffer);
    assert.equal(decodeMessage(replies[5] as Buffer)?.rcode, Rcode.BADCOOKIE);
    const proven = packetOf({ qname: 'web.skydns.local', options: [cookieOption(cookie)] });
    for (let i = 0; i < 20; i++) {
      for (const reply of [zone.fast(proven), zone.slow(proven)])
        assert.equal(decodeMessage(reply as Buffer)?.answer.length, 1);
    }
  });

  it('One name has one limit, whether the table or the slow path answers', () => {
    const zone = zoneWithRecords();
    const packet = packetOf({ qname: 'WEB.skydns.local', options: [] });
    repliesOf(zone, packet);
    zone.setPolicy(limited({ slip: 0 }));
    for (let i = 0; i < 3; i++) assert.ok(typeof zone.fast(packet) !== 'number');
    for (let i = 0; i < 2; i++) assert.ok(zone.slow(packet) !== undefined);
    assert.equal(zone.slow(packet), undefined);
    assert.equal(zone.fast(packet), Outcome.DROP);
  });

  it('A question that the table leaves to the slow path counts once', () => {
    const zone = zoneWithRecords();
    zone.put('local/skydns/long', { text: 'l'.repeat(700) });
    const asked = { qname: 'long.skydns.local', type: 'TXT', options: [] };
    repliesOf(zone, packetOf(asked));
    zone.setPolicy(limited({ slip: 0 }));
    const short = packetOf({ ...asked, udpSize: 512 });
    for (let i = 0; i < 5; i++) {
      assert.equal(zone.fast(short), Outcome.SLOW);
      assert.ok(zone.slow(short) !== undefined, `${i}`);
    }
    assert.equal(zone.slow(short), undefined);
  });

  it('Names that a stored wildcard answers for share one limit on the slow path', () => {
    const zone = zoneWithRecords();
    zone.put('local/skydns/apps/*', { host: '10.0.0.2' });
    zone.setPolicy(limited({ slip: 0 }));
    const replies = Array.from({ length: 9 }, (_, i) =>
      zone.slow(packetOf({ qname: `x${i}.apps.skydns.local`, options: [] })),
    );
    assert.equal(replies.filter((reply) => reply === undefined).length, 4);
  });

  it('Names that do not exist share the limit of their zone, and do not touch that of a name', () => {
    const zone = zoneWithRecords();
    repliesOf(zone, packetOf({ qname: 'web.skydns.local', options: [] }));
    zone.setPolicy(limited({ slip: 0 }));
    const missing = Array.from({ length: 9 }, (_, i) =>
      zone.fast(packetOf({ qname: `x${i}.skydns.local`, options: [] })),
    );
    assert.equal(missing.filter((reply) => reply === Outcome.DROP).length, 4);
    const reply = zone.fast(packetOf({ qname: 'web.skydns.local', options: [] }));
    assert.ok(typeof reply !== 'number');
    zone.nowMs += 1000;
    const later = zone.fast(packetOf({ qname: 'x.skydns.local', options: [] }));
    assert.ok(typeof later !== 'number');
  });

  it('Replies over TCP have no limit', () => {
    const zone = zoneWithRecords();
    const packet = packetOf({ qname: 'web.skydns.local', options: [] });
    zone.setPolicy(limited());
    for (let i = 0; i < 20; i++) {
      const message = decodeMessage(zone.slow(packet, 'tcp') as Buffer);
      assert.equal(message?.answer.length, 1);
    }
  });
});
