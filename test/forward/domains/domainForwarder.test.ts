/** Which servers get a question: those of the longest domain, and never any others. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { parseName, printName } from '../../../src/dns/name.ts';
import { Rcode } from '../../../src/dns/rr.ts';
import { DomainForwarder } from '../../../src/forward/domains/domainForwarder.ts';
import { parseForwardRules } from '../../../src/forward/domains/forwardRule.ts';
import { HostsTable } from '../../../src/forward/domains/hostsTable.ts';
import { ServerSets } from '../../../src/forward/domains/serverSets.ts';
import type { SendQuery, UpstreamQuery } from '../../../src/forward/exchange/exchange.ts';
import { type Forwarded, newForwardCounters } from '../../../src/forward/outcome.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { type MessageText, messageOf, questionOf } from '../../support/messages.ts';

const PLAIN = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.200' };

/** Servers that reply with an address that ends in their own last octet, with authority if they are to have it. */
class Servers {
  readonly asked: {
    readonly server: string;
    readonly name: string;
    readonly query: UpstreamQuery;
  }[] = [];
  readonly silent = new Set<string>();
  /** What these reply instead. */
  readonly lame = new Map<string, MessageText>();
  readonly clock = new FakeClock();
  readonly counters = newForwardCounters();
  readonly sets: ServerSets;

  constructor() {
    const send: SendQuery = async ({ address }, query, { timeoutMs }) => {
      const { question } = query;
      this.asked.push({ server: address, name: printName(question.qname).toLowerCase(), query });
      if (this.silent.has(address)) {
        await new Promise<void>((resolve) => this.clock.startTimer(timeoutMs, resolve));
        return { kind: 'timeout' };
      }
      if (this.lame.has(address))
        return { kind: 'reply', message: messageOf(question, this.lame.get(address) ?? {}) };
      const owner = question.qname.join('.');
      const answer = [`${owner}. 60 A 192.0.2.${address.split('.').at(-1)}`];
      const flags = query.recursionDesired ? 0x8180 : 0x8400;
      return { kind: 'reply', message: messageOf(question, { answer, flags }) };
    };
    const exchanges = { udp: send, tcp: send, tls: send };
    this.sets = new ServerSets({ exchanges, clock: this.clock, counters: this.counters });
  }

  forwarder(
    rules: readonly string[],
    { stubs = [], hosts = '' }: { stubs?: readonly string[]; hosts?: string } = {},
  ): DomainForwarder {
    const stubZones = parseForwardRules(stubs) ?? [];
    const domains = [
      ...(parseForwardRules(rules) ?? []),
      ...stubZones.map((zone) => ({ ...zone, isStubZone: true })),
    ];
    const general = { servers: [{ address: '8.8.8.8', port: 53 }], ndots: 2 };
    const plan = { general, domains, hosts: new HostsTable([hosts], [['skydns', 'local']]) };
    return new DomainForwarder(plan, this.sets, this.counters);
  }

  async ask(forwarder: DomainForwarder, name: string, marked = false): Promise<Forwarded> {
    const options = { ...PLAIN, isStubMarked: marked };
    const pending = forwarder.resolve(questionOf(name), options);
    let outcome: Forwarded | undefined;
    void pending.then((settled) => {
      outcome = settled;
    });
    for (let i = 0; i < 1_000 && outcome === undefined; i++) await this.clock.advance(10);
    return pending;
  }
}

function addressOf(outcome: Forwarded): string | undefined {
  if (outcome.kind !== 'answered') return undefined;
  const rdata = outcome.message.answer[0]?.rdata;
  return rdata?.kind === 'address' ? rdata.address : undefined;
}

function setUp(t: TestContext): Servers {
  const servers = new Servers();
  t.after(() => servers.sets.close());
  return servers;
}

