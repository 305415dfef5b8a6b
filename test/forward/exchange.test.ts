/** One question to one upstream over real sockets: what counts as the reply, and that nothing is left open. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once, setMaxListeners } from 'node:events';
import test, { type TestContext } from 'node:test';
import dnsPacket, { type RecordType } from 'dns-packet';
import type { Message } from '../../src/dns/message.ts';
import type { ExchangeOptions, UpstreamQuery } from '../../src/forward/exchange/exchange.ts';
import { exchangeTcp } from '../../src/forward/exchange/exchangeTcp.ts';
import { exchangeUdp } from '../../src/forward/exchange/exchangeUdp.ts';
import type { ExchangeResult } from '../../src/forward/exchange/reply.ts';
import { UpstreamHealth } from '../../src/forward/health.ts';
import { newForwardCounters } from '../../src/forward/outcome.ts';
import { queryUpstream } from '../../src/forward/queryUpstream.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { nameOf, printed, questionOf } from '../support/messages.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstreamOptions } from '../support/upstream.ts';
import type { Behaviour } from '../support/upstreamReply.ts';

const RECORDS = ['www.example.com. 60 A 192.0.2.1'];

const ASK: UpstreamQuery = {
  question: { ...questionOf('wWw.exAmple.com'), qname: nameOf('wWw.exAmple.com') },
  checkingDisabled: false,
  dnssecOk: false,
  edns: true,
  path: [],
};

/** `LONG` suffices for any reply; `BRIEF` is for replies that never come. */
const { signal } = new AbortController();
setMaxListeners(0, signal);
const LONG: ExchangeOptions = { timeoutMs: 10_000, signal, randomInt };
const BRIEF: ExchangeOptions = { ...LONG, timeoutMs: 250 };

async function upstreamFor(t: TestContext, options: TestUpstreamOptions = {}) {
  const upstream = await startUpstream({ records: RECORDS, ...options });
  t.after(() => upstream.close());
  return upstream;
}

function replyOf(exchanged: ExchangeResult): Message {
  assert.equal(exchanged.kind, 'reply');
  return (exchanged as Extract<ExchangeResult, { kind: 'reply' }>).message;
}

for (const [transport, exchange] of [
  ['UDP', exchangeUdp],
  ['TCP', exchangeTcp],
] as const) {
  test(`An exchange over ${transport} sends a proper query and gives the reply`, async (t) => {
    const upstream = await upstreamFor(t);
    const ask = { ...ASK, dnssecOk: true, checkingDisabled: true };
    const message = replyOf(await exchange(upstream, ask, LONG));
    assert.deepEqual(printed(message.answer), ['www.example.com. 60 IN A 192.0.2.1']);
    const [seen] = upstream.queries;
    assert.equal(seen?.name, 'wWw.exAmple.com');
    assert.deepEqual(seen?.edns, { udpSize: 1232, dnssecOk: true });
    assert.ok(seen?.checkingDisabled);
    await exchange(upstream, { ...ASK, edns: false }, LONG);
    assert.equal(upstream.queries[1]?.edns, undefined);
  });

  test(`An exchange over ${transport} with a silent upstream ends at its timeout`, async (t) => {
    const upstream = await upstreamFor(t, { behaviour: { drop: true } });
    assert.deepEqual(await exchange(upstream, ASK, BRIEF), { kind: 'timeout' });
  });

  test(`A closed ${transport} port ends an exchange at once`, async () => {
    const upstream = await startUpstream();
    await upstream.close();
    const exchanged = await exchange(upstream, ASK, LONG);
    assert.equal(exchanged.kind, 'network');
    assert.match((exchanged as { text: string }).text, /ECONNREFUSED/);
  });

  test(`A shutdown ends an exchange over ${transport} at once`, async (t) => {
    const upstream = await upstreamFor(t, { behaviour: { drop: true } });
    const closing = new AbortController();
    const exchanged = exchange(upstream, ASK, { ...LONG, signal: closing.signal });
    await until('the query is there', () => upstream.queries.length === 1);
    closing.abort();
    assert.deepEqual(await exchanged, { kind: 'network', text: 'shutting down' });
  });

  test(`An exchange over ${transport} with an unreachable address gives a network failure`, async () => {
    // A limited broadcast address takes neither a plain UDP socket nor a TCP connection.
    const exchanged = await exchange({ address: '255.255.255.255', port: 9 }, ASK, LONG);
    assert.equal(exchanged.kind, 'network');
  });

  const spoofs: Record<string, Behaviour> = {
    'another id': { wrongId: true },
    'another name': { wrongQuestion: 'www.example.org' },
    'a name below': { wrongQuestion: 'x.www.example.com' },
    'a packet that is no response': { isQuery: true },
  };
  for (const [what, behaviour] of Object.entries(spoofs))
    test(`An exchange over ${transport} does not accept ${what} as the reply`, async (t) => {
      const upstream = await upstreamFor(t, { behaviour });
      assert.deepEqual(await exchange(upstream, ASK, BRIEF), { kind: 'timeout' });
      assert.equal(upstream.queries.length, 1);
    });

  test(`Other packets over ${transport} do not end an exchange’s wait for the reply`, async (t) => {
    const noise = transport === 'UDP' ? noiseFor : wholeNoiseFor;
    const upstream = await upstreamFor(t, { behaviour: { noise } });
    const message = replyOf(await exchange(upstream, ASK, LONG));
    assert.equal(message.answer.length, 1);
  });
}

