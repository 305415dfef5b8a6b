import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { DnsClient, Message, Question } from '../../src/dns/message.ts';
import type { Name } from '../../src/dns/name.ts';
import { printRdata } from '../../src/dns/presentation/presentation.ts';
import { Class, Rcode, type Rdata, type Rr, Type } from '../../src/dns/rr.ts';
import type { Forwarder } from '../../src/forward/forwarder.ts';
import type { Forwarded } from '../../src/forward/outcome.ts';
import { createResponder, type ResponderOptions } from '../../src/server/responder.ts';
import { NO_FACTS } from '../../src/zone/tree/view.ts';
import { rawOpt, rawPacket, rawQuestion, rawRr, u16, wireName } from '../support/packets.ts';
import { catalogOf, question, settingsOf, text } from '../support/zone.ts';

const CLIENT: DnsClient = { transport: 'udp', address: '127.0.0.1', port: 40_000 };

function responder(overrides: Partial<ResponderOptions> = {}) {
  const errors: unknown[] = [];
  const respond = createResponder({
    root: catalogOf({ 'local/skydns/web': { host: '10.0.0.1' } }).root,
    version: () => 1,
    settings: () => settingsOf(),
    freshness: () => 'synced',
    facts: NO_FACTS,
    forwarder: () => undefined,
    mayRecurse: () => true,
    mayRebind: () => true,
    maxUdpOctets: 1232,
    monotonicMs: () => 0,
    unixSeconds: () => 7_300,
    random: () => 0,
    onError: (error) => errors.push(error),
    ...overrides,
  });
  const ask = (asked: Question, client = CLIENT): Promise<Message> =>
    new Promise((resolve, reject) => {
      const packet = encodeQuery({
        id: 7,
        question: asked,
        recursionDesired: true,
        checkingDisabled: false,
        edns: { udpSize: 1232, dnssecOk: false },
      });
      respond(packet, client, (reply) => {
        const message = decodeMessage(reply);
        if (message === undefined) reject(new Error('not a message'));
        else resolve(message);
      });
    });
  return { respond, ask, errors };
}

function forwarderOf(resolve: (asked: Question) => Forwarded): Forwarder & { asked: Question[] } {
  const asked: Question[] = [];
  return {
    asked,
    peek: () => undefined,
    resolve: async (q) => {
      asked.push(q);
      return resolve(q);
    },
    close: async () => {},
  };
}

const TIMEOUT: Forwarded = { kind: 'failed', reason: 'timeout', text: 'no reply' };

