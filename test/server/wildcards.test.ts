/** Wildcard queries, which may select every service: the limit of a query's cost, and how long its answer is kept. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { Message } from '../../src/dns/message.ts';
import { printRdata, printRr } from '../../src/dns/presentation/presentation.ts';
import { createResponder } from '../../src/server/responder.ts';
import { NO_FACTS } from '../../src/zone/tree/view.ts';
import { catalogOf, question, respond, type Services, settingsOf } from '../support/zone.ts';

function many(count: number, of: (i: number) => unknown): Services {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => {
      return [`local/skydns/e${i % 4}/r${i % 7}/i${i}`, of(i)];
    }),
  );
}

const address = (i: number) => `10.0.${i >> 8}.${i & 255}`;

describe('a wildcard query over UDP', () => {
  const catalog = catalogOf(many(3_000, (i) => ({ host: address(i), port: 80 })));
  const room = { roomOctets: 1232 };

  it('A wildcard over UDP selects no more than the reply can hold, and sets TC', () => {
    for (const [type, least, most] of [
      ['A', 70, 80],
      ['SRV', 20, 40],
    ] as const) {
      const response = respond(catalog, 'any.any.any.skydns.local.', type, room);
      assert.equal(response.truncated, true, type);
      assert.ok(response.answer.length >= least && response.answer.length <= most, type);
    }
  });

  it('Repeated wildcard queries over UDP start at different services, and together reach all of them', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 400; i++) {
      const asked = { ...room, sampleStart: (i * 0.618_034) % 1 };
      const { answer } = respond(catalog, '*.*.*.skydns.local.', 'A', asked);
      for (const rr of answer) seen.add(printRdata(rr));
    }
    assert.equal(seen.size, 3_000);
  });

  it('Repeated wildcard queries start at different services even if only the reply is too small for all', () => {
    const few = catalogOf(many(60, (i) => ({ host: address(i), port: 80 })));
    for (const [type, roomOctets] of [
      ['A', 512],
      ['SRV', 512],
      ['SRV', 1232],
    ] as const) {
      const seen = new Set<string>();
      for (let i = 0; i < 60; i++) {
        const sampleStart = (i * 0.618_034) % 1;
        const asked = { roomOctets, sampleStart, settings: { roundRobin: true } };
        const response = respond(few, 'any.any.any.skydns.local.', type, asked);
        assert.equal(response.truncated, true);
        for (const rr of response.answer) seen.add(printRdata(rr));
      }
      assert.equal(seen.size, 60, `${type} in ${roomOctets}`);
    }
  });

  it('A wildcard over UDP ends a long search without a match, and sets TC', () => {
    const overUdp = respond(catalog, 'zzz.any.any.skydns.local.', 'A', room);
    assert.equal(overUdp.truncated ?? false, false, 'few names are looked at whole');
    const deep = catalogOf(many(30_000, (i) => ({ host: address(i) })));
    const cut = respond(deep, 'zzz.any.any.any.skydns.local.', 'A', room);
    assert.deepEqual([cut.truncated, cut.answer.length, cut.authority.length], [true, 0, 0]);
    const overTcp = respond(deep, 'zzz.any.any.any.skydns.local.', 'A');
    assert.deepEqual([overTcp.truncated, overTcp.authority.length], [undefined, 1]);
  });

  it('A wildcard counts an address that many services share once', () => {
    const one = catalogOf(many(900, (i) => ({ host: '10.0.0.1', port: i + 1 })));
    const response = respond(one, 'any.any.any.skydns.local.', 'A', room);
    assert.equal(response.truncated, undefined);
    assert.deepEqual(response.answer.map(printRdata), ['10.0.0.1']);
  });

  it('A wildcard is answered whole over TCP', () => {
    const few = catalogOf(many(900, (i) => ({ host: address(i) })));
    assert.equal(respond(few, 'any.any.any.skydns.local.', 'A').answer.length, 900);
  });
});

describe('an aggregate with more services than a selection', () => {
  it('A sampled aggregate over UDP has no more records than the reply can hold', () => {
    const catalog = catalogOf(many(5_000, (i) => ({ host: address(i), port: 80 })));
    const { answer, truncated } = respond(catalog, 'skydns.local.', 'SRV', { roomOctets: 1232 });
    assert.ok(answer.length < 40 && truncated === true);
  });
});

describe("a wildcard's answer", () => {
  const catalog = catalogOf(many(3_000, (i) => ({ host: address(i), port: 80 })));
  let nowMs = 5_000;
  let version = 1;
  let settings = settingsOf();
  const respondTo = createResponder({
    root: catalog.root,
    version: () => version,
    settings: () => settings,
    freshness: () => 'synced',
    facts: NO_FACTS,
    forwarder: () => undefined,
    mayRecurse: () => false,
    mayRebind: () => true,
    maxUdpOctets: 1232,
    monotonicMs: () => nowMs,
    unixSeconds: () => 7_300,
    random: () => 0,
    onError(error) {
      throw error;
    },
  });

  function ask(qname: string, transport: 'udp' | 'tcp' = 'tcp', localAddress?: string): Message {
    const packet = encodeQuery({
      id: 1,
      question: question(qname, 'A'),
      recursionDesired: true,
      checkingDisabled: false,
      edns: { udpSize: 1232, dnssecOk: false },
    });
    let message: Message | undefined;
    respondTo(packet, { transport, address: '192.0.2.1', port: 5_353, localAddress }, (reply) => {
      message = decodeMessage(reply);
    });
    assert.ok(message);
    return message;
  }

  const part = (qname: string) => ask(qname).answer.map(printRdata).sort().join(' ');

  it('The answer to a wildcard is kept for the rest of its second, for every spelling', () => {
    const first = part('any.*.any.skydns.local.');
    assert.equal(part('*.ANY.*.SkyDNS.local.'), first);
    nowMs += 1_000;
    assert.notEqual(part('any.*.any.skydns.local.'), first, 'a sample is another one each time');
  });

  it('The kept answer to a wildcard has the qname in the case of each client', () => {
    ask('any.any.e1.skydns.local.');
    const owners = new Set(
      ask('*.Any.E1.skydns.LOCAL.').answer.map((rr) => printRr(rr).split('\t')[0]),
    );
    assert.deepEqual([...owners], ['*.Any.E1.skydns.LOCAL.']);
  });

  it('The kept answer to a wildcard does not survive a change of the data or the settings', () => {
    const first = part('any.any.any.skydns.local.');
    version++;
    const second = part('any.any.any.skydns.local.');
    assert.notEqual(second, first);
    settings = { ...settings };
    assert.notEqual(part('any.any.any.skydns.local.'), second);
  });

  it('The address of the ambassador is not kept for other clients in a domain with the label any', () => {
    const before = settings;
    settings = { ...settings, apexes: [['any', 'local']], ambassador: true };
    for (const address of ['172.17.0.1', '172.18.0.1']) {
      const { answer } = ask('ambassador.dns.any.local.', 'tcp', address);
      assert.deepEqual(answer.map(printRdata), [address]);
    }
    settings = before;
  });

  it('The kept answer to a wildcard over UDP is not used over TCP', () => {
    const overUdp = ask('any.any.any.skydns.local.', 'udp');
    assert.ok(overUdp.truncated && overUdp.answer.length < 100);
    assert.equal(ask('any.any.any.skydns.local.').answer.length, 1_000);
  });
});
