/** The zone after any changes is the zone that the keys which are left would make. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import type { Rr } from '../../src/dns/rr.ts';
import type { Change } from '../../src/service/change.ts';
import { FastZone } from '../support/fastZone.ts';
import { question } from '../support/zone.ts';

/** Some names have so many children that the tree finds them by an index, and lose most of them again. */
const parent = fc.constantFrom('a', 'a', 'b', 'a/c', 'dns/apex');
const last = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 0, max: 24 }).map((n) => `/${n}`) },
  { weight: 2, arbitrary: fc.constantFrom('', '/*', '/c', '/x/y', '/*/x') },
);

const value = fc.record(
  {
    host: fc.constantFrom(
      ...['192.0.2.1', '192.0.2.2', '2001:db8::1', 'a.skydns.local', '3.b.skydns.local'],
      ...['c.skydns.local', 'z.a.skydns.local'],
    ),
    port: fc.constantFrom(80, 8080),
    text: fc.constantFrom('', 'some text'),
    mail: fc.boolean(),
    ttl: fc.constantFrom(7, 60),
    group: fc.constantFrom('g1', 'g2'),
    aggregate: fc.boolean(),
    alias: fc.boolean(),
    rr: fc.constantFrom(
      ...[[], [], [], []],
      ['NS 1.a.skydns.local.'],
      ['NS ns.example.net.', 'DS 1 13 2 00'],
      ['CAA 0 issue "a.example"', 'TXT "x"'],
    ),
  },
  { requiredKeys: ['host'], noNullPrototype: true },
);

/** Few or many puts below a name, or deletes of most of what it has below it. */
const step = fc.oneof(
  fc
    .tuple(parent, fc.array(fc.tuple(last, value), { minLength: 1, maxLength: 6 }))
    .map(([above, puts]) => ({ kind: 'put', above, puts }) as const),
  fc.tuple(parent, fc.integer({ min: 17, max: 24 }), value).map(([above, count, each]) => {
    const puts = Array.from({ length: count }, (_, i) => [`/${i}`, each] as const);
    return { kind: 'put', above, puts } as const;
  }),
  fc
    .tuple(parent, fc.integer({ min: 1, max: 4 }))
    .map(([above, kept]) => ({ kind: 'delete', above, kept }) as const),
);

const TYPES = ['A', 'AAAA', 'SRV', 'TXT', 'MX', 'CNAME', 'NS', 'CAA', 'DS', 'ANY'];
const NAMES = ['a', 'b', 'c', 'c.a', 'x.a', 'q.x.a', 'y.x.c', 'apex.dns', 'ns.dns']
  .concat(
    Array.from({ length: 25 }, (_, i) => `${i}.${['a', 'b', 'c.a'][i % 3]}`),
    '',
  )
  .map((labels) => `${labels}${labels && '.'}skydns.local.`);

it('The zone after any changes answers as one that is made of the keys that are left', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 10 }), (steps) => {
      const changed = new FastZone();
      const left = new Map<string, Change>();
      for (const each of steps)
        for (const change of changesOf(changed, each, left)) changed.apply([change]);
      const fresh = new FastZone();
      fresh.apply([...left.values()]);
      for (const zone of [changed, fresh]) zone.setFreshness('synced');
      for (const qname of NAMES)
        for (const type of TYPES) {
          const [actual, expected] = [changed, fresh].map((zone) => answerOf(zone, qname, type));
          assert.deepEqual(actual, expected, `${qname} ${type}`);
        }
    }),
    { numRuns: Number(process.env.SORADNS_TEST_RUNS ?? 60) },
  );
});

/** Records in `left` what the changes of the step leave. */
function changesOf(zone: FastZone, step: Step, left: Map<string, Change>): readonly Change[] {
  if (step.kind === 'put')
    return step.puts.map(([below, service]) => {
      const key = `local/skydns/${step.above}${below}`;
      const change = zone.change(key, service);
      left.set(key, change);
      return change;
    });
  const below = [...left.keys()].filter((key) => key.startsWith(`local/skydns/${step.above}`));
  return below
    .filter((_, i) => i % 10 >= step.kept)
    .map((key) => {
      left.delete(key);
      return zone.change(key, undefined);
    });
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The reply over TCP, with the records of each section in one order. */
function answerOf(zone: FastZone, qname: string, type: string): unknown {
  const query = { id: 1, recursionDesired: false, checkingDisabled: false, edns: undefined };
  const reply = zone.slow(encodeQuery({ ...query, question: question(qname, type) }), 'tcp');
  const message = reply && decodeMessage(reply);
  assert.ok(message !== undefined, `${qname} ${type}: no reply`);
  const { rcode, answer, authority, additional } = message;
  const inOrder = (rrs: readonly Rr[]): readonly string[] => rrs.map(printRr).sort();
  return [rcode, ...[answer, authority, additional].map(inOrder)];
}