describe('responder', () => {
  it('With round robin every address comes first in some replies, in the answer and as glue', async () => {
    const services: Record<string, unknown> = {
      'local/skydns/s': { host: 'web.skydns.local', port: 80 },
    };
    for (let i = 1; i <= 3; i++) services[`local/skydns/web/${i}`] = { host: `10.0.0.${i}` };
    const { ask } = responder({
      root: catalogOf(services).root,
      settings: () => settingsOf({ roundRobin: true }),
      random: Math.random,
    });
    const client: DnsClient = { ...CLIENT, transport: 'tcp' };
    const firsts = { answer: new Set<string>(), glue: new Set<string>() };
    for (let i = 0; i < 100; i++) {
      const direct = await ask(question('web.skydns.local.', 'A'), client);
      const service = await ask(question('s.skydns.local.', 'SRV'), client);
      firsts.answer.add(printRdata(direct.answer[0] as Rr));
      firsts.glue.add(printRdata(service.additional[0] as Rr));
    }
    assert.deepEqual([firsts.answer.size, firsts.glue.size], [3, 3]);
  });

  it('The responder sends no reply to a short packet, a response or a packet from source port 0', () => {
    const { respond } = responder();
    const reply = () => assert.fail('a reply was sent');
    respond(new Uint8Array(11), CLIENT, reply);
    const response = encodeQuery({
      id: 1,
      question: question('web.skydns.local.', 'A'),
      recursionDesired: false,
      checkingDisabled: false,
    });
    response[2] = (response[2] ?? 0) | 0x80;
    respond(response, CLIENT, reply);
    respond(response, { ...CLIENT, port: 0 }, reply);
  });

  it('The responder answers SERVFAIL after an internal error, and answers the next query', async () => {
    let broken = true;
    const catalog = catalogOf({ 'local/skydns/web': { host: '10.0.0.1' } });
    const { ask, errors } = responder({
      root: catalog.root,
      freshness: () => {
        if (broken) throw new Error('broken');
        return 'synced';
      },
    });
    const first = await ask(question('web.skydns.local.', 'A'));
    assert.equal(first.rcode, Rcode.SERVFAIL);
    assert.equal(errors.length, 1);
    broken = false;
    const second = await ask(question('web.skydns.local.', 'A'));
    assert.deepEqual(text(second.answer), ['web.skydns.local. 3600 IN A 10.0.0.1']);
  });

  it('The responder answers a signed query with NOTAUTH and the TSIG error BADKEY', () => {
    const rdata = Buffer.concat([wireName('hmac-sha256'), Buffer.alloc(8), u16(0, 1, 0, 0)]);
    const tsig = rawRr(wireName('key'), Type.TSIG, rdata);
    const packet = rawPacket({ counts: [1, 0, 0, 2], body: [rawQuestion(), rawOpt(), tsig] });
    let reply: Message | undefined;
    responder().respond(packet, CLIENT, (octets) => {
      reply = decodeMessage(octets);
    });
    assert.equal(reply?.rcode, Rcode.NOTAUTH);
    assert.deepEqual([reply?.answer, reply?.edns?.version], [[], 0]);
    const [record] = reply?.additional ?? [];
    const error = Buffer.from(record?.rdata.kind === 'unknown' ? record.rdata.octets : []);
    assert.deepEqual([record?.type, error.readUInt16BE(error.length - 4)], [Type.TSIG, 17]);
  });

  it('The responder sets RA only for clients that may use recursion', async () => {
    const forwarder = forwarderOf(() => TIMEOUT);
    const { ask } = responder({
      forwarder: () => forwarder,
      mayRecurse: (address) => address === '10.0.0.1',
    });
    const inside = await ask(question('web.skydns.local.', 'A'), {
      ...CLIENT,
      address: '10.0.0.1',
    });
    assert.equal(inside.recursionAvailable, true);
    const outside = await ask(question('web.skydns.local.', 'A'), {
      ...CLIENT,
      address: '192.0.2.1',
    });
    assert.equal(outside.recursionAvailable, false);
    const refused = await ask(question('example.com.', 'A'), { ...CLIENT, address: '192.0.2.1' });
    assert.equal(refused.rcode, Rcode.REFUSED);
    assert.equal(forwarder.asked.length, 0);
  });

  it('The responder answers SERVFAIL when the upstream fails', async () => {
    const { ask } = responder({ forwarder: () => forwarderOf(() => TIMEOUT) });
    assert.equal((await ask(question('www.example.com.', 'A'))).rcode, Rcode.SERVFAIL);
  });

  it('While the store loads, the responder answers SERVFAIL for names in the zones, and other names as usual', async () => {
    const { ask } = responder({ freshness: () => 'loading' });
    assert.equal((await ask(question('web.skydns.local.', 'A'))).rcode, Rcode.SERVFAIL);
    assert.equal((await ask(question('www.example.com.', 'A'))).rcode, Rcode.REFUSED);
  });

  it('One query leads to at most 64 questions to other servers', async () => {
    const services = Object.fromEntries(
      Array.from({ length: 100 }, (_, i) => [
        `local/skydns/far/${i}`,
        { host: `h${i}.example.com` },
      ]),
    );
    const forwarder = forwarderOf(() => TIMEOUT);
    const { ask } = responder({ root: catalogOf(services).root, forwarder: () => forwarder });
    const reply = await ask(question('far.skydns.local.', 'SRV'), { ...CLIENT, transport: 'tcp' });
    assert.equal(reply.answer.length, 100);
    assert.equal(forwarder.asked.length, 64);
  });

  it('The responder answers from stale data', async () => {
    const { ask } = responder({ freshness: () => 'stale' });
    const stale = await ask(question('web.skydns.local.', 'A'));
    assert.equal(stale.answer.length, 1);
  });
});

