import assert from 'node:assert/strict';
import { it, describe as suite } from 'node:test';
import fc from 'fast-check';
import { isSubdomainOf } from '../../../src/dns/name.ts';
import { parentIdOf } from '../../../src/registrar/describe/container.ts';
import type { RegistrarContext } from '../../../src/registrar/describe/context.ts';
import { describeContainer } from '../../../src/registrar/describeContainer.ts';
import type { Inspection } from '../../../src/registrar/engine/engine.ts';
import { nameOfKey } from '../../../src/service/key.ts';
import { NO_SRV } from '../../../src/service/service.ts';
import { summaryOf } from '../../support/descriptions.ts';
import {
  CONTAINER_ID,
  type ContainerSpec,
  inspection,
  registrarContext,
  registratorContext,
} from '../../support/inspection.ts';

const web: ContainerSpec = { publish: { '8080/tcp': ['0.0.0.0:18080', '[::]:18080'] } };
const compose = {
  'com.docker.compose.project': 'shop',
  'com.docker.compose.service': 'web',
  'com.docker.compose.container-number': '1',
};

suite('the records of a container', () => {
  for (const [why, spec, changes, records] of [
    [
      'A container has the record of its DNS_NAME at the published port',
      { ...web, env: { DNS_NAME: '1.rails.production.east.skydns.local' } },
      {},
      {
        'local/skydns/east/production/rails/1': {
          host: '192.0.2.1',
          port: 18080,
          expose: 8080,
          ttl: 30,
        },
      },
    ],
    [
      'Labels set every field of a record',
      {
        ...web,
        labels: {
          'dns.name': 'a',
          'dns.priority': '20',
          'dns.weight': '50',
          'dns.ttl': '60',
          'dns.text': 'v=1; "x"',
          'dns.group': 'blue',
          'dns.targetstrip': '1',
          'dns.mail': 'yes',
          'dns.aggregate': 'no',
          'dns.near': 'Only',
        },
      },
      {},
      {
        'local/skydns/a': {
          host: '192.0.2.1',
          port: 18080,
          expose: 8080,
          priority: 20,
          weight: 50,
          ttl: 60,
          text: 'v=1; "x"',
          group: 'blue',
          targetstrip: 1,
          mail: true,
          aggregate: false,
          near: 'only',
        },
      },
    ],
    [
      'The settings of one port apply to its record only',
      {
        expose: ['1/tcp', '2/tcp'],
        env: { DNS_NAME: 'a', DNS_PORT: '1,2', DNS_2_WEIGHT: '7', DNS_WEIGHT: '5' },
      },
      { mode: 'internal', recordTtlSeconds: 5 },
      {
        'local/skydns/a': { host: '172.17.0.2', port: 1, expose: 1, weight: 5, ttl: 5 },
        'local/skydns/a-2': { host: '172.17.0.2', port: 2, expose: 2, weight: 7, ttl: 5 },
      },
    ],
    [
      'A container with both families has a record of each below its name',
      { ...web, env: { DNS_NAME: '1.rails,www' } },
      { hostAddresses: { v4: '192.0.2.1', v6: '2001:db8::1' } },
      {
        'local/skydns/rails/1/ipv4': {
          host: '192.0.2.1',
          port: 18080,
          expose: 8080,
          ttl: 30,
          targetstrip: 1,
        },
        'local/skydns/rails/1/ipv6': {
          host: '2001:db8::1',
          port: 18080,
          expose: 8080,
          ttl: 30,
          targetstrip: 1,
        },
        'local/skydns/www/ipv4': {
          host: '192.0.2.1',
          port: 18080,
          expose: 8080,
          ttl: 30,
          targetstrip: 1,
        },
        'local/skydns/www/ipv6': {
          host: '2001:db8::1',
          port: 18080,
          expose: 8080,
          ttl: 30,
          targetstrip: 1,
        },
      },
    ],
    [
      'A numbered instance with both families has a record of each',
      { ...web, env: { DNS_SERVICE: 'rails', DNS_INSTANCE: 'auto' } },
      { hostAddresses: { v4: '192.0.2.1', v6: '2001:db8::1' } },
      {
        'local/skydns/rails/*/ipv4': {
          host: '192.0.2.1',
          port: 18080,
          expose: 8080,
          ttl: 30,
          targetstrip: 1,
        },
        'local/skydns/rails/*/ipv6': {
          host: '2001:db8::1',
          port: 18080,
          expose: 8080,
          ttl: 30,
          targetstrip: 1,
        },
      },
    ],
    [
      'DNS_TARGETSTRIP strips labels besides that of the family',
      {
        publish: { '80/tcp': ['192.0.2.7:81', '[2001:db8::7]:82'] },
        env: { DNS_NAME: 'a', DNS_TARGETSTRIP: '1' },
      },
      {},
      {
        'local/skydns/a/ipv4': { host: '192.0.2.7', port: 81, expose: 80, ttl: 30, targetstrip: 2 },
        'local/skydns/a/ipv6': {
          host: '2001:db8::7',
          port: 82,
          expose: 80,
          ttl: 30,
          targetstrip: 2,
        },
      },
    ],
    [
      'DNS_RR has one record a line, which every record of the name gets',
      {
        publish: { '80/tcp': ['192.0.2.7:81'] },
        env: { DNS_NAME: 'a', DNS_RR: 'HTTPS 1 . alpn=h2\nCAA 0 issue "ca.example"\n' },
      },
      {},
      {
        'local/skydns/a': {
          host: '192.0.2.7',
          port: 81,
          expose: 80,
          ttl: 30,
          rr: ['HTTPS 1 . alpn=h2', 'CAA 0 issue "ca.example"'],
        },
      },
    ],
    [
      '--any-rr lets a container have records of every type',
      {
        publish: { '80/tcp': ['192.0.2.7:81'] },
        env: { DNS_NAME: 'a', DNS_RR: 'MX 5 mail.example' },
      },
      { anyRr: true },
      {
        'local/skydns/a': {
          host: '192.0.2.7',
          port: 81,
          expose: 80,
          ttl: 30,
          rr: ['MX 5 mail.example'],
        },
      },
    ],
    [
      'A container without a port has a record of each family',
      { env: { DNS_NAME: 'a', DNS_PORT: '0', DNS_IP: '192.0.2.7,2001:db8::7' } },
      {},
      {
        'local/skydns/a/ipv4': { host: '192.0.2.7', port: -1, ttl: 30, targetstrip: 1 },
        'local/skydns/a/ipv6': { host: '2001:db8::7', port: -1, ttl: 30, targetstrip: 1 },
      },
    ],
    [
      'A container with IPv6 only has its record at the name itself',
      { publish: { '80/tcp': ['[::]:18080'] }, env: { DNS_NAME: 'a' } },
      { hostAddresses: { v4: '192.0.2.1', v6: '2001:db8::1' } },
      { 'local/skydns/a': { host: '2001:db8::1', port: 18080, expose: 80, ttl: 30 } },
    ],
    [
      'DNS_INSTANCE=auto numbers the containers under a DNS_NAME',
      { ...web, env: { DNS_NAME: 'rails', DNS_INSTANCE: 'auto' } },
      {},
      { 'local/skydns/rails/*': { host: '192.0.2.1', port: 18080, expose: 8080, ttl: 30 } },
    ],
    [
      'DNS_MODE=internal registers the container’s own address',
      { ...web, env: { DNS_NAME: 'a', DNS_MODE: 'internal' } },
      {},
      { 'local/skydns/a': { host: '172.17.0.2', port: 8080, expose: 8080, ttl: 30 } },
    ],
    [
      'DNS_2_IP sets the address of one port',
      {
        expose: ['1/tcp', '2/tcp'],
        env: { DNS_NAME: 'a', DNS_PORT: '1,2', DNS_2_IP: '198.51.100.1' },
      },
      { mode: 'internal' },
      {
        'local/skydns/a': { host: '172.17.0.2', port: 1, expose: 1, ttl: 30 },
        'local/skydns/a-2': { host: '198.51.100.1', port: 2, expose: 2, ttl: 30 },
      },
    ],
    [
      'A Compose service that is exposed by default has a numbered name',
      { ...web, labels: compose },
      { exposedByDefault: true },
      { 'local/skydns/shop/web/1?': { host: '192.0.2.1', port: 18080, expose: 8080, ttl: 30 } },
    ],
    [
      'A container without metadata that is exposed by default has the name of its image and its id',
      web,
      { exposedByDefault: true },
      {
        'local/skydns/rails/c0ffee123456': {
          host: '192.0.2.1',
          port: 18080,
          expose: 8080,
          ttl: 30,
        },
      },
    ],
    [
      'A container with only dns.enable has the name of its image and its id',
      { ...web, labels: { 'dns.enable': 'true' } },
      {},
      {
        'local/skydns/rails/c0ffee123456': {
          host: '192.0.2.1',
          port: 18080,
          expose: 8080,
          ttl: 30,
        },
      },
    ],
    [
      'The container’s own addresses have PTR records',
      {
        expose: ['80/tcp'],
        networks: { n: ['10.1.0.2', 'fd00::2'] },
        env: { DNS_NAME: 'b,a', DNS_TTL: '9' },
      },
      { mode: 'internal', ptr: true },
      {
        'arpa/in-addr/10/1/0/2': { host: 'b.skydns.local', ttl: 9 },
        [`arpa/ip6/f/d/0/0${'/0'.repeat(27)}/2`]: { host: 'b.skydns.local', ttl: 9 },
        'local/skydns/a/ipv4': { host: '10.1.0.2', port: 80, expose: 80, ttl: 9, targetstrip: 1 },
        'local/skydns/a/ipv6': { host: 'fd00::2', port: 80, expose: 80, ttl: 9, targetstrip: 1 },
        'local/skydns/b/ipv4': { host: '10.1.0.2', port: 80, expose: 80, ttl: 9, targetstrip: 1 },
        'local/skydns/b/ipv6': { host: 'fd00::2', port: 80, expose: 80, ttl: 9, targetstrip: 1 },
      },
    ],
    [
      'A PTR record points to the name and not to a sibling',
      { expose: ['80/tcp', '90/tcp'], env: { DNS_NAME: 'a', DNS_PORT: '90,80' } },
      { mode: 'internal', ptr: true },
      {
        'arpa/in-addr/172/17/0/2': { host: 'a.skydns.local', ttl: 30 },
        'local/skydns/a': { host: '172.17.0.2', port: 90, expose: 90, ttl: 30 },
        'local/skydns/a-80': { host: '172.17.0.2', port: 80, expose: 80, ttl: 30 },
      },
    ],
    [
      'The host’s address has no PTR record',
      { ...web, env: { DNS_NAME: 'a' } },
      { ptr: true },
      { 'local/skydns/a': { host: '192.0.2.1', port: 18080, expose: 8080, ttl: 30 } },
    ],
    [
      'A stated address has no PTR record',
      { ...web, env: { DNS_NAME: 'a', DNS_IP: '8.8.8.8' } },
      { ptr: true, mode: 'internal' },
      { 'local/skydns/a': { host: '8.8.8.8', port: 8080, expose: 8080, ttl: 30 } },
    ],
    [
      'A PTR record points to the service before the number of the instance is claimed',
      { expose: ['80/tcp'], env: { DNS_SERVICE: 'rails', DNS_INSTANCE: 'auto' } },
      { mode: 'internal', ptr: true },
      {
        'arpa/in-addr/172/17/0/2': { host: 'rails.skydns.local', ttl: 30 },
        'local/skydns/rails/*': { host: '172.17.0.2', port: 80, expose: 80, ttl: 30 },
      },
    ],
  ] as const satisfies readonly [string, ContainerSpec, Partial<RegistrarContext>, object][]) {
    it(why, () => {
      const outcome = summaryOf(inspection(spec), registrarContext(changes));
      assert.deepEqual(outcome.records, records, outcome.reason);
      assert.deepEqual(outcome.refusals, []);
    });
  }

  it('A container’s records are at keys below other prefixes and in other zones', () => {
    const context = registrarContext({
      prefix: '/a/b/',
      zones: [['example', 'org'], ['x']],
      defaultZone: ['x'],
    });
    const env = { DNS_NAME: 'w.example.org,w' };
    const description = describeContainer(inspection({ ...web, env }), context);
    assert.ok(description.kind === 'described');
    assert.deepEqual(
      description.records.map(({ key }) => key),
      ['/a/b/org/example/w', '/a/b/x/w'],
    );
  });
});

