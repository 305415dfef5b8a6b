/** The versions of a zone: their differences always lead from one whole zone to the next. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeMessage } from '../../src/dns/decode.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { type Rr, Type } from '../../src/dns/rr.ts';
import { keyPrefix } from '../../src/service/key.ts';
import { ChildOrder } from '../../src/transfer/childOrder.ts';
import { TransferMessages } from '../../src/transfer/messages.ts';
import { type TransferContents, ZoneVersions } from '../../src/transfer/zoneVersions.ts';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import type { Node } from '../../src/zone/tree/tree.ts';
import { question, viewOf } from '../support/zone.ts';

/** A catalog whose changes a zone follows. */
class Followed {
  readonly catalog: Catalog;
  readonly zone: ZoneVersions;
  readonly #order = new ChildOrder();
  #changed = new Set<Node>();
  #revision = 0;

  constructor(options: { aggregates?: boolean; historyRecords?: number } = {}) {
    this.catalog = new Catalog({
      prefix: keyPrefix('skydns'),
      onApplied: (nodes) => {
        for (const changed of nodes) {
          for (let node: Node | undefined = changed; node !== undefined; node = node.parent) {
            this.#changed.add(node);
          }
        }
      },
    });
    const view = viewOf(this.catalog);
    this.zone = new ZoneVersions({
      apex: view.settings.apexes[0] ?? [],
      data: view,
      inOrder: this.#order.inOrder,
      historyRecords: options.historyRecords ?? 10_000,
      aggregates: options.aggregates ?? true,
      onSkipped: (name, reason) => assert.fail(`${name}: ${reason}`),
    });
    for (const _ of this.zone.read());
    this.zone.begin(0, []);
  }

  put(path: string, value: object | undefined): void {
    this.#revision++;
    const key = `/skydns/local/skydns/${path}`;
    const modRevision = this.#revision;
    this.catalog.apply([
      value === undefined
        ? { kind: 'delete', key, modRevision, previous: undefined }
        : {
            kind: 'put',
            entry: {
              ...{ key, createRevision: modRevision, modRevision, lease: undefined },
              value: Buffer.from(JSON.stringify(value)),
            },
            previous: undefined,
          },
    ]);
  }

