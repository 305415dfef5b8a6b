/** Upstreams over TLS: which ones get a question, and how many connections that takes. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { TLSSocket } from 'node:tls';
import { forwarderTap } from '../../src/dnstap/clientTap.ts';
import { newTapMemory, TapRingReader } from '../../src/dnstap/tapRing.ts';
import { TapWriter } from '../../src/dnstap/tapWriter.ts';
import type { ExchangeOptions, UpstreamQuery } from '../../src/forward/exchange/exchange.ts';
import type { ExchangeResult } from '../../src/forward/exchange/reply.ts';
import { newTlsCounters, TlsUpstreams } from '../../src/forward/tls/tlsUpstreams.ts';
import type { TlsUpstream } from '../../src/forward/tls/trust.ts';
import { type Clock, systemClock } from '../../src/timing/clock.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { freePort } from '../support/freePort.ts';
import { printed, questionOf } from '../support/messages.ts';
import { ScriptedTlsUpstream, type TlsUpstreamScript } from '../support/tlsUpstream.ts';
import { until } from '../support/until.ts';

const { signal } = new AbortController();
setMaxListeners(0, signal);
const LONG: ExchangeOptions = { timeoutMs: 10_000, signal, randomInt };
const BRIEF: ExchangeOptions = { ...LONG, timeoutMs: 100 };

function askFor(name: string): UpstreamQuery {
  const question = questionOf(name);
  return { question, checkingDisabled: false, dnssecOk: false, edns: true, path: [] };
}

/** Times at the wall that a test moves on by hand, on top of the real ones: idle times then need no waiting. */
class SkippingClock implements Clock {
  readonly #fake = new FakeClock();
  monotonicMs = (): number => systemClock.monotonicMs() + this.#fake.monotonicMs();
  wallMs = (): number => systemClock.wallMs();
  startTimer: Clock['startTimer'] = (delayMs, callback) => this.#fake.startTimer(delayMs, callback);
  pending = (): number => this.#fake.pending;
  skip = (ms: number): Promise<void> => this.#fake.advance(ms);
}

