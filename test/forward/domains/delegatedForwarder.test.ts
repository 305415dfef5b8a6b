/** The name servers of a delegated domain: where their addresses come from, and which of them are asked. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Question } from '../../../src/dns/message.ts';
import { type Name, printName } from '../../../src/dns/name.ts';
import {
  DelegatedForwarder,
  type DelegatedServer,
} from '../../../src/forward/domains/delegatedForwarder.ts';
import type { CachingForwarder } from '../../../src/forward/forwarder.ts';
import type { Forwarded, ForwardOptions } from '../../../src/forward/outcome.ts';
import type { Upstream } from '../../../src/forward/upstream.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { messageOf } from '../../support/messages.ts';
import { name, question } from '../../support/zone.ts';

const OPTIONS: ForwardOptions = { checkingDisabled: false, dnssecOk: true, client: '192.0.2.99' };
const ASKED = question('x.team.skydns.local.', 'A');

function answered(asked: Question, address: string): Forwarded {
  const answer = [`${printName(asked.qname)} 60 A ${address}`];
  return { kind: 'answered', message: messageOf(asked, { answer }) };
}

const FAILED: Forwarded = { kind: 'failed', reason: 'timeout', text: 'no reply' };

/** Addresses by `NAME TYPE`; each look-up takes so long, and those of `lost` names never end. */
interface World {
  readonly addresses?: Readonly<Record<string, string>>;
  readonly lookUpMs?: number;
  readonly lost?: readonly string[];
  readonly own?: readonly string[];
  readonly clock?: FakeClock;
}

function setUp(
  servers: readonly DelegatedServer[],
  { addresses = {}, lookUpMs = 0, lost = [], own = [], clock }: World = {},
) {
  const lookUps: string[] = [];
  const asked: (readonly string[])[] = [];
  const cached = new Set<string>();
  const known = (each: Question): Forwarded => {
    const address = addresses[`${printName(each.qname)} ${each.qtype === 1 ? 'A' : 'AAAA'}`];
    return address === undefined ? FAILED : answered(each, address);
  };
  const textOf = (each: Question) => `${printName(each.qname)} ${each.qtype === 1 ? 'A' : 'AAAA'}`;
  const lookUp: Pick<CachingForwarder, 'peek' | 'resolve'> = {
    peek: (each) => (cached.has(textOf(each)) ? known(each) : undefined),
    async resolve(each) {
      lookUps.push(textOf(each));
      if (lost.includes(printName(each.qname))) return new Promise(() => {});
      await new Promise((resolve) => setTimeout(resolve, lookUpMs).unref());
      cached.add(textOf(each));
      return known(each);
    },
  };
  const forwarderTo = (_: Name, upstreams: readonly Upstream[]): CachingForwarder => {
    asked.push(upstreams.map(({ address, port }) => `${address}#${port}`));
    const outcome = answered(ASKED, '192.0.2.7');
    return {
      peek: () => outcome,
      resolve: async () => outcome,
      prefetch: async () => outcome,
      flush: () => [],
      forget: () => {},
      close: async () => {},
    };
  };
  const forwarder = new DelegatedForwarder(name('team.skydns.local.'), {
    ...{ lookUp, forwarderTo },
    serversOf: () => servers,
    ...(clock && { clock }),
    usable: (upstreams) => upstreams.filter(({ address }) => !own.includes(address)),
  });
  return { forwarder, lookUps, asked };
}

function server(text: string, addresses: readonly string[] = [], isOurs = false): DelegatedServer {
  return { name: name(text), addresses, isOurs };
}