describe('errors while a query is answered', () => {
  it('An error of the query log costs neither the reply nor an exception', () => {
    const replies: unknown[] = [];
    const { respond, errors } = responder({
      onAnswered: () => {
        throw new Error('the log is broken');
      },
    });
    const packet = encodeQuery({
      id: 7,
      question: question('web.skydns.local.', 'A'),
      recursionDesired: true,
      checkingDisabled: false,
    });
    respond(packet, CLIENT, (reply) => replies.push(reply));
    assert.equal(replies.length, 1);
    assert.equal(errors.length, 1);
  });

  it('An error while sending a reply is reported and not thrown, whether the reply is sent at once or later', async () => {
    const broken = () => {
      throw new Error('the socket is broken');
    };
    const forwarder = forwarderOf(() => TIMEOUT);
    const answers: Promise<void>[] = [];
    const { respond, errors } = responder({
      forwarder: () => forwarder,
      onOutstanding: (answer) => answers.push(answer),
    });
    const flags = { id: 7, recursionDesired: true, checkingDisabled: false };
    const ours = encodeQuery({ ...flags, question: question('web.skydns.local.', 'A') });
    const others = encodeQuery({ ...flags, question: question('www.example.com.', 'A') });
    respond(ours, CLIENT, broken);
    respond(ours.subarray(0, ours.length - 1), CLIENT, broken); // the responder refuses this packet as malformed
    assert.equal(errors.length, 2);
    respond(others, CLIENT, broken);
    await Promise.all(answers);
    assert.equal(answers.length, 1);
    assert.equal(errors.length, 3);
  });

  for (const rcode of [Rcode.SERVFAIL, Rcode.REFUSED]) {
    it(`An upstream's rcode ${rcode} for a target gives SERVFAIL, never NODATA`, async () => {
      const forwarder = forwarderOf((asked) => ({
        kind: 'answered',
        message: messageOf(asked, rcode),
      }));
      const root = catalogOf({ 'local/skydns/www': { host: 'www.example.com' } }).root;
      const { ask } = responder({ root, forwarder: () => forwarder });
      assert.equal((await ask(question('www.skydns.local.', 'A'))).rcode, Rcode.SERVFAIL);
    });
  }

  it('A reverse name is not forwarded while the store is loading', async () => {
    const forwarder = forwarderOf(() => TIMEOUT);
    const { ask } = responder({ freshness: () => 'loading', forwarder: () => forwarder });
    const reply = await ask(question('1.0.0.10.in-addr.arpa.', 'PTR'));
    assert.equal(reply.rcode, Rcode.SERVFAIL);
    assert.equal(forwarder.asked.length, 0);
  });
});

describe('names whose servers the store may know', () => {
  it('No outside name is forwarded before the store has been read', async () => {
    for (const hasStubZones of [true, false]) {
      const forwarder = forwarderOf(() => TIMEOUT);
      const { ask } = responder({
        freshness: () => 'loading',
        hasStubZones: () => hasStubZones,
        forwarder: () => forwarder,
      });
      const reply = await ask(question('www.example.com.', 'A'));
      assert.equal(reply.rcode, Rcode.SERVFAIL);
      assert.equal(forwarder.asked.length, hasStubZones ? 0 : 1);
    }
  });
});