describe('upstreams over TLS', () => {
  let certificates: Certificates;
  before(() => {
    certificates = makeCertificates();
  });
  after(() => certificates?.remove());

  interface Scene {
    readonly upstream: ScriptedTlsUpstream;
    readonly counters: ReturnType<typeof newTlsCounters>;
    readonly reasons: readonly string[];
    readonly clock: SkippingClock;
    ask(name?: string, options?: ExchangeOptions): Promise<ExchangeResult>;
  }

  async function sceneFor(
    t: TestContext,
    script: TlsUpstreamScript = {},
    peer: Partial<TlsUpstream> & { readonly ca?: string } = {},
  ): Promise<Scene> {
    const upstream = await ScriptedTlsUpstream.start(certificates, script);
    const { ca = 'ca', ...changes } = peer;
    const at: TlsUpstream = {
      address: '127.0.0.1',
      port: upstream.port,
      tlsName: '127.0.0.1',
      ...changes,
    };
    const reasons: string[] = [];
    const counters = newTlsCounters();
    const clock = new SkippingClock();
    const tls = new TlsUpstreams({
      caPem: certificates.pem(`${ca}.pem`).toString(),
      clock,
      randomInt,
      counters,
      events: { onUnreachable: (_upstream, reason) => void reasons.push(reason) },
    });
    t.after(async () => {
      tls.close();
      await upstream.close();
    });
    const ask: Scene['ask'] = (name = 'www.example.com', options = LONG) =>
      tls.exchange(at, askFor(name), options);
    return { upstream, counters, reasons, clock, ask };
  }

  function addressOf(result: ExchangeResult): string[] {
    assert.equal(result.kind, 'reply', JSON.stringify(result));
    return result.kind === 'reply' ? printed(result.message.answer) : [];
  }

  it('A thousand questions to an upstream over TLS open one connection', async (t) => {
    const { upstream, counters, ask } = await sceneFor(t);
    for (let i = 0; i < 900; i++) addressOf(await ask(`n${i}.example.com`));
    const all = Array.from({ length: 100 }, (_, i) => ask(`p${i}.example.com`));
    const replies = await Promise.all(all);
    assert.deepEqual(replies.map(addressOf).at(7), ['p7.example.com. 60 IN A 192.0.2.1']);
    assert.equal(upstream.connections, 1);
    assert.deepEqual(counters, { opened: 1, resumed: 0, failed: 0 });
  });

  it('A query over TLS asks for the idle time of the upstream, and has a multiple of 128 octets', async (t) => {
    const { upstream, ask } = await sceneFor(t);
    const names = [
      'a.example',
      `${'a'.repeat(60)}.example`,
      `${'b'.repeat(60)}.${'c'.repeat(60)}.example`,
    ];
    for (const name of names) addressOf(await ask(name));
    assert.deepEqual(
      upstream.queries.map(({ octets }) => octets),
      [128, 128, 256],
    );
    for (const { options } of upstream.queries) assert.deepEqual(options.slice(-2), [11, 12]);
  });

  it('Replies over TLS reach their questions in any order', async (t) => {
    const held: (() => void)[] = [];
    const { ask } = await sceneFor(t, { answer: ({ reply }) => void held.push(reply) });
    const asked = ['a', 'b', 'c'].map((label) => ask(`${label}.example`));
    await until('the upstream has them', () => held.length === 3);
    for (const reply of held.toReversed()) reply();
    const replies = (await Promise.all(asked)).map(addressOf);
    assert.deepEqual(
      replies.flat(),
      ['a', 'b', 'c'].map((label) => `${label}.example. 60 IN A 192.0.2.1`),
    );
  });

  it('A second connection opens while the first has a hundred questions, and no third one', async (t) => {
    const held: (() => void)[] = [];
    const { upstream, ask } = await sceneFor(t, { answer: ({ reply }) => void held.push(reply) });
    const asked = Array.from({ length: 250 }, (_, i) => ask(`n${i}.example`));
    await until('the upstream has them', () => held.length === 250);
    for (const reply of held) reply();
    for (const result of await Promise.all(asked)) addressOf(result);
    assert.equal(upstream.connections, 2);
    const first = upstream.queries.filter(({ connection }) => connection === 0);
    assert.ok(first.length >= 100, `${first.length} on the first`);
  });

  it('Each question of a connection that the upstream cuts is asked once more on a new one', async (t) => {
    const script: TlsUpstreamScript = {};
    const { upstream, counters, ask } = await sceneFor(t, script);
    script.answer = ({ connection, reply }) => {
      if (connection > 0) reply();
      else if (upstream.queries.length === 50) upstream.cut();
    };
    const asked = Array.from({ length: 50 }, (_, i) => ask(`n${i}.example`));
    for (const result of await Promise.all(asked)) addressOf(result);
    assert.equal(upstream.queries.length, 100);
    assert.equal(counters.opened, 2);
  });

  it('A question whose connection ends twice fails, and does not go round for ever', async (t) => {
    const { upstream, ask } = await sceneFor(t, { answer: ({ hangUp }) => hangUp() });
    const result = await ask();
    assert.equal(result.kind, 'network');
    assert.equal(upstream.queries.length, 2);
    for (let i = 0; i < 100; i++) await ask(`n${i}.example`);
    assert.ok(upstream.connections < 10, `${upstream.connections} connections`);
  });

  const untrusted: readonly [string, TlsUpstreamScript, object][] = [
    ['that another CA has signed', {}, { ca: 'stranger' }],
    ['for another address', { certificate: 'nameless' }, {}],
    ['for another name', {}, { tlsName: 'dns.example.com' }],
    ['for a name where the address is wanted', { certificate: 'elsewhere' }, {}],
    ['that has expired', { certificate: 'expired' }, {}],
    ['with the address in its subject alone', { certificate: 'bare' }, {}],
  ];
  for (const [what, script, peer] of untrusted)
    it(`An upstream with a certificate ${what} gets no question, and is reported once`, async (t) => {
      const { upstream, reasons, counters, ask } = await sceneFor(t, script, peer);
      for (let i = 0; i < 20; i++) {
        const result = await ask();
        assert.equal(result.kind, 'untrusted', JSON.stringify(result));
      }
      assert.equal(upstream.queries.length, 0);
      assert.equal(upstream.plainPackets, 0);
      assert.equal(reasons.length, 1, reasons.join('\n'));
      assert.equal(counters.opened, 0);
    });

  it('An upstream over TLS is known by the name that the operator gave, and is asked for it', async (t) => {
    const { upstream, ask } = await sceneFor(t, {}, { tlsName: 'localhost' });
    addressOf(await ask());
    assert.deepEqual(upstream.serverNames, ['localhost']);
  });

  it('No server name is sent to an upstream that is known by its address', async (t) => {
    const { upstream, ask } = await sceneFor(t);
    addressOf(await ask());
    assert.deepEqual(upstream.serverNames, [false]);
  });

  it('An idle connection closes after ten seconds, and the next one resumes its session', async (t) => {
    const { upstream, counters, clock, ask } = await sceneFor(t);
    addressOf(await ask());
    await clock.skip(9_900);
    assert.equal(upstream.open, 1);
    await clock.skip(200);
    await until('the connection has closed', () => upstream.open === 0);
    addressOf(await ask());
    assert.deepEqual(counters, { opened: 2, resumed: 1, failed: 0 });
    assert.equal(upstream.resumed, 1);
  });

  it('An idle connection that has closed leaves no timer', async (t) => {
    const { upstream, clock, ask } = await sceneFor(t);
    addressOf(await ask());
    await clock.skip(10_100);
    await until('the connection has closed', () => upstream.open === 0);
    await until('no timer is left', () => clock.pending() === 0, 2_000);
  });

  it('A question on a connection that has lost its address is asked, and its messages for dnstap are dropped', async (t) => {
    const { ask } = await sceneFor(t);
    const start = { memory: newTapMemory(1), sample: 1, identity: undefined, version: 'v' };
    const errors: unknown[] = [];
    const observer = forwarderTap({
      ...{ writer: new TapWriter(start, 0), sample: 1, onWritten: () => {} },
      onError: (error) => void errors.push(error),
    });
    // As between the error of a socket and its 'close'.
    Object.defineProperty(TLSSocket.prototype, 'localAddress', {
      value: undefined,
      configurable: true,
    });
    t.after(() => Reflect.deleteProperty(TLSSocket.prototype, 'localAddress'));
    addressOf(await ask('www.example.com', { ...LONG, observer }));
    assert.equal(new TapRingReader(start.memory, 0).takeDropped(), 2);
    assert.deepEqual(errors, []);
  });

  it('An idle connection stays open for the time that the upstream gives in RFC 7828', async (t) => {
    const script: TlsUpstreamScript = { answer: ({ reply }) => reply({ keepalive: 300 }) };
    const { upstream, clock, ask } = await sceneFor(t, script);
    addressOf(await ask());
    await clock.skip(29_000);
    assert.equal(upstream.open, 1);
    await clock.skip(1_100);
    await until('the connection has closed', () => upstream.open === 0);
  });

  it('A connection on which nothing comes any more is left for a new one, and the upstream gets no connection per question', async (t) => {
    const { upstream, ask } = await sceneFor(t, {
      answer: ({ connection, reply }) => {
        if (connection > 0) reply();
      },
    });
    assert.equal((await ask('a.example', BRIEF)).kind, 'timeout');
    addressOf(await ask('b.example'));
    assert.equal(upstream.connections, 2);
  });

  it('A silent upstream over TLS gets few connections however many questions time out', async (t) => {
    const { upstream, ask } = await sceneFor(t, { answer: () => {} });
    for (let i = 0; i < 8; i++)
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          ask(`n${i}-${n}.example`, { ...BRIEF, timeoutMs: 30 }),
        ),
      );
    assert.ok(upstream.connections <= 6, `${upstream.connections} connections`);
  });

  it('A slow reply over TLS keeps its connection', async (t) => {
    const held: (() => void)[] = [];
    const { upstream, ask } = await sceneFor(t, {
      answer: ({ name, reply }) => (name === 'slow.example' ? void held.push(reply) : reply()),
    });
    const slow = ask('slow.example');
    for (let i = 0; i < 20; i++) addressOf(await ask(`n${i}.example`, BRIEF));
    held[0]?.();
    addressOf(await slow);
    assert.equal(upstream.connections, 1);
  });

  it('A closed port fails each question at once, and gets few connections', async (t) => {
    const { upstream, counters, reasons, ask } = await sceneFor(t, {}, { port: await freePort() });
    for (let i = 0; i < 200; i++) assert.equal((await ask()).kind, 'network');
    assert.ok(counters.failed <= 3, `${counters.failed} attempts`);
    assert.equal(reasons.length, 1);
    assert.match(reasons[0] ?? '', /ECONNREFUSED/);
    assert.equal(upstream.connections, 0);
  });

  it('A peer that accepts and never shakes hands is given up after two seconds', async (t) => {
    const accepted = new Set<Socket>();
    const silent = createServer((socket) => void accepted.add(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      for (const socket of accepted) socket.destroy();
      silent.close();
    });
    const { port } = silent.address() as { port: number };
    const { clock, ask } = await sceneFor(t, {}, { port });
    const asked = [ask(), ask('b.example')];
    await until('the connection is there', () => accepted.size === 1);
    await clock.skip(2_100);
    for (const result of await Promise.all(asked))
      assert.deepEqual(result, { kind: 'network', text: 'no TLS connection within 2 s' });
    assert.equal(accepted.size, 1);
  });
});