suite('a container that is ignored or waits', () => {
  const named = { ...web, env: { DNS_NAME: 'a' } };
  for (const [why, spec, changes, kind, reason] of [
    [
      'A container with dns.enable=false is ignored',
      { ...named, labels: { 'dns.enable': 'false' } },
      {},
      'ignored',
      'is switched off by dns.enable',
    ],
    [
      'A container with DNS_ENABLE=0 is ignored although it is exposed by default',
      { ...web, env: { DNS_ENABLE: '0' } },
      { exposedByDefault: true },
      'ignored',
      'is switched off by DNS_ENABLE',
    ],
    ['An exited container is ignored', { ...named, state: 'exited' }, {}, 'ignored', 'is exited'],
    [
      'An exited container with exposed ports is ignored in internal mode',
      { state: 'exited', expose: ['80/tcp'], env: { DNS_NAME: 'a' } },
      { mode: 'internal' },
      'ignored',
      'is exited',
    ],
    ['A paused container is ignored', { ...named, state: 'paused' }, {}, 'ignored', 'is paused'],
    [
      'An unhealthy container is ignored',
      { ...named, health: 'unhealthy' },
      {},
      'ignored',
      'is unhealthy',
    ],
    [
      'A one-off container of Compose is ignored',
      { ...named, labels: { ...compose, 'com.docker.compose.oneoff': 'True' } },
      {},
      'ignored',
      'is a one-off container of docker compose run',
    ],
    ['A container without an id is ignored', { ...named, id: 'x' }, {}, 'ignored', 'has no id'],
    [
      'A container without an address waits for one',
      { expose: ['80/tcp'], networks: {}, env: { DNS_NAME: 'a' } },
      { mode: 'internal' },
      'waiting',
      'has no address on a network yet',
    ],
    [
      'A container waits while the address of its host is unknown',
      named,
      { hostAddresses: {} },
      'waiting',
      "needs this host's address, which is unknown: set --ip",
    ],
    [
      'A container waits while the container whose network it joined does not exist',
      { ...named, networkMode: 'container:abc' },
      {},
      'waiting',
      'joined the network of a container that does not exist',
    ],
  ] as const satisfies readonly [
    string,
    ContainerSpec,
    Partial<RegistrarContext>,
    string,
    string,
  ][]) {
    it(why, () => {
      const description = describeContainer(inspection(spec), registrarContext(changes));
      assert.deepEqual(description, { kind, reason });
    });
  }

  it('A container whose address is partly unknown has some records and waits for others', () => {
    const spec = {
      expose: ['1/tcp', '2/tcp'],
      env: { DNS_1_NAME: 'a', DNS_2_NAME: 'b', DNS_2_NETWORK: 'late' },
    };
    const outcome = summaryOf(inspection(spec), registrarContext({ mode: 'internal' }));
    assert.deepEqual(Object.keys(outcome.records), ['local/skydns/a']);
    assert.equal(outcome.reason, 'is not on the network late');
  });

  it('A misspelt setting is reported on a container without settings', () => {
    const { refusals } = summaryOf(
      inspection({ ...web, env: { DNS_NAEM: 'a' } }),
      registrarContext(),
    );
    assert.deepEqual(refusals, ['DNS_NAEM is not a setting; did you mean DNS_NAME?']);
  });

  it('A DNS_ variable of another program is not reported', () => {
    const spec = { ...web, env: { DNS_SERVER: '192.0.2.1' } };
    const { description, reason } = summaryOf(inspection(spec), registrarContext());
    assert.equal(description.kind, 'ignored');
    assert.equal(reason, 'has no metadata');
  });
});