/** Packets that an upstream, a broken middlebox or a forger could send before the reply. */
function noiseFor(query: Buffer): Uint8Array[] {
  const { id = 0, questions = [] } = dnsPacket.decode(query);
  const reply = (changes: object) =>
    dnsPacket.encode({ type: 'response', id, questions, ...changes });
  const otherType = questions.map((question) => ({ ...question, type: 'AAAA' as RecordType }));
  const otherClass = questions.map((question) => ({ ...question, class: 'CH' as const }));
  const compressionLoop = Buffer.concat([reply({ questions: [] }), Buffer.from([0xc0, 12, 0, 1])]);
  compressionLoop.writeUInt16BE(1, 4);
  return [
    Buffer.alloc(0),
    query.subarray(0, 2),
    Buffer.concat([query.subarray(0, 2), Buffer.from([0x80])]),
    query,
    Buffer.concat([query.subarray(0, 2), Buffer.alloc(1000, 0xff)]),
    compressionLoop,
    reply({ id: (id + 1) & 0xffff }),
    reply({ id: id ^ 0x8000 }),
    reply({ questions: otherType }),
    reply({ questions: otherClass }),
    reply({ questions: [...questions, ...questions] }),
    reply({ questions: [] }),
    reply({ flags: 0x2800 }),
  ];
}

/** Over TCP, where no off-path attacker can write, a message too short for a header means a broken upstream. */
function wholeNoiseFor(query: Buffer): Uint8Array[] {
  return noiseFor(query).filter(({ length }) => length >= 12);
}

test('Octets that cannot be a message end an exchange over TCP at once', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { noise: () => [Buffer.alloc(11)] } });
  assert.equal((await exchangeTcp(upstream, ASK, LONG)).kind, 'network');
});

test('An exchange ignores a forged reply from another port or address', async (t) => {
  const forger = createSocket('udp4').bind(0, '127.0.0.1');
  const other = createSocket('udp4').bind(0, '127.0.0.2');
  t.after(() => [forger, other].map((socket) => socket.close()));
  await Promise.all([once(forger, 'listening'), once(other, 'listening')]);
  let forged = 0;
  const upstream = await upstreamFor(t, {
    behaviour: (query) => {
      const packet = dnsPacket.encode({
        type: 'response',
        id: query.id,
        questions: [{ name: query.name, type: 'A' }],
        answers: [{ name: query.name, type: 'A', data: '203.0.113.66' }],
      });
      for (const socket of [forger, other])
        socket.send(packet, query.clientPort, '127.0.0.1', () => forged++);
      return { drop: true };
    },
  });
  assert.deepEqual(await exchangeUdp(upstream, ASK, BRIEF), { kind: 'timeout' });
  assert.equal(forged, 2);
});

test('An exchange uses a new port and id for each query', async (t) => {
  const upstream = await upstreamFor(t);
  for (let i = 0; i < 100; i++) replyOf(await exchangeUdp(upstream, ASK, LONG));
  const ports = upstream.queries.map(({ clientPort }) => clientPort);
  const ids = upstream.queries.map(({ id }) => id);
  // By chance a hundred of 55,296 or of 65,536 are all different nine times out of ten; four repeats never happen.
  assert.ok(new Set(ports).size > 96, `${new Set(ports).size} ports`);
  assert.ok(new Set(ids).size > 96, `${new Set(ids).size} ids`);
  assert.ok(Math.min(...ports) >= 10_240);
  assert.ok(Math.max(...ports) - Math.min(...ports) > 30_000, 'all over the range');
  const steps = new Set(ports.map((port, i) => port - (ports[i - 1] ?? 0)));
  assert.ok(steps.size > 90, 'no pattern from one to the next');
});

