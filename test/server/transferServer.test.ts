/** Questions for zones: which replies they get over UDP and TCP. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { accept } from '../../src/dns/accept.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery, encodeResponse } from '../../src/dns/encode.ts';
import { authoritative, type DnsClient, type Respond } from '../../src/dns/message.ts';
import { equalNames, nameKey } from '../../src/dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../../src/dns/rr.ts';
import { replyLimit } from '../../src/dns/truncate.ts';
import {
  type TransferReport,
  TransferServer,
  type TransferServerOptions,
} from '../../src/server/transfer/transferServer.ts';
import { transferQuestion } from '../../src/transfer/transferReader.ts';
import { parseTransferRule, transferPolicy } from '../../src/transfer/transferRules.ts';
import { signQuery } from '../../src/transfer/tsig.ts';
import type { TsigKey } from '../../src/transfer/tsigKeys.ts';
import { ZoneVersions } from '../../src/transfer/zoneVersions.ts';
import { childrenInOrder } from '../../src/zone/contents.ts';
import { catalogOf, name, question, viewOf } from '../support/zone.ts';

const APEX = name('skydns.local.');

function client(transport: 'udp' | 'tcp', address = '10.0.0.2'): DnsClient {
  return { transport, address, port: 5353 };
}

function zone(): ZoneVersions {
  const data = viewOf(catalogOf({ 'local/skydns/a': { host: '10.0.0.1', port: -1 } }));
  const made = new ZoneVersions({
    ...{ apex: data.settings.apexes[0] ?? [], data, inOrder: childrenInOrder },
    ...{ historyRecords: 10, aggregates: true, onSkipped: () => {} },
  });
  for (const _ of made.read());
  made.begin(7, []);
  return made;
}

function scene(overrides: Partial<TransferServerOptions> = {}) {
  const reports: TransferReport[] = [];
  const versions = zone();
  const server = new TransferServer({
    respond: (_packet, _client, send) => send(Uint8Array.of(1)),
    keys: () => new Map(),
    policy: () => transferPolicy([parseTransferRule('10.0.0.0/8') ?? assert.fail()]),
    zoneOf: (apex) => (equalNames(apex, APEX) ? versions : undefined),
    isApex: (apex) => equalNames(apex, APEX),
    mostTransfers: () => 1,
    maxUdpOctets: 1232,
    mayReply: () => true,
    unixSeconds: () => 0,
    monotonicMs: () => 0,
    onTransfer: (report) => reports.push(report),
    onError: (error) => {
      throw error;
    },
    ...overrides,
  });
  return { server, reports };
}

/** The rcodes of the replies, and the types of their records. */
function replies(
  { server }: ReturnType<typeof scene>,
  packet: Uint8Array,
  from = client('tcp'),
): { readonly rcode: number; readonly types: readonly number[] }[] {
  const all: Uint8Array[] = [];
  if (from.transport === 'udp') server.respond(packet, from, (reply) => all.push(reply));
  else {
    const stream = server.open(packet, from) ?? assert.fail('no transfer');
    for (let next = stream.next(); next !== undefined; next = stream.next()) {
      assert.ok(next !== 'broken');
      all.push(next);
    }
    stream.close();
  }
  return all.map((reply) => {
    const { rcode, answer } = decodeMessage(reply) ?? assert.fail('not a message');
    return { rcode, types: answer.map(({ type }) => type) };
  });
}

const AXFR = transferQuestion(1, APEX, undefined);
const SENT = [{ rcode: Rcode.NOERROR, types: [Type.SOA, Type.A, Type.A, Type.SOA] }];
const SOA = [{ rcode: Rcode.NOERROR, types: [Type.SOA] }];