suite('a container in another’s network', () => {
  const parent = inspection({
    id: 'ab'.repeat(32),
    publish: { '80/tcp': ['0.0.0.0:8080'] },
    networks: { front: ['10.1.0.2'], back: ['10.2.0.2'] },
    env: { DNS_NETWORK: 'front' },
    startedAt: '2026-01-01T00:00:00Z',
  });
  const child = inspection({
    networkMode: `container:${'ab'.repeat(32)}`,
    networks: {},
    expose: ['80/tcp'],
    env: { DNS_NAME: 'sidecar' },
  });

  it('The inspection of a joined container names its parent', () => {
    assert.equal(parentIdOf(child), 'ab'.repeat(32));
    assert.equal(parentIdOf(parent), undefined);
  });

  it('A joined container is at its parent’s published port and has no PTR record', () => {
    const { records } = summaryOf(child, registrarContext({ ptr: true }), parent);
    assert.deepEqual(records, {
      'local/skydns/sidecar': { host: '192.0.2.1', port: 8080, expose: 80, ttl: 30 },
    });
  });

  it('A joined container chooses among its parent’s networks', () => {
    const { records } = summaryOf(child, registrarContext({ ptr: true, mode: 'internal' }), parent);
    assert.deepEqual(records, {
      'local/skydns/sidecar': { host: '10.1.0.2', port: 80, expose: 80, ttl: 30 },
    });
  });
});

