/** The settings of a provider for other containers' connections: its own port, tags, virtual address and leader rule. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RegistrarContext } from '../../../src/registrar/describe/context.ts';
import { recordValue } from '../../../src/registrar/describe/storedValue.ts';
import { asShortId } from '../../../src/registrar/engine/containerId.ts';
import { parseService } from '../../../src/service/service.ts';
import { summaryOf } from '../../support/descriptions.ts';
import {
  type ContainerSpec,
  inspection,
  registrarContext,
  registratorContext,
} from '../../support/inspection.ts';

const db: ContainerSpec = {
  publish: { '5432/tcp': ['0.0.0.0:49153'] },
  env: { DNS_NAME: '1.db.east' },
};
const ns: ContainerSpec = {
  publish: { '53/tcp': ['0.0.0.0:5353'], '53/udp': ['0.0.0.0:5353'] },
  env: { DNS_53_TCP_NAME: '1.names', DNS_53_UDP_NAME: '2.names' },
};
const DB = 'local/skydns/east/db/1';
const NS = 'local/skydns/names/1';
const NS_UDP = 'local/skydns/names/2';
const BOTH_FAMILIES = { hostAddresses: { v4: '192.0.2.1', v6: '2001:db8::1' } };

function withEnv(spec: ContainerSpec, env: Record<string, string>): ContainerSpec {
  return { ...spec, env: { ...spec.env, ...env } };
}

/** The linking fields of each record. */
function linkingOf(spec: ContainerSpec, changes: Partial<RegistrarContext> = {}) {
  const { records, refusals } = summaryOf(inspection(spec), registrarContext(changes));
  const linking = Object.entries(records).map(([key, fields]) => {
    const { host, port, ttl, targetstrip, ...rest } = fields;
    return [key, rest] as const;
  });
  return { linking: Object.fromEntries(linking), refusals };
}