describe('A question for a zone', () => {
  it('Over TCP AXFR gets the zone, and so does IXFR with an unknown serial', () => {
    assert.deepEqual(replies(scene(), AXFR), SENT);
    assert.deepEqual(replies(scene(), transferQuestion(1, APEX, 3)), SENT);
  });

  it('IXFR with the newest serial gets the SOA alone', () => {
    assert.deepEqual(replies(scene(), transferQuestion(1, APEX, 7)), SOA);
  });

  it('Over UDP IXFR gets the SOA alone, whatever its serial, and AXFR is refused', () => {
    assert.deepEqual(replies(scene(), transferQuestion(1, APEX, 3), client('udp')), SOA);
    const refused = [{ rcode: Rcode.REFUSED, types: [] }];
    assert.deepEqual(replies(scene(), AXFR, client('udp')), refused);
  });

  for (const [what, overrides, packet, from, rcode, result] of [
    [
      'a client outside --transfer-allow',
      {},
      AXFR,
      client('tcp', '192.0.2.1'),
      Rcode.REFUSED,
      'refused',
    ],
    [
      'any client without --transfer-allow',
      { policy: () => undefined },
      AXFR,
      client('tcp'),
      Rcode.REFUSED,
      'refused',
    ],
    [
      'a name that is no apex',
      {},
      transferQuestion(1, name('x.skydns.local.'), undefined),
      client('tcp'),
      Rcode.NOTAUTH,
      'refused',
    ],
    ['AXFR over UDP', {}, AXFR, client('udp'), Rcode.REFUSED, 'refused'],
    [
      'a zone that is not read yet',
      { zoneOf: () => undefined },
      AXFR,
      client('tcp'),
      Rcode.SERVFAIL,
      'not-ready',
    ],
  ] as const) {
    it(`A question for a zone by ${what} gets rcode ${rcode}, and is reported`, () => {
      const made = scene(overrides);
      assert.deepEqual(replies(made, packet, from), [{ rcode, types: [] }]);
      assert.deepEqual(
        made.reports.map((report) => report.result),
        [result],
      );
    });
  }

  it('More transfers than --transfers at a time are refused, until one of them has ended', () => {
    const made = scene();
    const first = made.server.open(AXFR, client('tcp')) ?? assert.fail();
    assert.deepEqual(replies(made, AXFR), [{ rcode: Rcode.REFUSED, types: [] }]);
    first.close();
    assert.deepEqual(replies(made, AXFR), SENT);
    assert.deepEqual(
      made.reports.map(({ kind, result }) => `${kind} ${result}`),
      ['axfr busy', 'axfr broken', 'axfr sent'],
    );
  });

  it('A question for a zone from source port 0 gets no reply', () => {
    for (const packet of [AXFR, transferQuestion(1, APEX, 3)]) {
      assert.deepEqual(replies(scene(), packet, { ...client('udp'), port: 0 }), []);
      assert.deepEqual(replies(scene(), packet, { ...client('tcp'), port: 0 }), []);
    }
  });

  it('A transfer whose records cannot be made breaks off, and the error is reported', () => {
    const versions = zone();
    const fault = new Error('a fault');
    const faulty: Pick<ZoneVersions, 'apex' | 'serial' | 'whole'> = {
      apex: versions.apex,
      serial: versions.serial,
      whole: () => ({
        kind: 'zone',
        records: (function* () {
          yield versions.soa();
          throw fault;
        })(),
      }),
    };
    const errors: unknown[] = [];
    const made = scene({
      zoneOf: () => faulty as ZoneVersions,
      onError: (error) => errors.push(error),
    });
    const stream = made.server.open(AXFR, client('tcp')) ?? assert.fail();
    assert.equal(stream.next(), 'broken');
    stream.close();
    assert.deepEqual(errors, [fault]);
    assert.deepEqual(
      made.reports.map(({ result }) => result),
      ['broken'],
    );
  });

  it('Over UDP a question for a zone gets no reply when its client is over the rate limit', () => {
    const made = scene({ mayReply: ({ address }) => address !== '10.0.0.2' });
    for (const packet of [AXFR, transferQuestion(1, APEX, 3)]) {
      assert.deepEqual(replies(made, packet, client('udp')), []);
      assert.equal(replies(made, packet, client('udp', '10.0.0.3')).length, 1);
    }
    assert.deepEqual(replies(made, AXFR, client('tcp')), SENT);
  });

  it('Any other question goes on to the responder', () => {
    const made = scene();
    const packet = Buffer.from(AXFR);
    packet.writeUInt16BE(Type.SOA, packet.length - 4);
    assert.equal(made.server.open(packet, client('tcp')), undefined);
    let reply: Uint8Array | undefined;
    made.server.respond(packet, client('udp'), (sent) => {
      reply = sent;
    });
    assert.deepEqual(reply, Uint8Array.of(1));
  });
});

describe('A signed question', () => {
  const key: TsigKey = {
    name: name('secondary.'),
    algorithm: 'hmac-sha256',
    secret: Buffer.from('a secret of the secondary'),
  };
  const plain = encodeQuery({
    ...{ id: 1, question: question('skydns.local.', 'A') },
    ...{ recursionDesired: false, checkingDisabled: false },
  });
  const { signed } = signQuery(plain, key, 0);
  /** More addresses than the longest message can have. */
  const rdatas = Array.from({ length: 5_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  const rrs = rdatas.map((address): Rr => {
    const plainRr = { owner: APEX, type: Type.A, class: Class.IN, ttlSeconds: 60 };
    return { ...plainRr, rdata: { kind: 'address', address } };
  });

  it('A signature that is too short for one gets FORMERR without TSIG', () => {
    const cut = Buffer.concat([signed.subarray(0, -6 - 32), signed.subarray(-6)]);
    const macAt = cut.length - 6;
    cut.writeUInt16BE(0, macAt - 2);
    const rdataAt = macAt - 2 - 8 - '\x0bhmac-sha256\0'.length - 2;
    cut.writeUInt16BE(cut.readUInt16BE(rdataAt) - 32, rdataAt);
    const { server } = scene({ keys: () => new Map([[nameKey(key.name), key]]) });
    let reply: Uint8Array | undefined;
    server.respond(cut, client('tcp'), (sent) => {
      reply = sent;
    });
    const { rcode, additional } = decodeMessage(reply ?? assert.fail()) ?? assert.fail();
    assert.deepEqual([rcode, additional], [Rcode.FORMERR, []]);
  });

  for (const [transport, limit] of [
    ['tcp', 65_535],
    ['udp', 512],
  ] as const) {
    it(`The longest reply over ${transport} leaves room for its signature`, () => {
      const respond: Respond = (packet, to, send) => {
        const read = accept(packet, to.port);
        assert.ok(read.kind === 'query');
        const response = authoritative(Rcode.NOERROR, rrs);
        send(encodeResponse(read.query, response, replyLimit(read.query, to)));
      };
      const { server } = scene({ respond, keys: () => new Map([[nameKey(key.name), key]]) });
      let reply: Uint8Array | undefined;
      server.respond(signed, client(transport), (sent) => {
        reply = sent;
      });
      assert.ok(reply !== undefined && reply.length <= limit && reply.length > limit - 32);
      const message = signQuery(plain, key, 0).verifier.verify(reply, 0);
      assert.ok(typeof message !== 'string', String(message));
      assert.equal(decodeMessage(message)?.truncated, true);
    });
  }
});