describe('the servers of a delegated domain', () => {
  it('Known addresses are asked in one order, IPv4 first, each once and without a look-up', async () => {
    const glue = ['2001:db8::2', '10.0.0.2', '10.0.0.1'];
    for (const addresses of [glue, glue.toReversed()]) {
      const { forwarder, lookUps, asked } = setUp([
        server('ns1.team.skydns.local.', addresses),
        server('ns2.skydns.local.', ['10.0.0.1'], true),
      ]);
      assert.equal(forwarder.peek(ASKED, OPTIONS)?.kind, 'answered');
      assert.equal((await forwarder.resolve(ASKED, OPTIONS)).kind, 'answered');
      const once = ['10.0.0.1#53', '10.0.0.2#53', '2001:db8::2#53'];
      assert.deepEqual([asked, lookUps], [[once, once], []]);
    }
  });

  it('Addresses of outside names are looked up once; one that is late does not delay a known one for long', async () => {
    const addresses = { 'ns.example.net. A': '10.0.0.3' };
    const outside = setUp([server('ns.example.net.')], { addresses });
    assert.equal(outside.forwarder.peek(ASKED, OPTIONS), undefined);
    assert.equal((await outside.forwarder.resolve(ASKED, OPTIONS)).kind, 'answered');
    assert.equal(outside.forwarder.peek(ASKED, OPTIONS)?.kind, 'answered');
    assert.deepEqual(outside.lookUps, ['ns.example.net. A', 'ns.example.net. AAAA']);
    assert.deepEqual(outside.asked.at(-1), ['10.0.0.3#53']);
    const both = [server('ns.example.net.'), server('ns1.team.skydns.local.', ['10.0.0.1'])];
    const late = setUp(both, { addresses, lookUpMs: 2_000 });
    const begin = performance.now();
    assert.equal((await late.forwarder.resolve(ASKED, OPTIONS)).kind, 'answered');
    assert.ok(performance.now() - begin < 1_500);
    assert.deepEqual(late.asked, [['10.0.0.1#53']]);
  });

  it('A name server whose look-up never ends does not delay a question for long', async () => {
    const servers = [server('lost.example.net.'), server('ns.example.net.')];
    const addresses = { 'ns.example.net. A': '10.0.0.3' };
    const { forwarder, asked } = setUp(servers, { addresses, lost: ['lost.example.net.'] });
    const begin = performance.now();
    assert.equal((await forwarder.resolve(ASKED, OPTIONS)).kind, 'answered');
    assert.ok(performance.now() - begin < 1_500);
    assert.deepEqual(asked, [['10.0.0.3#53']]);
  });

  it('A look-up for the domain’s own servers asks none, and names the domain and its servers', async () => {
    const { forwarder, lookUps } = setUp([
      server('ns.other.skydns.local.'),
      server('ours.skydns.local.', [], true),
    ]);
    const delegations = [name('other.skydns.local.'), name('Team.skydns.local.')];
    assert.deepEqual(await forwarder.resolve(ASKED, { ...OPTIONS, delegations }), {
      kind: 'failed',
      reason: 'servfail',
      text: 'team.skydns.local.: no address is known for its name servers ns.other.skydns.local. ours.skydns.local.',
      ede: 22,
    });
    assert.deepEqual(lookUps, []);
    await forwarder.resolve(ASKED, OPTIONS);
    assert.deepEqual(lookUps, ['ns.other.skydns.local. A', 'ns.other.skydns.local. AAAA']);
  });

  it('A domain whose only server is this one is not asked', async () => {
    const { forwarder, asked } = setUp([server('ns.team.skydns.local.', ['10.0.0.1'])], {
      own: ['10.0.0.1'],
    });
    const outcome = await forwarder.resolve(ASKED, OPTIONS);
    assert.match(
      outcome.kind === 'failed' ? outcome.text : '',
      /its name servers are this server, or are at addresses that are not asked: 10\.0\.0\.1$/,
    );
    assert.deepEqual(asked, []);
  });

  it('Look-ups that do not end give a failure before the client gives up', async () => {
    const clock = new FakeClock();
    const { forwarder } = setUp([server('ns.example.net.')], { lookUpMs: 60_000, clock });
    const pending = forwarder.resolve(ASKED, OPTIONS);
    await clock.advance(3_999);
    assert.equal((await pending).kind, 'failed');
  });

  it('A look-up that a look-up needs asks for fewer names, so that one question leads to few', async () => {
    const servers = Array.from({ length: 32 }, (_, i) => server(`ns${i}.example.net.`));
    for (const [depth, names] of [8, 2, 0].entries()) {
      const { forwarder, lookUps } = setUp(servers);
      const delegations = ['a.', 'b.'].slice(0, depth).map((text) => name(text));
      await forwarder.resolve(ASKED, { ...OPTIONS, delegations });
      assert.equal(lookUps.length, 2 * names, `depth ${depth}`);
    }
  });
});