  make(isTouched = false): void {
    const changed = this.#changed;
    this.#changed = new Set();
    for (const node of changed) this.#order.noteChange(node);
    this.#order.sweep();
    this.zone.make(changed, isTouched, () => this.#revision);
  }
}

/** The records of a transfer, as a client reads them from the messages. */
function received(contents: TransferContents): Rr[] {
  const records = contents.kind === 'same' ? [contents.soa] : contents.records;
  const header = {
    id: 1,
    question: question('skydns.local.', 'SOA'),
    hasEdns: false,
    addedOctets: 0,
  };
  const messages = new TransferMessages(header, records);
  const rrs: Rr[] = [];
  for (let next = messages.next(); next !== undefined; next = messages.next()) {
    assert.ok(next.length <= 16_384);
    rrs.push(...(decodeMessage(next)?.answer ?? assert.fail('not a message')));
  }
  return rrs;
}

/** What a secondary has after a transfer: the lines of its zone, with the SOA. */
function applied(zone: ReadonlySet<string>, contents: TransferContents): Set<string> {
  const rrs = received(contents);
  if (contents.kind === 'same') return new Set(zone);
  if (contents.kind === 'zone') return new Set(rrs.slice(1).map(printRr));
  const lines = new Set(zone);
  let removes = false;
  for (const rr of rrs.slice(1, -1)) {
    if (rr.type === Type.SOA) removes = !removes;
    const line = printRr(rr);
    if (removes) assert.ok(lines.delete(line), `not there: ${line}`);
    else assert.ok(!lines.has(line) && lines.add(line), `there already: ${line}`);
  }
  return lines;
}

function zoneOf(followed: Followed): Set<string> {
  return applied(new Set(), followed.zone.whole());
}

describe('The versions of a zone', () => {
  const name = fc.array(fc.constantFrom('a', 'b', 'c', 'dns', 'ns', '*'), {
    minLength: 1,
    maxLength: 3,
  });
  const value = fc.option(
    fc.record({
      host: fc.constantFrom(
        '10.0.0.1',
        '10.0.0.2',
        'fd00::1',
        'out.example.com',
        'a.skydns.local',
        'b.c.skydns.local',
      ),
      port: fc.constantFrom(-1, 0, 80),
      text: fc.constantFrom('', 'hello'),
      ttl: fc.constantFrom(0, 60),
      rr: fc.constantFrom([], ['CAA 0 issue "a.example"'], ['CAA 0 issue ";"', 'MX 5 a.example']),
    }),
    { nil: undefined },
  );
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ path: name.map((labels) => labels.join('/')), value }) },
    { weight: 1, arbitrary: fc.constant('make' as const) },
  );
  const steps = fc.array(step, { maxLength: 30 });

  it('After any changes the differences since any earlier version give the newest one', () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (all, aggregates) => {
        const followed = new Followed({ aggregates });
        const versions = new Map([[followed.zone.serial, zoneOf(followed)]]);
        for (const each of [...all, 'make' as const]) {
          if (each !== 'make') followed.put(each.path, each.value);
          else followed.make();
          versions.set(followed.zone.serial, zoneOf(followed));
        }
        const newest = zoneOf(followed);
        for (const [serial, lines] of versions) {
          assert.deepEqual(applied(lines, followed.zone.since(serial)), newest);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('After any changes the copy of a zone equals one that is read anew', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const followed = new Followed();
        for (const each of all) {
          if (each === 'make') followed.make();
          else followed.put(each.path, each.value);
        }
        followed.make();
        const anew = new Followed();
        const last = new Map(
          all.flatMap((each) => (each === 'make' ? [] : [[each.path, each.value]])),
        );
        for (const [path, each] of last) anew.put(path, each);
        anew.make();
        assert.deepEqual(withoutSoa(zoneOf(followed)), withoutSoa(zoneOf(anew)));
      }),
      { numRuns: 100 },
    );
  });

  it('A deleted name below a stored wildcard leaves the zone, as does a wildcard below another', () => {
    const followed = new Followed();
    followed.put('*', { host: '10.0.0.1' });
    followed.make();
    const before = withoutSoa(zoneOf(followed));
    for (const path of ['c', 'd/*', 'd/e']) {
      followed.put(path, { host: '10.0.0.2' });
      followed.make();
      followed.put(path, undefined);
      followed.make();
      assert.deepEqual(withoutSoa(zoneOf(followed)), before, path);
    }
  });

  it('A transfer sends the version with which it began, whatever changes while it runs', () => {
    const followed = new Followed();
    for (let i = 0; i < 50; i++) followed.put(`n${i}`, { host: `10.0.0.${i}`, port: -1 });
    followed.make();
    const before = zoneOf(followed);
    const transfer = followed.zone.whole();
    for (let i = 0; i < 60; i++) followed.put(`n${i}`, { host: `10.0.1.${i}`, port: -1 });
    followed.make();
    assert.deepEqual(applied(new Set(), transfer), before);
  });

  it('A secondary whose version is not in the history gets the whole zone', () => {
    const followed = new Followed({ historyRecords: 10 });
    for (let i = 0; i < 20; i++) {
      followed.put(`n${i}`, { host: `10.0.0.${i}`, port: -1 });
      followed.make();
    }
    assert.equal(followed.zone.since(1).kind, 'zone');
    assert.equal(followed.zone.since(19).kind, 'differences');
    assert.equal(followed.zone.since(20).kind, 'same');
  });

  it('Versions without a changed record leave the history too', () => {
    const followed = new Followed({ historyRecords: 10 });
    for (let i = 1; i <= 7; i++) {
      followed.put('bad', []);
      followed.make(true);
    }
    assert.equal(followed.zone.serial, 7);
    assert.equal(followed.zone.since(1).kind, 'zone');
    assert.equal(followed.zone.since(2).kind, 'differences');
  });

  it('A secondary with a newer version gets the SOA alone', () => {
    const followed = new Followed();
    followed.put('a', { host: '10.0.0.1', port: -1 });
    followed.make();
    assert.equal(followed.zone.since(99).kind, 'same');
    assert.equal(followed.zone.since(2 ** 31 + 1).kind, 'zone', 'neither serial is newer');
  });

  it('Several versions whose changes cancel each other are sent as one difference without them', () => {
    const followed = new Followed();
    for (let i = 0; i < 20; i++) followed.put(`n${i}`, { host: `10.0.0.${i}`, port: -1 });
    followed.make();
    const { serial } = followed.zone;
    followed.put('new', { host: '10.0.0.99', port: -1 });
    followed.make();
    followed.put('new', undefined);
    followed.make();
    assert.deepEqual(
      received(followed.zone.since(serial)).map(({ type }) => type),
      [Type.SOA, Type.SOA, Type.SOA, Type.SOA],
    );
  });

  it('A change of one service above which there are thousands sends few records', () => {
    const followed = new Followed();
    for (let i = 0; i < 3_000; i++) {
      const path = `n${String(i).padStart(4, '0')}`;
      followed.put(path, { host: `10.0.${i >> 8}.${i & 255}`, port: -1 });
    }
    followed.make();
    const { serial } = followed.zone;
    followed.put('n2999', { host: '10.9.9.9', port: -1 });
    followed.make();
    assert.equal(received(followed.zone.since(serial)).length, 6);
    followed.put('n0000', undefined);
    followed.make();
    const lines = zoneOf(followed);
    assert.ok(
      lines.has('skydns.local.\t3600\tIN\tA\t10.0.3.232'),
      'the next service counts instead',
    );
    assert.ok(!lines.has('skydns.local.\t3600\tIN\tA\t10.0.0.0'));
  });
});

function withoutSoa(lines: ReadonlySet<string>): string[] {
  return [...lines].filter((line) => !line.includes('\tSOA\t')).sort();
}
