import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRegistratorFlags } from '../../../src/registrar/registrator/flags.ts';

const URI = 'skydns2://10.0.0.1:2379/skydns.local';

const DEFAULTS = {
  store: 'etcd://10.0.0.1:2379',
  domain: ['skydns', 'local'],
  ip: undefined,
  mode: 'published',
  exposedByDefault: true,
  ipLabel: undefined,
  tags: [],
  leaseTtlSeconds: undefined,
  keepaliveSeconds: undefined,
  reconcileSeconds: undefined,
  health: 'ignore',
};

describe('registrator’s command line', () => {
  for (const [line, changes] of [
    [URI, {}],
    [`-- ${URI}`, {}],
    [`${URI}/`, {}],
    [`-internal ${URI}`, { mode: 'internal' }],
    [`--internal=true ${URI}`, { mode: 'internal' }],
    [`-internal=false ${URI}`, {}],
    [`-internal=0 ${URI}`, {}],
    [`-explicit=T ${URI}`, { exposedByDefault: false }],
    [`-ip 192.0.2.7 ${URI}`, { ip: '192.0.2.7' }],
    [`-ip=2001:db8::7 ${URI}`, { ip: '2001:db8::7' }],
    [`-ip= ${URI}`, {}],
    [`-useIpFromLabel io.rancher.container.ip ${URI}`, { ipLabel: 'io.rancher.container.ip' }],
    [`-tags a,b ${URI}`, { tags: ['a', 'b'] }],
    [`-ttl 30 -ttl-refresh 10 ${URI}`, { leaseTtlSeconds: 30, keepaliveSeconds: 10 }],
    [`-ttl 0 -ttl-refresh 0 ${URI}`, {}],
    [`-resync 600 ${URI}`, { reconcileSeconds: 600 }],
    [`-deregister always ${URI}`, {}],
    ['skydns2://etcd/Cluster.Local', { store: 'etcd://etcd:2379', domain: ['cluster', 'local'] }],
    ['skydns2:///x', { store: 'etcd://127.0.0.1:2379', domain: ['x'] }],
    ['skydns2://[::1]:4001/x', { store: 'etcd://[::1]:4001', domain: ['x'] }],
  ] as const) {
    it(`The flags of registrator are read from: ${line}`, () => {
      const command = parseRegistratorFlags(line.split(' '));
      assert.deepEqual(command, {
        kind: 'options',
        options: { ...DEFAULTS, ...changes },
        notes: [],
      });
    });
  }

  for (const [line, notes] of [
    [`-cleanup ${URI}`, ['-cleanup has no effect: records of ended containers are always removed']],
    [
      `-retry-attempts -1 ${URI}`,
      ['-retry-attempts has no effect: the store is retried without a limit'],
    ],
    [
      `-retry-interval=50 ${URI}`,
      ['-retry-interval has no effect: the registrar chooses the interval of retries'],
    ],
    [
      `-deregister on-success ${URI}`,
      ['-deregister has no effect: the records of an ended container are always removed'],
    ],
  ] as const) {
    it(`A note says which flag has no effect in registrator’s command line: ${line}`, () => {
      const command = parseRegistratorFlags(line.split(' '));
      assert.deepEqual(command, { kind: 'options', options: DEFAULTS, notes });
    });
  }

  for (const [line, mistakes] of [
    ['', ['no URI; write skydns2://HOST:PORT/DOMAIN']],
    [`${URI} -internal`, ['"-internal": flags go before the URI']],
    [`${URI} x y`, ['"x" "y": flags go before the URI']],
    [
      'consul://localhost:8500',
      ['"consul://localhost:8500": only skydns2 is supported; write skydns2://HOST:PORT/DOMAIN'],
    ],
    [
      'skydns2://10.0.0.1:2379',
      ['"skydns2://10.0.0.1:2379" has no domain; write skydns2://HOST:PORT/DOMAIN'],
    ],
    [
      'skydns2://10.0.0.1:2379/a/b',
      ['"skydns2://10.0.0.1:2379/a/b" has no domain; write skydns2://HOST:PORT/DOMAIN'],
    ],
    [
      'skydns2://10.0.0.1:99999/x',
      ['"skydns2://10.0.0.1:99999/x" has no host; write skydns2://HOST:PORT/DOMAIN'],
    ],
    [
      'skydns2://user@host/x',
      ['"skydns2://user@host/x" has no host; write skydns2://HOST:PORT/DOMAIN'],
    ],
    [`-interal ${URI}`, ['"-interal" is not a flag of registrator\'s']],
    [`-internal=maybe ${URI}`, ['-internal: "maybe" is not true or false']],
    [`-ip localhost ${URI}`, ['-ip: "localhost" is not an IP address']],
    [`-ttl 30 ${URI}`, ['-ttl and -ttl-refresh go together']],
    [`-ttl-refresh 30 ${URI}`, ['-ttl and -ttl-refresh go together']],
    [`-ttl 10 -ttl-refresh 10 ${URI}`, ['-ttl must be greater than -ttl-refresh']],
    [`-ttl 5m -ttl-refresh 10 ${URI}`, ['-ttl: "5m" is not a whole number of seconds']],
    [`-resync -1 ${URI}`, ['-resync: "-1" is not a whole number of seconds']],
    [`-deregister never ${URI}`, ['-deregister: "never" is not always or on-success']],
    [`-tags {{.Name}} ${URI}`, ['-tags: templates are not supported; write the tags themselves']],
    ['-ip', ['-ip needs a value', 'no URI; write skydns2://HOST:PORT/DOMAIN']],
  ] as const) {
    it(`Mistakes are reported in registrator’s command line: ${line || '(empty)'}`, () => {
      const args = line === '' ? [] : line.split(' ');
      assert.deepEqual(parseRegistratorFlags(args), { kind: 'mistakes', mistakes });
    });
  }

  it('--version is accepted only as the sole argument', () => {
    assert.deepEqual(parseRegistratorFlags(['--version']), { kind: 'version' });
    assert.equal(parseRegistratorFlags(['--version', URI]).kind, 'mistakes');
  });

  it('-h is parsed as a request for help', () =>
    assert.deepEqual(parseRegistratorFlags(['-h']), { kind: 'help' }));
});