describe('the servers of a domain', () => {
  it('The longest domain that a question’s name is in decides which servers get it', async (t) => {
    const servers = setUp(t);
    const forwarder = servers.forwarder(
      ['corp.example=10.0.0.2', 'a.corp.example=10.0.0.3', 'printer=10.0.0.4'],
      { stubs: ['b.a.corp.example=10.0.0.5'] },
    );
    t.after(() => forwarder.close());
    const expected = [
      ['www.example.', '192.0.2.8'],
      ['corp.example.', '192.0.2.2'],
      ['X.CORP.Example.', '192.0.2.2'],
      ['acorp.example.', '192.0.2.8'],
      ['a.corp.example.', '192.0.2.3'],
      ['x.y.a.corp.example.', '192.0.2.3'],
      ['b.a.corp.example.', '192.0.2.5'],
      ['printer.', '192.0.2.4'],
    ] as const;
    for (const [name, address] of expected)
      assert.equal(addressOf(await servers.ask(forwarder, name)), address, name);
    assert.equal(servers.asked.length, expected.length);
  });

  it('No other server gets a question whose servers are silent, and the failure names the domain', async (t) => {
    const servers = setUp(t);
    const forwarder = servers.forwarder(['corp.example=10.0.0.2,10.0.0.3']);
    t.after(() => forwarder.close());
    servers.silent.add('10.0.0.2').add('10.0.0.3');
    const outcome = await servers.ask(forwarder, 'www.corp.example.');
    assert.ok(outcome.kind === 'failed');
    assert.equal(outcome.ede, 22);
    assert.match(outcome.text, /^corp\.example\.: 10\.0\.0\.[23]:53 did not reply$/);
    assert.deepEqual(
      new Set(servers.asked.map(({ server }) => server)),
      new Set(['10.0.0.2', '10.0.0.3']),
    );
    assert.equal(addressOf(await servers.ask(forwarder, 'www.example.')), '192.0.2.8');
  });

  it('A domain that is kept local is refused, and a name below it with servers is not', async (t) => {
    const servers = setUp(t);
    const forwarder = servers.forwarder(['corp.example=local', 'a.corp.example=10.0.0.2']);
    t.after(() => forwarder.close());
    const outcome = await servers.ask(forwarder, 'www.corp.example.');
    assert.deepEqual(outcome, {
      kind: 'refused',
      text: 'questions about corp.example. are not forwarded',
    });
    assert.equal(servers.counters.refused, 1);
    assert.equal(addressOf(await servers.ask(forwarder, 'a.corp.example.')), '192.0.2.2');
  });

  it('Private names in a domain reach its public servers, which get no other private name', async (t) => {
    const servers = setUp(t);
    const forwarder = servers.forwarder(['corp.internal=9.9.9.9', '10.8.0.0/16=9.9.9.9']);
    t.after(() => forwarder.close());
    assert.equal(addressOf(await servers.ask(forwarder, 'db.corp.internal.')), '192.0.2.9');
    assert.equal(addressOf(await servers.ask(forwarder, '1.2.8.10.in-addr.arpa.')), '192.0.2.9');
    assert.equal((await servers.ask(forwarder, 'db.other.internal.')).kind, 'refused');
    assert.equal((await servers.ask(forwarder, '1.2.9.10.in-addr.arpa.')).kind, 'refused');
  });

  it('Questions for stub zones are marked, and a marked one is not sent for a stub zone again', async (t) => {
    const servers = setUp(t);
    const forwarder = servers.forwarder(['corp.example=10.0.0.2'], {
      stubs: ['lab.example=10.0.0.3'],
    });
    t.after(() => forwarder.close());
    const marks = async (name: string, marked: boolean) => {
      const outcome = await servers.ask(forwarder, name, marked);
      return { outcome, isStubMarked: servers.asked.at(-1)?.query.isStubMarked };
    };
    assert.equal((await marks('a.corp.example.', true)).isStubMarked, false);
    assert.equal((await marks('a.lab.example.', false)).isStubMarked, true);
    const before = servers.asked.length;
    const { outcome } = await marks('b.lab.example.', true);
    assert.equal(servers.asked.length, before);
    assert.ok(outcome.kind === 'failed');
    assert.deepEqual([outcome.ede, outcome.text], [24, 'two stub zones lead to each other']);
  });

  it('A forwarder that replaces another one keeps the answers of unchanged domains only', async (t) => {
    const servers = setUp(t);
    const first = servers.forwarder(['corp.example=10.0.0.2', 'lab.example=10.0.0.3']);
    for (const name of ['a.corp.example.', 'a.lab.example.']) await servers.ask(first, name);
    const second = servers.forwarder(['corp.example=10.0.0.2', 'lab.example=10.0.0.4']);
    await first.close();
    t.after(() => second.close());
    assert.equal(addressOf(await servers.ask(second, 'a.corp.example.')), '192.0.2.2');
    assert.equal(servers.asked.length, 2);
    assert.equal(addressOf(await servers.ask(second, 'a.lab.example.')), '192.0.2.4');
    assert.equal(servers.asked.length, 3);
    assert.equal(second.flush().length, 2);
  });

  it('The name servers of a delegation get the questions about its domain', async (t) => {
    const servers = setUp(t);
    const domain = parseName('team.skydns.local.') ?? [];
    const to = (address: string) => servers.sets.delegatedTo(domain, [{ address, port: 53 }]);
    const question = questionOf('x.team.skydns.local.');
    assert.equal(addressOf(await to('10.0.0.2').resolve(question, PLAIN)), '192.0.2.2');
    assert.equal(addressOf(await to('10.0.0.3').resolve(question, PLAIN)), '192.0.2.3');
    assert.equal(addressOf(await to('10.0.0.2').resolve(question, PLAIN)), '192.0.2.2');
    assert.deepEqual(
      servers.asked.map(({ query }) => query.recursionDesired),
      [false, false],
    );
    assert.equal(to('10.0.0.2'), to('10.0.0.2'));
  });

  it('No reply of a delegation’s name server without authority counts as an answer', async (t) => {
    const servers = setUp(t);
    const domain = parseName('team.skydns.local.') ?? [];
    const to = (...addresses: string[]) =>
      servers.sets.delegatedTo(
        domain,
        addresses.map((address) => ({ address, port: 53 })),
      );
    for (const [rcode, text] of [
      [Rcode.NXDOMAIN, /^10\.0\.0\.2:53 replied NXDOMAIN without authority$/],
      [Rcode.REFUSED, /^10\.0\.0\.2:53 replied REFUSED$/],
      [Rcode.NOERROR, /^10\.0\.0\.2:53 has no authority for the name$/],
    ] as const) {
      servers.lame.set('10.0.0.2', {
        rcode,
        flags: 0x8180,
        answer: ['x.team.skydns.local. 9 A 10.6.6.6'],
      });
      const question = questionOf(`x${rcode}.team.skydns.local.`);
      const failed = await to('10.0.0.2').resolve(question, PLAIN);
      assert.equal(failed.kind === 'failed' && failed.reason, 'servfail');
      assert.match(failed.kind === 'failed' ? failed.text : '', text);
      const next = await to('10.0.0.2', '10.0.0.3').resolve(question, PLAIN);
      assert.equal(addressOf(next), '192.0.2.3');
      servers.silent.add('10.0.0.3');
      const again = await to('10.0.0.2', '10.0.0.3').resolve(question, PLAIN);
      assert.equal(addressOf(again), '192.0.2.3', 'the cached answer');
      servers.silent.clear();
    }
  });
});

