/** Virtual addresses: which names have one, and what else the names answer then. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { findNode, type Node } from '../../src/zone/tree/tree.ts';
import { giveAddresses, tableDelete, tablePut, tablesOf } from '../support/nameTables.ts';
import { assertResponse, catalogOf, type Expected, name, respond } from '../support/zone.ts';

const SERVICES = {
  'local/skydns/web/1': { host: '10.0.0.1', port: 49153, text: 'one' },
  'local/skydns/web/2': { host: '10.0.0.2', port: 49154 },
  'local/skydns/both/1': { host: '10.0.1.1', port: 80 },
  'local/skydns/www': { host: 'web.skydns.local' },
  'local/skydns/s': { host: 'web.skydns.local', port: 81 },
  'local/skydns/alias/1': { host: 'web.skydns.local' },
  'local/skydns/single': { host: '10.0.2.1', port: 90 },
  'local/skydns/plain': { host: '10.0.3.1' },
  'local/skydns/apex/dns/unused': { host: '10.0.4.1' },
};

const ADDRESSES = {
  '198.18.73.12': 'web.skydns.local.',
  '198.18.73.13': 'BOTH.skydns.local',
  'fd00::13': 'both.skydns.local',
  '198.18.73.14': 'idle.deep.skydns.local',
  '198.18.73.15': 'alias.skydns.local',
  '198.18.73.16': 'x.plain.skydns.local',
};

const ON = { virtualAddresses: true };

function zone(settings = ON) {
  const catalog = catalogOf(SERVICES);
  const tables = tablesOf(catalog);
  giveAddresses(tables, ADDRESSES);
  const check = (q: string, expected: Expected, overrides = {}): void => {
    const [qname = '', type = ''] = q.split(' ');
    const asked = { settings: { ...settings, ...overrides }, facts: tables.facts };
    assertResponse(respond(catalog, qname, type, asked), expected);
  };
  return { catalog, tables, check };
}

interface Case extends Expected {
  readonly what: string;
  readonly q: string;
}

const CASES: readonly Case[] = [
  {
    what: 'A of a name with a virtual address is that address, with the default TTL',
    q: 'web.skydns.local. A',
    answer: 'web.skydns.local. 3600 IN A 198.18.73.12',
  },
  {
    what: 'AAAA of a name whose only virtual address is IPv4 is NODATA',
    q: 'web.skydns.local. AAAA',
  },
  {
    what: 'AAAA of a name with a virtual IPv6 address is that address',
    q: 'both.skydns.local. AAAA',
    answer: 'both.skydns.local. 3600 IN AAAA fd00::13',
  },
  {
    what: 'SRV of a name with a virtual address lists the instances with their own addresses',
    q: 'web.skydns.local. SRV',
    answer: `
      web.skydns.local. 3600 IN SRV 10 50 49153 1.web.skydns.local.
      web.skydns.local. 3600 IN SRV 10 50 49154 2.web.skydns.local.`,
    additional: `
      1.web.skydns.local. 3600 IN A 10.0.0.1
      2.web.skydns.local. 3600 IN A 10.0.0.2`,
  },
  {
    what: 'TXT of a name with a virtual address has the texts of the instances',
    q: 'web.skydns.local. TXT',
    answer: 'web.skydns.local. 3600 IN TXT "one"',
  },
  {
    what: 'A of an instance below a name with a virtual address is its own address',
    q: '1.web.skydns.local. A',
    answer: '1.web.skydns.local. 3600 IN A 10.0.0.1',
  },
  {
    what: 'A of any.NAME lists the instances although NAME has a virtual address',
    q: 'any.web.skydns.local. A',
    answer: `
      any.web.skydns.local. 3600 IN A 10.0.0.1
      any.web.skydns.local. 3600 IN A 10.0.0.2`,
  },
  {
    what: 'A of a name above one with a virtual address lists the instances below it',
    q: 'skydns.local. TXT',
    answer: 'skydns.local. 3600 IN TXT "one"',
  },
  {
    what: 'A name without services has its virtual address',
    q: 'idle.deep.skydns.local. A',
    answer: 'idle.deep.skydns.local. 3600 IN A 198.18.73.14',
  },
  {
    what: 'SRV of a name without services and with a virtual address is NODATA',
    q: 'idle.deep.skydns.local. SRV',
  },
  { what: 'A name above one that has only a virtual address exists', q: 'deep.skydns.local. A' },
  {
    what: 'An alias of a name with a virtual address leads to that address',
    q: 'www.skydns.local. A',
    answer: `
      www.skydns.local. 3600 IN CNAME web.skydns.local.
      web.skydns.local. 3600 IN A 198.18.73.12`,
  },
  {
    what: 'The glue of an SRV record whose host has a virtual address is that address',
    q: 's.skydns.local. SRV',
    answer: 's.skydns.local. 3600 IN SRV 10 100 81 web.skydns.local.',
    additional: 'web.skydns.local. 3600 IN A 198.18.73.12',
  },
  {
    what: 'A name with a virtual address is no alias, although its only instance leads to another name',
    q: 'alias.skydns.local. CNAME',
  },
  {
    what: 'A name with a virtual address has it in place of the address of its only instance’s host',
    q: 'alias.skydns.local. A',
    answer: 'alias.skydns.local. 3600 IN A 198.18.73.15',
  },
  {
    what: 'A virtual address below a value does not hide the value',
    q: 'plain.skydns.local. A',
    answer: 'plain.skydns.local. 3600 IN A 10.0.3.1',
  },
  {
    what: 'The question’s case is kept in the record of a virtual address',
    q: 'WEB.SkyDNS.local. A',
    answer: 'WEB.SkyDNS.local. 3600 IN A 198.18.73.12',
  },
  {
    what: 'QTYPE ANY of a name that has only a virtual address is not NXDOMAIN',
    q: 'idle.deep.skydns.local. ANY',
    answer: 'idle.deep.skydns.local. 3600 IN HINFO "RFC8482" ""',
  },
  {
    what: 'PTR of a name that has only a virtual address is NODATA',
    q: 'idle.deep.skydns.local. PTR',
  },
];

describe('A name with a virtual address', () => {
  const { check } = zone();
  for (const { what, q, ...expected } of CASES) it(`${what} (${q})`, () => check(q, expected));

  it('The record of a virtual address has the TTL of the option', () => {
    check(
      'web.skydns.local. A',
      { answer: 'web.skydns.local. 60 IN A 198.18.73.12' },
      { ttlSeconds: 60 },
    );
  });

  it('Without an ambassador in force, names have the addresses of their instances', () => {
    const off = { virtualAddresses: false };
    const instances = `
      web.skydns.local. 3600 IN A 10.0.0.1
      web.skydns.local. 3600 IN A 10.0.0.2`;
    check('web.skydns.local. A', { answer: instances }, off);
    check('idle.deep.skydns.local. A', { rcode: 'NXDOMAIN' }, off);
    check('deep.skydns.local. A', { rcode: 'NXDOMAIN' }, off);
    check(
      'alias.skydns.local. CNAME',
      {
        answer: 'alias.skydns.local. 3600 IN CNAME web.skydns.local.',
      },
      off,
    );
  });

  it('local.dns has the virtual address of the name that it stands for', () => {
    check(
      'local.dns.skydns.local. A',
      { answer: 'local.dns.skydns.local. 3600 IN A 198.18.73.12' },
      { local: name('web.skydns.local.') },
    );
  });
});

describe('The keys of virtual addresses', () => {
  it('Of two keys for one name and family the one that was created first stands', () => {
    const { tables, check } = zone();
    // 198.18.73.12 was created at revision 1; a later write does not make it younger.
    tables.vip.apply([
      tablePut('vip', '198.18.73.12', { name: 'web.skydns.local' }, 90, 20),
      tablePut('vip', '198.18.73.200', { name: 'web.skydns.local' }, 91, 19),
    ]);
    check('web.skydns.local. A', { answer: 'web.skydns.local. 3600 IN A 198.18.73.200' });
    const standing = [...tables.vip.standing()].filter(({ name: [label] }) => label === 'web');
    assert.deepEqual(
      standing.map(({ address }) => address),
      ['198.18.73.200'],
    );
    tables.vip.apply([tableDelete('vip', '198.18.73.200', 92)]);
    check('web.skydns.local. A', { answer: 'web.skydns.local. 3600 IN A 198.18.73.12' });
  });

  it('A key whose value names another service moves the address', () => {
    const { tables, check } = zone();
    tables.vip.apply([tablePut('vip', '198.18.73.14', { name: 'other.skydns.local' }, 50, 4)]);
    check('other.skydns.local. A', { answer: 'other.skydns.local. 3600 IN A 198.18.73.14' });
    check('idle.deep.skydns.local. A', { rcode: 'NXDOMAIN' });
    check('deep.skydns.local. A', { rcode: 'NXDOMAIN' });
  });

  const INVALID: readonly (readonly [path: string, value: unknown, reason: RegExp])[] = [
    ['not-an-address', { name: 'web.skydns.local' }, /not an IP address/],
    ['198.18.0.1/2', { name: 'web.skydns.local' }, /not an IP address/],
    ['198.18.0.2', 'no json', /not JSON/],
    ['198.18.0.3', '[]', /not a JSON object/],
    ['198.18.0.4', {}, /name: must be a domain name/],
    ['198.18.0.5', { name: 7 }, /name: must be a domain name/],
    ['198.18.0.6', { name: '*.skydns.local' }, /name: must be a domain name/],
    ['198.18.0.7', { name: '.' }, /name: must be a domain name/],
    ['198.18.0.8', { name: 'a..b' }, /name: must be a domain name/],
    ['198.18.0.9', { name: `${'x'.repeat(64)}.local` }, /name: must be a domain name/],
    ['198.18.0.10', { name: 'web.skydns.local', pad: 'x'.repeat(5_000) }, /above 4096 octets/],
  ];
  for (const [path, value, reason] of INVALID) {
    it(`An invalid value costs only its own address and is reported once (${path})`, () => {
      const catalog = catalogOf(SERVICES);
      const reports: string[] = [];
      const tables = tablesOf(catalog, (key, why) => reports.push(`${key}: ${why}`));
      giveAddresses(tables, { '198.18.73.12': 'web.skydns.local.' });
      const before = [...tables.vip.rows()];
      for (const revision of [10, 11]) tables.vip.apply([tablePut('vip', path, value, revision)]);
      assert.equal(reports.length, 1);
      assert.match(reports[0] ?? '', reason);
      assert.deepEqual([...tables.vip.rows()], before);
      assert.equal(tables.vip.invalid, 1);
      tables.vip.apply([tableDelete('vip', path, 12)]);
      assert.equal(tables.vip.invalid, 0);
    });
  }

  it('A value that becomes invalid takes the address away', () => {
    const catalog = catalogOf(SERVICES);
    const tables = tablesOf(catalog, () => {});
    giveAddresses(tables, { '198.18.73.12': 'web.skydns.local.' });
    tables.vip.apply([tablePut('vip', '198.18.73.12', 'broken', 9)]);
    assert.deepEqual([...tables.vip.rows()], []);
    assert.equal(catalog.root.virtualCount, 0);
  });
});

const labels = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 });
const step = fc.oneof(
  fc.record({
    table: fc.constant('vip' as const),
    path: fc.constantFrom('198.18.0.1', '198.18.0.2', 'fd00::1'),
    name: fc.option(labels, { nil: undefined }),
  }),
  fc.record({
    table: fc.constant('names' as const),
    path: labels.map((path) => path.join('/')),
    name: fc.option(fc.constant(['x']), { nil: undefined }),
  }),
);

describe('The tree with virtual addresses', () => {
  it('A node is in the tree exactly while a service or a virtual address is at or below it', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const catalog = catalogOf({});
        const { vip } = tablesOf(catalog);
        const model = new Map<string, string[]>();
        steps.forEach(({ table, path, name: given }, i) => {
          const id = `${table} ${path}`;
          if (given === undefined) model.delete(id);
          else model.set(id, table === 'vip' ? given : path.split('/').reverse());
          if (table === 'vip') {
            vip.apply([
              given === undefined
                ? tableDelete('vip', path, i + 1)
                : tablePut('vip', path, { name: given.join('.') }, i + 1),
            ]);
          } else {
            const key = `/skydns/${path}`;
            const modRevision = i + 1;
            const value = Buffer.from('{"host":"192.0.2.1"}');
            const entry = { key, value, createRevision: i, modRevision, lease: undefined };
            catalog.apply([
              given === undefined
                ? { kind: 'delete', key, modRevision, previous: undefined }
                : { kind: 'put', entry, previous: undefined },
            ]);
          }
        });
        const held = [...model].map(([id, owner]) => ({ isVirtual: id.startsWith('vip'), owner }));
        assertNode(catalog.root, held);
        for (const { owner } of held) assert.ok(findNode(catalog.root, owner));
      }),
      { numRuns: 500 },
    );
  });
});

/** Checks a node's counts, and those of the nodes below it, against all that is registered. */
function assertNode(
  node: Node,
  held: readonly { readonly isVirtual: boolean; readonly owner: readonly string[] }[],
): void {
  const own = node.owner();
  const below = held.filter(({ owner }) =>
    own.every((label, i) => owner.at(i - own.length) === label),
  );
  assert.equal(node.virtualCount, below.filter(({ isVirtual }) => isVirtual).length);
  assert.equal(node.serviceCount, below.filter(({ isVirtual }) => !isVirtual).length);
  assert.equal(node.isInTree, below.length > 0);
  const services = below.filter(({ isVirtual, owner }) => !isVirtual && owner.length > own.length);
  assert.equal(node.hasAggregateBelow, services.length > 0);
  for (const child of node.children ?? []) {
    assert.ok(child.isInTree, 'no empty node stays in the tree');
    assertNode(child, held);
  }
}