test('An exchange skips ports in use and after several lets the kernel choose', async (t) => {
  const upstream = await upstreamFor(t);
  const taken = createSocket('udp4').bind(0);
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address();
  const always = (below: number) => (below === 65_536 ? 7 : port - 10_240);
  replyOf(await exchangeUdp(upstream, ASK, { ...LONG, randomInt: always }));
  assert.notEqual(upstream.queries[0]?.clientPort, port);
  assert.equal(upstream.queries[0]?.id, 7);
});

test('A reply must repeat the case of its question over UDP, but not over TCP', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { lowerCase: true } });
  assert.deepEqual(await exchangeUdp(upstream, ASK, LONG), { kind: 'caseChanged' });
  upstream.behave({ wrongQuestion: 'WWW.EXAMPLE.COM' });
  assert.deepEqual(await exchangeUdp(upstream, ASK, LONG), { kind: 'caseChanged' });
  replyOf(await exchangeTcp(upstream, ASK, LONG));
});

test('A UDP reply with TC gives `truncated`, unless it has another question', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { truncate: true } });
  assert.deepEqual(await exchangeUdp(upstream, ASK, LONG), { kind: 'truncated' });
  upstream.behave({ truncate: true, wrongQuestion: 'www.example.org' });
  assert.deepEqual(await exchangeUdp(upstream, ASK, BRIEF), { kind: 'timeout' });
});

test('An exchange accepts an error reply without a question, which some servers send', async (t) => {
  const bare = (query: Buffer) => {
    const { id = 0 } = dnsPacket.decode(query);
    return [dnsPacket.encode({ type: 'response', id, flags: 1 })];
  };
  const upstream = await upstreamFor(t, { behaviour: { noise: bare } });
  assert.equal(replyOf(await exchangeUdp(upstream, ASK, LONG)).rcode, 1);
});

test('An exchange over TCP reads a reply octet by octet, and fails when the upstream closes the connection', async (t) => {
  const upstream = await upstreamFor(t, { behaviour: { dribble: true } });
  assert.equal(replyOf(await exchangeTcp(upstream, ASK, LONG)).answer.length, 1);
  upstream.behave({ closeTcp: true });
  assert.equal((await exchangeTcp(upstream, ASK, LONG)).kind, 'network');
});

test('An exchange works with an IPv6 upstream', async (t) => {
  const upstream = await startUpstream({ address: '::1', records: RECORDS }).catch(() => undefined);
  if (upstream === undefined) return t.skip('this host has no ::1');
  t.after(() => upstream.close());
  assert.equal(replyOf(await exchangeUdp(upstream, ASK, LONG)).answer.length, 1);
  assert.equal(replyOf(await exchangeTcp(upstream, ASK, LONG)).answer.length, 1);
});

test('An exchange leaves no socket and no timer behind', async (t) => {
  const upstream = await upstreamFor(t);
  const closed = await startUpstream();
  await closed.close();
  const active = (kinds: RegExp) =>
    process.getActiveResourcesInfo().filter((kind) => kinds.test(kind)).length;
  const [sockets, timers] = [active(/UDP|TCP/), active(/Timeout/)];
  const behaviours: Behaviour[] = [{}, { drop: true }, { truncate: true }, { closeTcp: true }];
  for (const behaviour of behaviours) {
    upstream.behave(behaviour);
    await Promise.all([
      ...Array.from({ length: 10 }, () => exchangeUdp(upstream, ASK, BRIEF)),
      ...Array.from({ length: 10 }, () => exchangeTcp(upstream, ASK, BRIEF)),
      exchangeUdp(closed, ASK, BRIEF),
      exchangeTcp(closed, ASK, BRIEF),
    ]);
  }
  assert.equal(active(/Timeout/), timers);
  await until('all sockets are gone', () => active(/UDP|TCP/) <= sockets);
});

test('A question that is cancelled as its truncated reply arrives ends as a failure', async () => {
  const tries = new AbortController();
  const truncated = async (): Promise<ExchangeResult> => {
    tries.abort();
    return { kind: 'truncated' };
  };
  const upstream = { address: '192.0.2.1', port: 53 };
  const result = await queryUpstream(ASK, upstream, 1_000, {
    health: new UpstreamHealth([upstream]),
    exchanges: { udp: truncated, tcp: truncated, tls: truncated },
    randomInt,
    clock: new FakeClock(),
    counters: newForwardCounters(),
    signal: tries.signal,
    tryTimeoutMs: 1_000,
    totalTimeoutMs: 1_000,
  });
  assert.equal(result.kind, 'network');
});