describe('the linking fields of a record', () => {
  for (const [why, spec, changes, records] of [
    ['A record at a published port has the container’s own port', db, {}, { [DB]: [5432] }],
    [
      'A record at the container’s own address has its port',
      db,
      { mode: 'internal' },
      { [DB]: [5432] },
    ],
    [
      'A record of a UDP port has the port with its protocol',
      ns,
      {},
      { [NS]: [53], [NS_UDP]: ['53/udp'] },
    ],
    [
      'A record without a port has no own port',
      withEnv(db, { DNS_PORT: '0' }),
      {},
      { [DB]: [undefined] },
    ],
    [
      'A record at a stated address has the container’s own port',
      withEnv(db, { DNS_IP: '192.0.2.9' }),
      {},
      { [DB]: [5432] },
    ],
    [
      'Both records of a dual-stack name have the container’s own port',
      { ...db, publish: { '5432/tcp': ['0.0.0.0:49153', '[::]:49153'] } },
      BOTH_FAMILIES,
      { [`${DB}/ipv4`]: [5432], [`${DB}/ipv6`]: [5432] },
    ],
    [
      'DNS_TAGS lists tags, each once',
      withEnv(db, { DNS_TAGS: 'primary, v1\\,2 ,,primary' }),
      {},
      { [DB]: [5432, { tags: ['primary', 'v1,2'] }] },
    ],
    [
      'dns.vip=auto asks for a virtual address of the name without its instance',
      { ...db, labels: { 'dns.vip': 'Auto' } },
      {},
      { [DB]: [5432, { vip: 'auto', vipName: 'db.east.skydns.local' }] },
    ],
    [
      'DNS_VIP takes an address in its canonical form',
      withEnv(db, { DNS_VIP: 'FD00:0::9' }),
      {},
      { [DB]: [5432, { vip: 'fd00::9', vipName: 'db.east.skydns.local' }] },
    ],
    [
      'DNS_VIP=false is stored as none, also where the container asks for an address',
      withEnv(ns, { DNS_VIP: 'auto', DNS_53_UDP_VIP: 'off' }),
      {},
      {
        [NS]: [53, { vip: 'auto', vipName: 'names.skydns.local' }],
        [NS_UDP]: ['53/udp', { vip: 'none' }],
      },
    ],
    [
      'A name with only the zone above it has the virtual address itself',
      withEnv(db, { DNS_NAME: 'db', DNS_VIP: 'auto' }),
      {},
      { 'local/skydns/db': [5432, { vip: 'auto', vipName: 'db.skydns.local' }] },
    ],
    [
      'A numbered instance leaves the virtual address to the name without the number',
      withEnv(db, { DNS_NAME: 'db', DNS_INSTANCE: 'auto', DNS_VIP: 'auto' }),
      {},
      { 'local/skydns/db/*': [5432, { vip: 'auto', vipName: 'db.skydns.local' }] },
    ],
    [
      'Records below a dual-stack name state the name of the virtual address',
      {
        ...withEnv(db, { DNS_VIP: 'auto' }),
        publish: { '5432/tcp': ['0.0.0.0:49153', '[::]:49153'] },
      },
      BOTH_FAMILIES,
      {
        [`${DB}/ipv4`]: [5432, { vip: 'auto', vipName: 'db.east.skydns.local' }],
        [`${DB}/ipv6`]: [5432, { vip: 'auto', vipName: 'db.east.skydns.local' }],
      },
    ],
    [
      'Records below a dual-stack name of a numbered instance state the name without the number',
      {
        ...withEnv(db, { DNS_NAME: 'db', DNS_INSTANCE: 'auto', DNS_VIP: 'auto' }),
        publish: { '5432/tcp': ['0.0.0.0:49153', '[::]:49153'] },
      },
      BOTH_FAMILIES,
      {
        'local/skydns/db/*/ipv4': [5432, { vip: 'auto', vipName: 'db.skydns.local' }],
        'local/skydns/db/*/ipv6': [5432, { vip: 'auto', vipName: 'db.skydns.local' }],
      },
    ],
    [
      'DNS_VIP_NAME chooses a name above the container’s, completed like its names',
      withEnv(db, { DNS_VIP: 'auto', DNS_VIP_NAME: 'East' }),
      {},
      { [DB]: [5432, { vip: 'auto', vipName: 'east.skydns.local' }] },
    ],
    [
      'dns.vip.name may be the container’s own name',
      { ...db, labels: { 'dns.vip.name': '1.db.east.skydns.local.' } },
      {},
      { [DB]: [5432, { vipName: '1.db.east.skydns.local' }] },
    ],
    [
      'DNS_5432_VIP_PORT sets the port at the virtual address',
      withEnv(db, { DNS_VIP: 'auto', DNS_5432_VIP_PORT: '80' }),
      {},
      { [DB]: [5432, { vip: 'auto', vipName: 'db.east.skydns.local', vipPort: 80 }] },
    ],
    [
      'dns.5432.vip.port and dns.5432.vip-port are one setting',
      { ...db, labels: { 'dns.5432.vip-port': '80/tcp' } },
      {},
      { [DB]: [5432, { vipPort: 80 }] },
    ],
    [
      'A port at the virtual address without a protocol has the protocol of the own port',
      withEnv(ns, { DNS_VIP_PORT: '5353' }),
      {},
      { [NS]: [53, { vipPort: 5353 }], [NS_UDP]: ['53/udp', { vipPort: '5353/udp' }] },
    ],
    [
      'A record without a port may have a port at the virtual address',
      withEnv(db, { DNS_PORT: '0', DNS_VIP_PORT: '53/udp' }),
      {},
      { [DB]: [undefined, { vipPort: '53/udp' }] },
    ],
    [
      'DNS_LEADER and DNS_PROXY_PROTOCOL are words and switches in any case',
      withEnv(db, { DNS_LEADER: 'Never', DNS_PROXY_PROTOCOL: 'Yes' }),
      {},
      { [DB]: [5432, { leader: 'never', proxyProtocol: true }] },
    ],
    [
      'dns.proxy-protocol=false stores nothing',
      { ...db, labels: { 'dns.proxy-protocol': 'false', 'dns.leader': 'yes' } },
      {},
      { [DB]: [5432, { leader: 'yes' }] },
    ],
  ] as const satisfies readonly (readonly [
    string,
    ContainerSpec,
    Partial<RegistrarContext>,
    object,
  ])[]) {
    it(why, () => {
      const outcome = linkingOf(spec, changes);
      const expected = Object.entries(records).map(([key, [expose, more = {}]]) => [
        key,
        { ...(expose === undefined ? {} : { expose }), ...more },
      ]);
      assert.deepEqual(outcome, { linking: Object.fromEntries(expected), refusals: [] });
    });
  }

  for (const [setting, value, refusal] of [
    [
      'TAGS',
      Array.from({ length: 65 }, (_, i) => `t${i}`).join(),
      /is "t0,t1,.*", which is not a list of at most 64 tags of at most 255 characters/,
    ],
    ['TAGS', 'x'.repeat(256), /is not a list of at most 64 tags/],
    ['TAGS', `a${','.repeat(4096)}`, /is not a list of at most 64 tags .*, 4096 octets in all/],
    ['TAGS', 'a\u0007', /\\007.*is not a list of at most 64 tags/],
    ['TAGS', ',', /is not a list of at most 64 tags/],
    ['VIP', 'true', /is "true", which is not auto, false, or an IP address that other hosts can/],
    ['VIP', '127.0.0.1', /is not auto, false, or an IP address/],
    ['VIP', '169.254.169.254', /is not auto, false, or an IP address/],
    ['VIP', '198.18.0.0/16', /is not auto, false, or an IP address/],
    ['VIP_NAME', 'db.example.com', /is in none of the zones \(skydns\.local\)/],
    ['VIP_NAME', 'skydns.local', /is a zone itself/],
    ['VIP_NAME', 'ns.dns', /is under dns\.<zone>/],
    ['VIP_NAME', '*.db.east', /is a wildcard/],
    ['VIP_PORT', '0', /is "0", which is not a port from 1 to 65535 with the protocol of 1\/tcp/],
    ['VIP_PORT', '80/udp', /is not a port from 1 to 65535 with the protocol of 1\/tcp/],
    ['VIP_PORT', 'http', /is not a port from 1 to 65535/],
    ['LEADER', 'first', /is "first", which is not oldest, manual, never or yes/],
    ['PROXY_PROTOCOL', 'v2', /is "v2", which is not true or false/],
  ] as const) {
    it(`${setting}=${JSON.stringify(value.slice(0, 20))} costs only the record of its port`, () => {
      const env = { DNS_1_NAME: 'a.bad', [`DNS_1_${setting}`]: value, DNS_2_NAME: 'a.good' };
      const spec = { expose: ['1/tcp', '2/tcp'], env };
      const { linking, refusals } = linkingOf(spec, { mode: 'internal' });
      assert.deepEqual(linking, { 'local/skydns/good/a': { expose: 2 } });
      assert.equal(refusals.length, 1);
      assert.match(refusals[0] ?? '', new RegExp(`^DNS_1_${setting} .*${refusal.source}`));
      assert.match(refusals[0] ?? '', /^[ -~]{1,320}$/);
    });
  }

  for (const name of ['web.skydns.local', '2.1.db.east', 'b.east']) {
    it(`A container does not give the virtual address of its service to ${name}`, () => {
      const { linking, refusals } = linkingOf(withEnv(db, { DNS_VIP_NAME: name }));
      assert.deepEqual(linking, {});
      assert.match(
        refusals.join(),
        /^1\.db\.east\.skydns\.local is not below .*, to which DNS_VIP_NAME gives the virtual address: choose the name or one above it$/,
      );
    });
  }

  it('A numbered instance does not give the virtual address to one of the numbers', () => {
    const env = { DNS_NAME: 'db', DNS_INSTANCE: 'auto', DNS_VIP_NAME: '1.db.skydns.local' };
    assert.match(
      linkingOf({ ...db, env }).refusals.join(),
      /^db\.skydns\.local is not below 1\.db/,
    );
  });

  it('A PTR record has no linking fields', () => {
    const spec = withEnv(db, { DNS_VIP: 'auto', DNS_TAGS: 'a', DNS_LEADER: 'yes' });
    const { records } = summaryOf(
      inspection(spec),
      registrarContext({ mode: 'internal', ptr: true }),
    );
    assert.deepEqual(records['arpa/in-addr/172/17/0/2'], {
      host: '1.db.east.skydns.local',
      ttl: 30,
    });
  });

  for (const [env, labels, refusal] of [
    [{ DNS_VPI: 'auto' }, {}, 'DNS_VPI is not a setting; did you mean DNS_VIP?'],
    [
      { DNS_5432_VIP_PROT: '80' },
      {},
      'DNS_5432_VIP_PROT is not a setting; did you mean DNS_VIP_PORT?',
    ],
    [{}, { 'dns.vip.prot': '80' }, 'dns.vip.prot is not a setting; did you mean dns.vip.port?'],
    [{}, { 'dns.vip.nam': 'x' }, 'dns.vip.nam is not a setting; did you mean dns.vip.name?'],
    [
      {},
      { 'dns.proxyprotocol': 'true' },
      'dns.proxyprotocol is not a setting; did you mean dns.proxy-protocol?',
    ],
    [{ 'dns.vip.port': '80' }, {}, /^dns\.vip\.port is a variable .* set DNS_VIP_PORT$/],
    [{}, { DNS_VIP_PORT: '80' }, /^DNS_VIP_PORT is a label .* use the label dns\.vip\.port$/],
  ] as const) {
    it(`The misspelt ${JSON.stringify({ ...env, ...labels })} is reported with the right setting`, () => {
      const { refusals } = summaryOf(inspection({ env, labels }), registrarContext());
      if (typeof refusal === 'string') assert.deepEqual(refusals, [refusal]);
      else assert.match(refusals.join('\n'), refusal);
    });
  }
});