describe('hosts files', () => {
  const HOSTS = `
127.0.0.1 localhost host1
::1       localhost ip6-localhost
10.0.0.9  nas.home nas # the disk
10.0.0.10 nas.home
fd00::9   nas.home
10.0.0.11 web.skydns.local
nonsense  line
0.0.0.0
`;

  async function answerOf(forwarder: DomainForwarder, name: string, type = 'A') {
    const outcome = await forwarder.resolve(questionOf(name, type), PLAIN);
    if (outcome.kind !== 'answered') return outcome.kind;
    const { rcode, answer, authoritative } = outcome.message;
    assert.equal(authoritative, false);
    return [
      rcode,
      ...answer.map(({ rdata }) =>
        rdata.kind === 'address'
          ? rdata.address
          : rdata.kind === 'name'
            ? printName(rdata.target)
            : '',
      ),
    ];
  }

  it('Names of the files have their addresses, other types are empty, and addresses have names', async (t) => {
    const servers = setUp(t);
    const forwarder = servers.forwarder(['home=10.0.0.2'], { hosts: HOSTS });
    t.after(() => forwarder.close());
    assert.deepEqual(await answerOf(forwarder, 'NAS.home.'), [0, '10.0.0.9', '10.0.0.10']);
    assert.deepEqual(await answerOf(forwarder, 'nas.home.', 'AAAA'), [0, 'fd00::9']);
    assert.deepEqual(await answerOf(forwarder, 'nas.'), [0, '10.0.0.9']);
    assert.deepEqual(await answerOf(forwarder, 'nas.home.', 'TXT'), [0]);
    assert.deepEqual(await answerOf(forwarder, '9.0.0.10.in-addr.arpa.', 'PTR'), [0, 'nas.home.']);
    assert.deepEqual(servers.asked, []);
    assert.deepEqual(await answerOf(forwarder, 'x.nas.home.'), [0, '192.0.2.2']);
  });

  it('Loopback addresses and names of our own domains are left out', async (t) => {
    const servers = setUp(t);
    const forwarder = servers.forwarder([], { hosts: HOSTS });
    t.after(() => forwarder.close());
    assert.equal(await answerOf(forwarder, 'host1.'), 'refused');
    assert.match(String(await answerOf(forwarder, 'localhost.')), /127\.0\.0\.1/);
    const reverse = String(await answerOf(forwarder, '1.0.0.127.in-addr.arpa.', 'PTR'));
    assert.doesNotMatch(reverse, /host1/);
    assert.equal(await answerOf(forwarder, '11.0.0.10.in-addr.arpa.', 'PTR'), 'refused');
  });
});