suite('the end of a container’s records', () => {
  for (const [env, changes, stop] of [
    [{}, {}, 'drain'],
    [{}, { stop: 'die' }, 'die'],
    [{ DNS_STOP: 'die' }, {}, 'die'],
    [{ DNS_STOP: 'Drain' }, { stop: 'die' }, 'drain'],
  ] as const) {
    it(`The records of a container with ${JSON.stringify({ ...env, ...changes })} end at ${stop}`, () => {
      const spec = { ...web, env: { DNS_NAME: 'a', ...env } };
      const description = describeContainer(inspection(spec), registrarContext(changes));
      assert.ok(description.kind === 'described');
      assert.equal(description.stop, stop);
    });
  }
});

suite('hostile metadata costs its own record only', () => {
  const LABEL_64 = 'a'.repeat(64);
  for (const [name, reason] of [
    ['www.example.com', /in none of the zones/],
    ['ns.dns.skydns.local', /under dns/],
    ['x.config', /under config/],
    ['*.skydns.local', /is a wildcard: choose another name, or allow it with --wildcards/],
    ['a.*.skydns.local', /has the label \*, which is a wildcard/],
    ['any.skydns.local', /wildcard/],
    ['../../config', /empty label/],
    ['a/../../config', /"a\/": use letters/],
    [`${LABEL_64}.skydns.local`, /longer than 63/],
    [`${'a.'.repeat(130)}skydns.local`, /253 characters/],
    ['a\u0007b', /\\007/],
    ['a\u009b31mb', /\\194\\155/],
    ['skydns.local', /zone itself/],
  ] as const) {
    it(`The name ${JSON.stringify(name.slice(0, 30))} is refused and a good name beside it is kept`, () => {
      const env = { DNS_NAME: `good,${name}` };
      const { records, refusals } = summaryOf(inspection({ ...web, env }), registrarContext());
      assert.deepEqual(Object.keys(records), ['local/skydns/good']);
      assert.equal(refusals.length, 1);
      assert.match(refusals[0] ?? '', reason);
      assert.match(refusals[0] ?? '', /^[ -~]{1,322}$/);
    });
  }

  suite('with --wildcards', () => {
    const described = (env: Readonly<Record<string, string>>, more: object = {}) =>
      summaryOf(inspection({ ...web, env, ...more }), registrarContext({ wildcards: true }));
    const CASES: readonly (readonly [
      what: string,
      env: Readonly<Record<string, string>>,
      records: readonly string[],
      refusal?: RegExp,
    ])[] = [
      ['has a wildcard', { DNS_NAME: '*.Apps' }, ['local/skydns/apps/*']],
      [
        'numbers the containers of one wildcard',
        { DNS_NAME: '*.apps', DNS_INSTANCE: 'auto' },
        ['local/skydns/apps/*/*'],
      ],
      ['has no asterisk in another place', { DNS_NAME: 'a.*.apps' }, [], /has the label \*/],
      ['has no name of the server', { DNS_NAME: '*.dns.skydns.local' }, [], /under dns/],
      [
        'has no virtual address for a wildcard',
        { DNS_NAME: '*.apps', DNS_VIP: 'auto' },
        [],
        /no virtual address: remove DNS_VIP/,
      ],
      [
        'has no name that its wildcard hides',
        { DNS_NAME: 'apps,*.apps' },
        ['local/skydns/apps/*'],
        /would hide it/,
      ],
      [
        'has the name above a wildcard that counts for itself',
        { DNS_NAME: 'apps,*.apps', DNS_AGGREGATE: 'false' },
        ['local/skydns/apps', 'local/skydns/apps/*'],
      ],
    ];
    for (const [what, env, expected, refusal] of CASES) {
      it(`A container ${what}: ${JSON.stringify(env)}`, () => {
        const { records, refusals } = described(env);
        assert.deepEqual(Object.keys(records), expected);
        assert.equal(refusals.length, refusal === undefined ? 0 : 1, refusals.join());
        if (refusal !== undefined) assert.match(refusals[0] ?? '', refusal);
      });
    }

    it('Only one port of a container has a wildcard', () => {
      const ports = { expose: ['1/tcp', '2/tcp'] };
      const { refusals } = described({ DNS_NAME: '*.apps', DNS_PORT: '1,2' }, ports);
      assert.match(refusals.join(), /which only one port can have/);
    });

    it('No PTR record leads to a wildcard', () => {
      const context = registrarContext({ wildcards: true, ptr: true, mode: 'internal' });
      const { records } = summaryOf(inspection({ ...web, env: { DNS_NAME: '*.apps' } }), context);
      assert.deepEqual(Object.keys(records), ['local/skydns/apps/*']);
    });
  });

  for (const [setting, value, reason] of [
    ['WEIGHT', '65536', 'is not a whole number from 0 to 65535'],
    ['WEIGHT', '-1', 'is not a whole number from 0 to 65535'],
    ['PRIORITY', '1e3', 'is not a whole number from 0 to 65535'],
    ['PRIORITY', 'ten', 'is not a whole number from 0 to 65535'],
    ['PRIORITY', '0x10', 'is not a whole number from 0 to 65535'],
    ['TTL', '0', 'is not a whole number from 1 to 604800'],
    ['TTL', '99999999999999999999', 'is not a whole number from 1 to 604800'],
    ['TARGETSTRIP', '128', 'is not a whole number from 0 to 127'],
    ['MAIL', 'perhaps', 'is not true or false'],
    ['TEXT', 'a\nb', 'is not text of at most 1024 octets without control characters'],
    ['TEXT', 'x'.repeat(1025), 'is not text of at most 1024 octets without control characters'],
    ['GROUP', '\u001b]0;x\u0007', 'is not text of at most 255 octets without control characters'],
    ['MODE', 'public', 'is not published or internal'],
    ['NEAR', 'frist', 'is not off, first or only'],
    [
      'RR',
      'CAA 0 issue "a"\n\nCAA 256 issue "a"',
      'has a mistake in line 3: CAA: flags is not 0 to 255',
    ],
    ['IP', '169.254.169.254', 'state an IP address that other hosts can reach'],
  ] as const) {
    it(`${setting}=${JSON.stringify(value.slice(0, 30))} costs only the record of its port`, () => {
      const env = { DNS_1_NAME: 'bad', [`DNS_1_${setting}`]: value, DNS_2_NAME: 'good' };
      const spec = { expose: ['1/tcp', '2/tcp'], env };
      const { records, refusals } = summaryOf(
        inspection(spec),
        registrarContext({ mode: 'internal' }),
      );
      assert.deepEqual(Object.keys(records), ['local/skydns/good']);
      assert.equal(refusals.length, 1);
      assert.ok(refusals[0]?.endsWith(reason), refusals[0]);
      assert.match(refusals[0] ?? '', /^[ -~]+$/);
    });
  }

  for (const setting of ['HEALTH', 'STOP', 'STOP_TIMEOUT', 'ENABLE', 'MODE', 'PORT']) {
    it(`A wrong ${setting} costs all records of the container`, () => {
      const env = { DNS_NAME: 'a', [`DNS_${setting}`]: 'nonsense' };
      const { records, refusals } = summaryOf(inspection({ ...web, env }), registrarContext());
      assert.deepEqual(records, {});
      assert.equal(refusals.length, 1);
      assert.match(refusals[0] ?? '', new RegExp(`^DNS_${setting} is "nonsense", which is not `));
    });
  }

  it('Ten thousand names of a container cause one refusal', () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `n${i}`).join();
    const spec = { expose: ['1/tcp', '2/tcp'], env: { DNS_NAME: names, DNS_2_NAME: 'good' } };
    const { records, refusals } = summaryOf(
      inspection(spec),
      registrarContext({ mode: 'internal' }),
    );
    assert.deepEqual(Object.keys(records), ['local/skydns/good']);
    assert.deepEqual(refusals, ['DNS_NAME lists 10000 names, and at most 64 are allowed']);
  });

  it('Too many names on several ports together cause one refusal', () => {
    const names = Array.from({ length: 60 }, (_, i) => `n${i}`).join();
    const spec = { expose: ['1/tcp', '2/tcp'], env: { DNS_1_NAME: names, DNS_2_NAME: names } };
    const { records, refusals } = summaryOf(
      inspection(spec),
      registrarContext({ mode: 'internal' }),
    );
    assert.deepEqual(records, {});
    assert.deepEqual(refusals, ['DNS_NAME lists 120 names, and at most 64 are allowed']);
  });

  it('A container may have as many names as the limit', () => {
    const names = Array.from({ length: 64 }, (_, i) => `n${i}`).join();
    const { records } = summaryOf(
      inspection({ ...web, env: { DNS_NAME: names } }),
      registrarContext(),
    );
    assert.equal(Object.keys(records).length, 64);
  });

  it('A megabyte of commas or of one label is read without delay', () => {
    const spec = {
      ...web,
      env: { DNS_NAME: ','.repeat(1_000_000), DNS_SERVICE: 'x'.repeat(1_000_000) },
    };
    const { refusals } = summaryOf(inspection(spec), registrarContext());
    assert.deepEqual(refusals, ['DNS_NAME lists 1000001 names, and at most 64 are allowed']);
  });
});