describe('names that lead out and back', () => {
  const services = {
    'local/skydns/ours': { host: '10.0.0.1' },
    'local/skydns/out': { host: 'www.example.com' },
    'local/skydns/mix/a': { host: '10.0.0.2', port: 80 },
    'local/skydns/mix/b': { host: 'slow.example.com', port: 80 },
  };
  /** Answers that the name is a CNAME into our zone, with forged records for the target. */
  const lying = forwarderOf((asked) => ({
    kind: 'answered',
    message: {
      ...messageOf(asked, Rcode.NOERROR),
      answer: [
        rrOf(asked.qname, Type.CNAME, { kind: 'name', target: ['ours', 'skydns', 'local'] }),
        rrOf(['ours', 'skydns', 'local'], Type.A, { kind: 'address', address: '6.6.6.6' }),
      ],
    },
  }));
  const expected = [
    'ours.skydns.local. 3600 IN A 10.0.0.1',
    'www.example.com. 60 IN CNAME ours.skydns.local.',
  ];

  it('An upstream cannot give records for names in our zones', async () => {
    const { ask } = responder({ root: catalogOf(services).root, forwarder: () => lying });
    const alias = await ask(question('out.skydns.local.', 'A'));
    assert.deepEqual(text(alias.answer), [
      ...expected.slice(0, 1),
      'out.skydns.local. 3600 IN CNAME www.example.com.',
      ...expected.slice(1),
    ]);
    const forwarded = await ask(question('www.example.com.', 'A'));
    assert.deepEqual(text(forwarded.answer), expected);
    assert.equal(forwarded.authoritative, false);
  });

  it('With round robin the addresses of a name outside come in changing order too', async () => {
    const forwarder = forwarderOf((asked): Forwarded => {
      const answer = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((address) =>
        rrOf(asked.qname, Type.A, { kind: 'address', address }),
      );
      return { kind: 'answered', message: { ...messageOf(asked, Rcode.NOERROR), answer } };
    });
    for (const roundRobin of [true, false]) {
      const { ask } = responder({
        forwarder: () => forwarder,
        settings: () => ({ ...settingsOf(), roundRobin }),
        random: Math.random,
      });
      const firsts = new Set<string>();
      for (let i = 0; i < 30; i++) {
        const { answer } = await ask(question('www.example.com.', 'A'));
        firsts.add(JSON.stringify(answer[0]?.rdata));
      }
      assert.equal(firsts.size, roundRobin ? 3 : 1);
    }
  });

  it('The answer to a question that was sent before a flush is not offered to the answer cache', async () => {
    const offered: string[] = [];
    const forwarder = forwarderOf((asked): Forwarded => {
      const message = messageOf(asked, Rcode.NOERROR);
      const isFlushed = asked.qname[0] === 'flushed';
      return { kind: 'answered', message, ...(isFlushed && { flushed: true }) };
    });
    const { ask } = responder({
      forwarder: () => forwarder,
      onForwarded: ({ qname }) => offered.push(qname.join('.')),
    });
    for (const name of ['flushed.example.com.', 'kept.example.com.'])
      assert.equal((await ask(question(name, 'A'))).rcode, Rcode.NOERROR);
    assert.deepEqual(offered, ['kept.example.com']);
  });

  it('An answer does not wait for optional records of a slow upstream', async () => {
    const never: Forwarder = {
      peek: () => undefined,
      resolve: () => new Promise(() => {}),
      close: async () => {},
    };
    const { ask } = responder({ root: catalogOf(services).root, forwarder: () => never });
    const srv = await ask(question('mix.skydns.local.', 'SRV'));
    assert.equal(srv.answer.length, 2);
    const addresses = await ask(question('mix.skydns.local.', 'A'));
    assert.deepEqual(text(addresses.answer), ['mix.skydns.local. 5 IN A 10.0.0.2']);
  });

  const alternatives = {
    'local/skydns/either/a': { host: 'quick.example.com' },
    'local/skydns/either/b': { host: 'slow.example.com' },
  };
  /** Answers for each host after its delay, with an address of that type only. */
  const after = (times: Readonly<Record<string, number>>, type: 'A' | 'AAAA' = 'A'): Forwarder => ({
    peek: () => undefined,
    async resolve(asked) {
      const ms = times[asked.qname[0] ?? ''];
      await (ms === undefined ? new Promise(() => {}) : sleep(ms));
      const address = {
        kind: 'address',
        address: type === 'A' ? '192.0.2.1' : '2001:db8::1',
      } as const;
      const answer = asked.qtype === Type[type] ? [rrOf(asked.qname, asked.qtype, address)] : [];
      return { kind: 'answered', message: { ...messageOf(asked, Rcode.NOERROR), answer } };
    },
    close: async () => {},
  });

  it('One outside host that never resolves does not delay the addresses of the others', async () => {
    const forwarder = after({ quick: 20 });
    const { ask } = responder({ root: catalogOf(alternatives).root, forwarder: () => forwarder });
    const { answer } = await ask(question('either.skydns.local.', 'A'));
    assert.deepEqual(text(answer), ['either.skydns.local. 5 IN A 192.0.2.1']);
  });

  it('The responder waits for slow outside hosts until one of them has an address', async () => {
    const forwarder = after({ quick: 500, slow: 600 });
    const { ask } = responder({ root: catalogOf(alternatives).root, forwarder: () => forwarder });
    const { rcode, answer } = await ask(question('either.skydns.local.', 'A'));
    assert.deepEqual([rcode, text(answer)], [0, ['either.skydns.local. 60 IN A 192.0.2.1']]);
  });

  it('An outside host without an address of the type does not end the wait for the others', async () => {
    const quick = after({ quick: 10 }, 'A');
    const slow = after({ slow: 600 }, 'AAAA');
    const forwarder: Forwarder = {
      ...quick,
      resolve: (asked, options) =>
        (asked.qname[0] === 'quick' ? quick : slow).resolve(asked, options),
    };
    const { ask } = responder({ root: catalogOf(alternatives).root, forwarder: () => forwarder });
    const { answer } = await ask(question('either.skydns.local.', 'AAAA'));
    assert.deepEqual(text(answer), ['either.skydns.local. 60 IN AAAA 2001:db8::1']);
  });
});

function rrOf(owner: Name, type: number, rdata: Rdata): Rr {
  return { owner, type, class: Class.IN, ttlSeconds: 60, rdata };
}

function messageOf(asked: Question, rcode: number): Message {
  return {
    id: 1,
    isResponse: true,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: true,
    authenticData: false,
    checkingDisabled: false,
    rcode,
    questions: [asked],
    answer: [],
    authority: [],
    additional: [],
    edns: undefined,
  };
}
