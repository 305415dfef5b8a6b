/** Aggregates of more services than a selection can hold, and other edge cases. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeResponse } from '../../src/dns/encode.ts';
import { printRdata } from '../../src/dns/presentation/presentation.ts';
import {
  assertResponse,
  catalogOf,
  name,
  question,
  respond,
  type Services,
} from '../support/zone.ts';

function many(count: number, of: (i: number) => readonly [string, unknown]): Services {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => of(i)));
}

describe('large aggregates', () => {
  it('A name with a thousand aliases to one address has that address', () => {
    const catalog = catalogOf({
      ...many(1_000, (i) => [`local/skydns/far/${i}`, { host: 'one.skydns.local', port: i }]),
      'local/skydns/one': { host: '10.0.0.1' },
    });
    assertResponse(respond(catalog, 'far.skydns.local.', 'A'), {
      answer: 'far.skydns.local. 3600 IN A 10.0.0.1',
    });
  });

  it('The answer for a name with a thousand aliases has a sample of their addresses, which differs with each sample start', () => {
    const catalog = catalogOf({
      ...many(1_000, (i) => [`local/skydns/far/${i}`, { host: `h${i}.skydns.local` }]),
      ...many(1_000, (i) => [`local/skydns/h${i}`, { host: `10.0.${i >> 8}.${i & 255}` }]),
    });
    const first = respond(catalog, 'far.skydns.local.', 'A', { sampleStart: 0 });
    const second = respond(catalog, 'far.skydns.local.', 'A', { sampleStart: 0.5 });
    assert.equal(first.answer.length, 99);
    assert.notDeepEqual(first.answer.map(printRdata), second.answer.map(printRdata));
  });

  it('An A query finds the one address among many texts', () => {
    const catalog = catalogOf({
      ...many(1_500, (i) => [`local/skydns/notes/${i}`, { text: `${i}` }]),
      'local/skydns/notes/web': { host: '10.0.0.1' },
    });
    for (const sampleStart of [0, 0.25, 0.5, 0.75]) {
      assertResponse(respond(catalog, 'notes.skydns.local.', 'A', { sampleStart }), {
        answer: 'notes.skydns.local. 3600 IN A 10.0.0.1',
      });
    }
  });

  it('A sample keeps to the group of the shallowest service', () => {
    const catalog = catalogOf({
      'local/skydns/dom/a': { host: '10.9.9.9', group: 'g' },
      ...many(2_000, (i) => [
        `local/skydns/dom/sub/${i}`,
        { host: `10.0.${i >> 8}.${i & 255}`, group: 'h' },
      ]),
    });
    for (let i = 0; i < 20; i++) {
      const { answer } = respond(catalog, 'dom.skydns.local.', 'A', { sampleStart: i / 20 });
      for (const rr of answer) assert.equal(printRdata(rr), '10.9.9.9');
    }
  });

  it('An answer with SRV records to a thousand names of the zone has the addresses of some of them as glue', () => {
    const catalog = catalogOf({
      ...many(1_000, (i) => [`local/skydns/far/${i}`, { host: `h${i}.skydns.local` }]),
      ...many(1_000, (i) => [`local/skydns/h${i}`, { host: '10.0.0.1' }]),
    });
    const { answer, additional } = respond(catalog, 'far.skydns.local.', 'SRV');
    assert.equal(answer.length, 1_000);
    assert.ok(additional.length > 0 && additional.length <= 100);
  });
});

describe('duplicates', () => {
  it('A duplicate without the mail mark does not replace the mail exchange with the mark', () => {
    const catalog = catalogOf({
      'local/skydns/m/a': { host: '10.0.0.25' },
      'local/skydns/m/b': { host: '10.0.0.25', mail: true, ttl: 30 },
    });
    assertResponse(respond(catalog, 'm.skydns.local.', 'MX'), {
      answer: 'm.skydns.local. 30 IN MX 10 b.m.skydns.local.',
      additional: 'b.m.skydns.local. 30 IN A 10.0.0.25',
    });
  });

  it('The zone recognizes duplicate hosts in different spellings', () => {
    const catalog = catalogOf({
      'local/skydns/v6/a': { host: '2001:db8::1' },
      'local/skydns/v6/b': { host: '2001:DB8:0::1' },
      'local/skydns/names/a': { host: 'Web.example.com' },
      'local/skydns/names/b': { host: 'web.example.com.' },
    });
    assertResponse(respond(catalog, 'v6.skydns.local.', 'AAAA'), {
      answer: 'v6.skydns.local. 3600 IN AAAA 2001:db8::1',
    });
    const { answer } = respond(catalog, 'names.skydns.local.', 'SRV');
    assert.deepEqual(answer.map(printRdata), ['10 100 0 Web.example.com.']);
  });

  it('Duplicates have the TTL of the duplicate that lives longest', () => {
    const services = {
      'local/skydns/l/a': { host: '10.0.0.1' },
      'local/skydns/l/b': { host: '10.0.0.1' },
    };
    const lease = (seconds: number) => ({ id: '1', ttlSeconds: 60, expiresAtMs: seconds * 1000 });
    const catalog = catalogOf(services, {
      'local/skydns/l/a': lease(10),
      'local/skydns/l/b': lease(50),
    });
    assertResponse(respond(catalog, 'l.skydns.local.', 'A'), {
      answer: 'l.skydns.local. 50 IN A 10.0.0.1',
    });
  });
});

describe('apexes', () => {
  it('An apex has addresses and never a CNAME beside its SOA', () => {
    const catalog = catalogOf({
      'local/skydns/only': { host: 'web.example.org' },
      'org/example/web': { host: '10.0.0.1' },
    });
    const settings = { apexes: [name('skydns.local.'), name('example.org.')] };
    assertResponse(respond(catalog, 'skydns.local.', 'A', { settings }), {
      answer: 'skydns.local. 3600 IN A 10.0.0.1',
    });
    assertResponse(respond(catalog, 'skydns.local.', 'CNAME', { settings }), {});
  });

  it('The names below dns of an apex are not in its aggregate, nor in that of a domain above', () => {
    const settings = { apexes: [name('local.'), name('skydns.local.')] };
    const catalog = catalogOf({
      'local/skydns/dns/ns/a': { host: '10.9.9.1' },
      'local/skydns/web': { host: '10.0.0.1' },
    });
    for (const qname of ['local.', '*.local.', 'skydns.local.', '*.skydns.local.']) {
      const { answer } = respond(catalog, qname, 'A', { settings });
      assert.deepEqual(answer.map(printRdata), ['10.0.0.1'], qname);
    }
  });
});

describe('TTL', () => {
  it('The TTL of a lease of centuries fits into a record', () => {
    const lease = { id: '1', ttlSeconds: 9e9, expiresAtMs: 9e12 };
    const catalog = catalogOf(
      { 'local/skydns/a': { host: '10.0.0.1' } },
      { 'local/skydns/a': lease },
    );
    assertResponse(respond(catalog, 'a.skydns.local.', 'A'), {
      answer: 'a.skydns.local. 2147483647 IN A 10.0.0.1',
    });
  });
});

describe('oversized RRsets', () => {
  const long = 'registrator-host-0000-rails-8080-and-more-of-the-same';
  const catalog = catalogOf(
    many(1_000, (i) => [`local/skydns/srv/${long}-${i}/prod`, { host: '10.0.0.1', port: i + 1 }]),
  );

  it('An answer has only a part of an oversized SRV RRset, which has over 500 records and differs with each sample start', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 6; i++) {
      const { answer } = respond(catalog, 'srv.skydns.local.', 'SRV', {
        sampleStart: (i * 0.618) % 1,
      });
      assert.ok(answer.length > 500 && answer.length < 1_000, `${answer.length} rrs`);
      for (const rr of answer) seen.add(printRdata(rr));
    }
    assert.equal(seen.size, 1_000);
  });

  it('The part of an oversized RRset in an answer fits into one TCP message', () => {
    const { answer, additional } = respond(catalog, 'srv.skydns.local.', 'SRV');
    const asked = question('srv.skydns.local.', 'SRV');
    const query = { id: 1, recursionDesired: true, checkingDisabled: false, question: asked };
    const response = { ...NOERROR, answer, additional };
    const reply = encodeResponse({ ...query, edns: undefined }, response, 65_535);
    assert.equal(decodeMessage(reply)?.truncated, false);
    assert.equal(decodeMessage(reply)?.answer.length, answer.length);
  });

  it('An answer has only a part of an oversized TXT RRset', () => {
    const texts = catalogOf(
      many(300, (i) => [`local/skydns/t/${i}`, { text: `${i} ${'x'.repeat(5_000)}` }]),
    );
    const { answer } = respond(texts, 't.skydns.local.', 'TXT');
    assert.ok(answer.length > 5 && answer.length < 13, `${answer.length} rrs`);
  });
});

const NOERROR = {
  rcode: 0,
  authoritative: true,
  recursionAvailable: false,
  authority: [],
} as const;