suite('any answer of an engine', () => {
  const word = fc.constantFrom(
    ...[
      '',
      'a',
      '1.rails',
      '*',
      'any',
      '../x',
      'config',
      'ns.dns',
      'a,b',
      'auto',
      '0',
      '53',
      '70000',
    ],
    ...['true', 'no', 'internal', 'ignore', 'host', 'none', 'default', 'bridge', 'container:abc'],
    ...['10.0.0.1', '::1', 'fd00::1', '0.0.0.0', 'x.skydns.local', 'x.example.com', '\u001b[2J'],
    ...['2026-01-02T03:04:05Z', 'sha256:00', 'running', 'healthy', '__proto__'],
  );
  const text = fc.oneof(word, fc.string({ unit: 'binary', maxLength: 12 }));
  const key = fc.constantFrom(
    ...['NAME', 'SERVICE', 'INSTANCE', 'PORT', 'IP', 'NETWORK', 'MODE', 'TTL', 'WEIGHT', 'ENABLE'],
    ...['53_UDP_NAME', '80_NAME', '80_WEIGHT', 'DOMAIN', 'HEALTH', 'TEXT', 'X', '0_NAME'],
    ...['ID', 'TAGS', '80_ID', 'CHECK_HTTP', 'CHECK_TCP', 'IGNORE'],
    ...['VIP', 'VIP_NAME', 'VIP_PORT', '80_VIP_PORT', 'LEADER', 'PROXY_PROTOCOL'],
    ...['LINK_80', 'LINK_53_UDP', 'LINK_LOCAL', 'LINK_X', 'LINK_0'],
  );
  const wild = fc
    .tuple(fc.constantFrom('DNS_', 'SERVICE_'), key, text)
    .map(([prefix, name, value]) => `${prefix}${name}=${value}`);
  const sound = fc.constantFrom(
    ...[
      'DNS_NAME=a',
      'DNS_NAME=1.rails,www,1.rails.x',
      'DNS_SERVICE=web',
      'DNS_80_NAME=b',
      'DNS_PORT=80',
    ],
    ...[
      'DNS_PORT=0',
      'DNS_PORT=53,80',
      'DNS_INSTANCE=auto',
      'DNS_53_UDP_NAME=c',
      'DNS_IP=192.0.2.9',
    ],
    ...[
      'SERVICE_NAME=web',
      'SERVICE_ID=x',
      'SERVICE_80_NAME=b.c',
      'SERVICE_53_ID=web.1:53',
      'SERVICE_TAGS=a',
      'DNS_VIP=auto',
      'DNS_VIP_NAME=rails.skydns.local',
      'DNS_80_VIP_PORT=8080',
      'DNS_LINK_80=web.skydns.local',
    ],
  );
  const variable = fc.oneof({ weight: 3, arbitrary: sound }, { weight: 1, arbitrary: wild });
  const label = key.map((name) => `dns.${name.replace(/_(?=[A-Z])/g, '.').toLowerCase()}`);
  const address = fc.constantFrom(
    '10.0.0.1',
    '10.0.0.2',
    'fd00::1',
    '',
    '0.0.0.0',
    '::',
    '127.0.0.1',
  );
  const hostPort = fc.constantFrom('80', '32768', '0', '70000');
  const json = fc.jsonValue({ maxDepth: 2 });
  const orJson = <T>(arbitrary: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 30, arbitrary }, { weight: 1, arbitrary: json });
  const port = fc.constantFrom(
    '80/tcp',
    '53/udp',
    '53/tcp',
    '0/tcp',
    '99999/tcp',
    'x',
    '__proto__',
  );
  const bindings = orJson(
    fc.array(orJson(fc.record({ HostIp: orJson(address), HostPort: orJson(hostPort) })), {
      maxLength: 3,
    }),
  );
  const anyInspection = fc
    .record(
      {
        Id: orJson(fc.constant(CONTAINER_ID)),
        Name: orJson(text),
        State: orJson(
          fc.record({
            Status: fc.constantFrom('running', 'running', 'running', 'paused', ''),
            Running: orJson(fc.constant(true)),
            StartedAt: orJson(text),
            Health: json,
          }),
        ),
        Config: orJson(
          fc.record({
            Image: orJson(text),
            Env: orJson(
              fc.uniqueArray(variable, {
                selector: (entry) => entry.split('=')[0],
                minLength: 1,
                maxLength: 6,
              }),
            ),
            Labels: orJson(fc.dictionary(label, orJson(text), { maxKeys: 1 })),
            ExposedPorts: orJson(fc.dictionary(port, fc.constant({}))),
            Healthcheck: json,
          }),
        ),
        HostConfig: orJson(
          fc.record({
            NetworkMode: fc.oneof(
              { weight: 4, arbitrary: fc.constant('default') },
              { weight: 1, arbitrary: orJson(word) },
            ),
            PortBindings: orJson(fc.dictionary(port, bindings)),
          }),
        ),
        NetworkSettings: orJson(
          fc.record({
            Ports: orJson(fc.dictionary(port, bindings)),
            Networks: orJson(
              fc.dictionary(
                fc.constantFrom('a', 'b', 'bridge', 'ingress', '__proto__'),
                orJson(
                  fc.record({ IPAddress: orJson(address), GlobalIPv6Address: orJson(address) }),
                ),
              ),
            ),
          }),
        ),
      },
      { requiredKeys: ['Id', 'State', 'Config'] },
    )
    .map((made) => made as unknown as Inspection);
  const anyContext = fc
    .record({
      ptr: fc.boolean(),
      exposedByDefault: fc.boolean(),
      mode: fc.constantFrom('published', 'internal'),
      ipLabel: fc.constantFrom(undefined, 'dns.name'),
      raw: fc.boolean(),
      compat: fc.constantFrom('dns', 'registrator'),
    })
    .map(({ raw, compat, ...changes }) =>
      compat === 'dns'
        ? registrarContext(changes as Partial<RegistrarContext>)
        : registratorContext({
            ...(changes as Partial<RegistrarContext>),
            registrator: { hostName: 'node1', rawIds: raw, tags: ['t'] },
          }),
    );

  const anyParent = fc.option(anyInspection, { nil: undefined });
  /** Every reason starts with a verb: messages put it behind "it", or behind the thing that is refused. */
  const VERB = /^(?:is|has|does|lists|publishes|exposes|waits|needs|cannot|states|joined|and) /;

  it('The description of any container throws nothing, and has only keys inside the zones and short printable reasons', () => {
    let described = 0;
    fc.assert(
      fc.property(anyInspection, anyContext, anyParent, (made, context, parent) => {
        const description = describeContainer(made, context, parent);
        if (description.kind !== 'described') {
          assert.match(description.reason, /^[^\p{Cc}\u2028\u2029]{1,400}$/u);
          assert.match(description.reason, VERB);
          return;
        }
        described += description.records.length > 0 ? 1 : 0;
        for (const record of description.records) {
          const keys = [record.key, record.keyIfTaken ?? record.key];
          for (const one of keys) assertInZones(one, record.instance === 'auto', context);
          assert.ok(record.fields.host !== '' && record.fields.ttl >= 1);
          const { port = 1 } = record.fields;
          assert.ok(Number.isInteger(port) && port >= NO_SRV && port !== 0 && port <= 65_535);
          const { vip, vipName } = record.fields;
          const asksForNone = vip === undefined || vip === 'none';
          assert.ok(asksForNone || vipName !== undefined);
          const named = vipName?.split('.') ?? ['x', ...context.defaultZone];
          assert.ok(named.length > context.defaultZone.length, vipName);
          assert.ok(isSubdomainOf(named, context.defaultZone), vipName);
        }
        const keys = description.records.map(
          ({ key, family, instance }) => key + family + instance,
        );
        assert.equal(new Set(keys).size, keys.length);
        for (const hint of description.hints ?? [])
          assert.match(hint, /^[^\p{Cc}\u2028\u2029]{1,320}$/u);
        assert.ok(description.refusals.length <= 17);
        for (const { about, reason } of description.refusals) {
          assert.match(about, /^[^\p{Cc}\u2028\u2029]{0,80}$/u);
          assert.match(reason, /^[^\p{Cc}\u2028\u2029]{1,240}$/u);
          assert.match(reason, VERB);
        }
      }),
      { numRuns: 3000 },
    );
    assert.ok(described > 100, `${described} had records`);
  });

  function assertInZones(key: string, isParent: boolean, context: RegistrarContext): void {
    assert.ok(key.startsWith(context.prefix), key);
    const name = nameOfKey(key, context.prefix);
    assert.ok(name.kind === 'name', key);
    const zone = context.defaultZone;
    const isReverse = context.ptr && name.owner.at(-1) === 'arpa';
    assert.ok(isReverse || isSubdomainOf(name.owner, zone), key);
    assert.ok(isReverse || isParent || name.owner.length > zone.length, key);
    assert.ok(!isSubdomainOf(name.owner, ['dns', ...zone]), key);
    assert.ok(!name.owner.some((label) => /^(\*|any|\.\.?|)$/.test(label)), key);
  }

  it('The description of any JSON as an inspection throws nothing', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 5 }),
        fc.jsonValue(),
        anyContext,
        (made, parent, context) => {
          const [child, other] = [made, parent] as unknown as [Inspection, Inspection];
          assert.equal(describeContainer(child, context, other).kind, 'ignored');
        },
      ),
    );
  });

  it('The description does not depend on the order of members and variables', () => {
    fc.assert(
      fc.property(anyInspection, anyContext, anyParent, (made, context, parent) => {
        const other = reversed(made) as Inspection;
        assert.deepEqual(
          describeContainer(other, context, parent),
          describeContainer(made, context, parent),
        );
      }),
      { numRuns: 2000 },
    );
  });

  /** The same JSON with its members and its list of variables in reverse order. Bindings keep their order. */
  function reversed(json: unknown, name = ''): unknown {
    if (Array.isArray(json)) {
      const items = json.map((item) => reversed(item));
      return name === 'Env' ? items.reverse() : items;
    }
    if (typeof json !== 'object' || json === null) return json;
    const members = Object.entries(json).map(
      ([key, value]) => [key, reversed(value, key)] as const,
    );
    return Object.fromEntries(members.reverse());
  }
});