describe('the linking fields of registrator’s services', () => {
  it('SERVICE_TAGS and -tags are tags of the record, and ports that of the container', () => {
    const spec = { ...db, env: { SERVICE_TAGS: 'a,b\\,c', SERVICE_NAME: 'db' } };
    const registrator = { hostName: 'node1', rawIds: false, tags: ['all'] };
    const { records } = summaryOf(inspection(spec), registratorContext({ registrator }));
    const [fields] = Object.values(records);
    assert.deepEqual(fields?.tags, ['a', 'b,c', 'all']);
    assert.equal(fields?.expose, 5432);
  });

  it('A tag that no record may have stays in registrator’s attributes alone', () => {
    const long = 'x'.repeat(256);
    const many = Array.from({ length: 70 }, (_, i) => `t${i}`);
    const spec = { ...db, env: { SERVICE_TAGS: [long, ...many].join() } };
    const { description } = summaryOf(inspection(spec), registratorContext());
    assert.ok(description.kind === 'described');
    const [record] = description.records;
    assert.deepEqual(record?.fields.tags, many.slice(0, 64));
    assert.equal(record?.meta?.tags?.length, 71);
  });
});

describe('the stored form of linking fields', () => {
  it('A server reads from the stored value what the settings said', () => {
    const env = { DNS_VIP: '198.18.9.9', DNS_VIP_NAME: 'east', DNS_TAGS: 'a,b' };
    const spec = withEnv(db, { ...env, DNS_LEADER: 'manual', DNS_PROXY_PROTOCOL: 'true' });
    const { description } = summaryOf(inspection(spec), registrarContext());
    assert.ok(description.kind === 'described' && description.records[0] !== undefined);
    const owner = { id: 'E/1', shortId: asShortId('c0ffee123456'), startedAt: 'x' };
    const parsed = parseService(recordValue(description.records[0], owner));
    assert.ok(parsed.kind === 'service');
    assert.deepEqual(parsed.service.attributes.linking, {
      expose: { number: 5432, protocol: 'tcp' },
      tags: ['a', 'b'],
      vip: '198.18.9.9',
      vipName: ['east', 'skydns', 'local'],
      vipPort: undefined,
      leader: 'manual',
      proxyProtocol: true,
    });
  });
});
