/** registrator's metadata and keys, and those of its issues that concern what is registered. */
import assert from 'node:assert/strict';
import { it, describe as suite } from 'node:test';
import type { RegistrarContext } from '../../../src/registrar/describe/context.ts';
import { parseTags } from '../../../src/registrar/describe/fields.ts';
import { describeContainer } from '../../../src/registrar/describeContainer.ts';
import { parseDurationMs } from '../../../src/registrar/registrator/check.ts';
import { summaryOf } from '../../support/descriptions.ts';
import { type ContainerSpec, inspection, registratorContext } from '../../support/inspection.ts';

const web: ContainerSpec = {
  name: 'web',
  image: 'nginx:1.9',
  publish: { '80/tcp': ['0.0.0.0:8080', '[::]:8080'] },
};
const both: ContainerSpec = {
  ...web,
  publish: { '80/tcp': ['0.0.0.0:8080'], '443/tcp': ['0.0.0.0:8443'] },
};
const dns: ContainerSpec = {
  name: 'ns',
  image: 'bind',
  publish: { '53/tcp': ['0.0.0.0:53'], '53/udp': ['0.0.0.0:53'] },
};
const raw = { registrator: { hostName: 'Node1', rawIds: true, tags: [] } };

suite('registrator’s services', () => {
  for (const [why, spec, changes, expected] of [
    ['with one port', web, {}, 'nginx/node1-web-80=192.0.2.1:8080'],
    [
      'with SERVICE_NAME',
      { ...web, env: { SERVICE_NAME: 'www' } },
      {},
      'www/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with SERVICE_NAME as a label and as a variable',
      { ...web, env: { SERVICE_NAME: 'a' }, labels: { SERVICE_NAME: 'b' } },
      {},
      'b/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with SERVICE_80_NAME as a variable and SERVICE_NAME as a label',
      { ...web, env: { SERVICE_80_NAME: 'a' }, labels: { SERVICE_NAME: 'b' } },
      {},
      'a/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with an empty SERVICE_80_NAME and a SERVICE_NAME',
      { ...web, env: { SERVICE_NAME: 'a', SERVICE_80_NAME: '' } },
      {},
      'a/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with a key in small letters',
      { ...web, env: { SERVICE_name: 'a' } },
      {},
      'a/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with two ports',
      both,
      {},
      'nginx-443/node1-web-443=192.0.2.1:8443 nginx-80/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with two ports and SERVICE_NAME',
      { ...both, env: { SERVICE_NAME: 'w' } },
      {},
      'w-443/node1-web-443=192.0.2.1:8443 w-80/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with two ports and SERVICE_80_NAME',
      { ...both, env: { SERVICE_80_NAME: 'w' } },
      {},
      'nginx-443/node1-web-443=192.0.2.1:8443 w/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with one number over tcp and udp (#244)',
      dns,
      {},
      'bind-53/node1-ns-53=192.0.2.1:53 bind-53/node1-ns-53-udp=192.0.2.1:53',
    ],
    ['with SERVICE_ID', { ...web, env: { SERVICE_ID: 'one' } }, {}, 'nginx/one=192.0.2.1:8080'],
    [
      'with two ports and SERVICE_80_ID',
      { ...both, env: { SERVICE_80_ID: 'one' } },
      {},
      'nginx-443/node1-web-443=192.0.2.1:8443 nginx-80/one=192.0.2.1:8080',
    ],
    [
      'with two ports of one name and SERVICE_ID (PR #599)',
      { ...dns, env: { SERVICE_ID: 'one' } },
      {},
      'bind-53/one=192.0.2.1:53 bind-53/one-53-udp=192.0.2.1:53',
    ],
    [
      'with underscores and a dot in its names (#62)',
      { ...web, name: 'My_web.1', env: { SERVICE_NAME: 'Shop_Web' } },
      {},
      'shop-web/node1-my-web-1-80=192.0.2.1:8080',
    ],
    [
      'with a dot and a colon in SERVICE_ID',
      { ...web, env: { SERVICE_ID: 'web.1:80' } },
      {},
      'nginx/web-1-80=192.0.2.1:8080',
    ],
    [
      'with a dot in SERVICE_NAME',
      { ...web, env: { SERVICE_NAME: 'web.prod' } },
      {},
      'prod/web/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with an ignored port',
      { ...both, env: { SERVICE_443_IGNORE: 'true' } },
      {},
      'nginx-80/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with SERVICE_IGNORE=false',
      { ...web, env: { SERVICE_IGNORE: 'false' } },
      {},
      'nginx/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with an exposed port that is not published',
      { ...web, expose: ['443/tcp'] },
      {},
      'nginx/node1-web-80=192.0.2.1:8080',
    ],
    [
      'with -internal',
      { ...web, expose: ['443/tcp'] },
      { mode: 'internal' },
      'nginx-443/node1-web-443=172.17.0.2:443 nginx-80/node1-web-80=172.17.0.2:80',
    ],
    ['with -ip', web, { ip: '203.0.113.9' }, 'nginx/node1-web-80=203.0.113.9:8080'],
    [
      'with -ip and -internal',
      web,
      { ip: '203.0.113.9', mode: 'internal' },
      'nginx/node1-web-80=172.17.0.2:80',
    ],
    [
      'with -useIpFromLabel',
      { ...web, labels: { ip: '10.32.0.7/12' } },
      { ipLabel: 'ip', ip: '203.0.113.9' },
      'nginx/node1-web-80=10.32.0.7:8080',
    ],
    [
      'on the host’s network',
      { ...web, publish: {}, expose: ['80/tcp'], networkMode: 'host' },
      {},
      'nginx/node1-web-80=192.0.2.1:80',
    ],
    [
      'with -explicit and a name',
      { ...both, env: { SERVICE_80_NAME: 'w' } },
      { exposedByDefault: false },
      'w/node1-web-80=192.0.2.1:8080',
    ],
    [
      'on a host with addresses of both families',
      web,
      { hostAddresses: { v4: '192.0.2.1', v6: '2001:db8::1' } },
      'nginx/node1-web-80=192.0.2.1:8080 nginx/node1-web-80-v6=2001:db8::1:8080',
    ],
    [
      'that is unhealthy, which registrator does not check,',
      { ...web, health: 'unhealthy' },
      {},
      'nginx/node1-web-80=192.0.2.1:8080',
    ],
    ['with raw ids', { ...web, name: 'web.1' }, raw, 'nginx/Node1:web.1:80=192.0.2.1:8080'],
    [
      'with raw ids and one number over tcp and udp',
      dns,
      raw,
      'bind-53/Node1:ns:53=192.0.2.1:53 bind-53/Node1:ns:53:udp=192.0.2.1:53',
    ],
    [
      'with raw ids, SERVICE_NAME and SERVICE_ID',
      { ...web, env: { SERVICE_NAME: 'My_App', SERVICE_ID: 'a.b:1' } },
      raw,
      'My_App/a.b:1=192.0.2.1:8080',
    ],
  ] as const satisfies readonly [string, ContainerSpec, Partial<RegistrarContext>, string][]) {
    it(`In compat mode a container ${why} is registered as ${expected}`, () => {
      const { records, refusals, reason } = summaryOf(
        inspection(spec),
        registratorContext(changes),
      );
      const found = Object.entries(records).map(
        ([key, { host, port }]) => `${key.replace('local/skydns/', '')}=${host}:${port}`,
      );
      assert.equal(found.join(' '), expected, reason ?? refusals.join());
      assert.deepEqual(refusals, []);
    });
  }

  for (const [why, spec, changes, reason] of [
    ['without a port (#38)', { name: 'x' }, {}, 'has no published port'],
    [
      'with SERVICE_IGNORE',
      { ...web, env: { SERVICE_IGNORE: 'true' } },
      {},
      'is switched off by SERVICE_IGNORE',
    ],
    [
      'with -explicit and without a name (#298)',
      web,
      { exposedByDefault: false },
      'has no SERVICE_NAME',
    ],
    [
      'that has exited and exposes a port',
      { ...web, state: 'exited', expose: ['80/tcp'] },
      { mode: 'internal' },
      'is exited',
    ],
    [
      'that is unhealthy, with the health policy auto,',
      { ...web, health: 'unhealthy' },
      { health: 'auto' },
      'is unhealthy',
    ],
  ] as const satisfies readonly [string, ContainerSpec, Partial<RegistrarContext>, string][]) {
    it(`In compat mode a container ${why} is ignored`, () =>
      assert.deepEqual(describeContainer(inspection(spec), registratorContext(changes)), {
        kind: 'ignored',
        reason,
      }));
  }

  for (const [why, spec, changes, reason] of [
    [
      'with a switch that is neither true nor false',
      { ...web, env: { SERVICE_IGNORE: 'maybe' } },
      {},
      /^SERVICE_IGNORE is "maybe", which is not true or false$/,
    ],
    [
      'with a SERVICE_NAME that has no letter or digit',
      { ...web, env: { SERVICE_NAME: '***' } },
      {},
      /not a service name/,
    ],
    ['with a wildcard as its name', { ...web, env: { SERVICE_NAME: 'any' } }, {}, /wildcard/],
    ['with a name under dns', { ...web, env: { SERVICE_NAME: 'ns.dns' } }, {}, /under dns/],
    ['with the name dns', { ...web, env: { SERVICE_NAME: 'dns' } }, {}, /under dns/],
    ['with a raw wildcard', { ...web, env: { SERVICE_NAME: '*' } }, raw, /wildcard/],
    ['with the raw name DNS', { ...web, env: { SERVICE_NAME: 'DNS' } }, raw, /under dns/],
    [
      'with a raw name that ends in dns',
      { ...web, env: { SERVICE_NAME: 'x.dns' } },
      raw,
      /under dns/,
    ],
    [
      'with a slash in its raw name',
      { ...web, env: { SERVICE_NAME: '../../config' } },
      raw,
      /cannot be in a key/,
    ],
    [
      'with a slash in its raw id',
      { ...web, env: { SERVICE_ID: 'a/b' } },
      raw,
      /cannot be in a key/,
    ],
    [
      'with an empty label in its raw name',
      { ...web, env: { SERVICE_NAME: '..' } },
      raw,
      /is not a domain name/,
    ],
    [
      'with a control character in its raw id',
      { ...web, env: { SERVICE_ID: 'a\u0007' } },
      raw,
      /cannot be in a key/,
    ],
    [
      'with a port that is published only at loopback',
      { ...web, publish: { '80/tcp': ['127.0.0.1:80'] } },
      {},
      /only this host/,
    ],
    [
      'with too many ports',
      { expose: Array.from({ length: 65 }, (_, i) => `${i + 1}/tcp`) },
      { mode: 'internal' },
      /^the container has 65 ports, and at most 64 are allowed$/,
    ],
  ] as const satisfies readonly [string, ContainerSpec, Partial<RegistrarContext>, RegExp][]) {
    it(`In compat mode a container ${why} is refused`, () => {
      const { records, refusals } = summaryOf(inspection(spec), registratorContext(changes));
      assert.deepEqual(records, {});
      assert.equal(refusals.length, 1);
      assert.match(refusals[0] ?? '', reason);
    });
  }

  it('A service id that is too long for a label is shortened and keeps the container’s id', () => {
    const spec = { ...dns, name: 'x'.repeat(200) };
    const { records, refusals } = summaryOf(inspection(spec), registratorContext());
    assert.deepEqual(refusals, []);
    const leaves = Object.keys(records).map((key) => key.split('/').at(-1) ?? '');
    assert.equal(leaves.length, 2);
    for (const leaf of leaves)
      assert.ok(leaf.length <= 63 && leaf.includes('-c0ffee123456-53'), leaf);
  });
});

/** The first record in full, and the refusals. */
function first(spec: ContainerSpec, changes: Partial<RegistrarContext> = {}) {
  const description = describeContainer(inspection(spec), registratorContext(changes));
  assert.ok(description.kind === 'described');
  return { record: description.records[0], refusals: description.refusals };
}

suite('what registrator dropped or overwrote', () => {
  it('Tags and attributes of registrator are kept', () => {
    const env = {
      SERVICE_TAGS: 'a,b\\,c',
      SERVICE_REGION: 'east',
      SERVICE_80_ZONE: 'z',
      SERVICE_81_X: 'no',
    };
    const registrator = { hostName: 'node1', rawIds: false, tags: ['all'] };
    assert.deepEqual(first({ ...web, env }, { registrator }).record?.meta, {
      tags: ['a', 'b,c', 'all'],
      attributes: { region: 'east', zone: 'z' },
    });
    assert.equal(first(web).record?.meta, undefined);
  });

  it('Tags and attributes of registrator are limited in size', () => {
    const { record, refusals } = first({ ...web, env: { SERVICE_X: 'x'.repeat(5000) } });
    assert.equal(record?.meta, undefined);
    assert.deepEqual(refusals, [
      {
        about: 'SERVICE_TAGS',
        reason: 'has more than 4096 octets of tags and attributes: shorten them',
      },
    ]);
  });

  it('An attribute called __proto__ is an ordinary attribute', () => {
    const { record } = first({ ...web, env: { SERVICE___proto__: 'x' } });
    assert.equal(JSON.stringify(record?.meta), '{"attributes":{"__proto__":"x"}}');
  });

  it('Replicas with one SERVICE_ID have separate keys', () => {
    const keys = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb'].map((id) => {
      const { record } = first({ ...web, id: id.padEnd(64, '0'), env: { SERVICE_ID: 'one' } });
      return [record?.key, record?.keyIfTaken];
    });
    assert.deepEqual(keys, [
      ['/skydns/local/skydns/nginx/one', '/skydns/local/skydns/nginx/one-aaaaaaaaaaaa'],
      ['/skydns/local/skydns/nginx/one', '/skydns/local/skydns/nginx/one-bbbbbbbbbbbb'],
    ]);
  });

  for (const [why, env, check] of [
    [
      'CHECK_HTTP',
      { CHECK_HTTP: '/health' },
      { kind: 'http', path: '/health', method: 'GET', intervalMs: 10_000, timeoutMs: 10_000 },
    ],
    [
      'CHECK_HTTP with a method and times',
      { CHECK_HTTP: '/', CHECK_HTTP_METHOD: 'HEAD', CHECK_INTERVAL: '15s', CHECK_TIMEOUT: '500ms' },
      { kind: 'http', path: '/', method: 'HEAD', intervalMs: 15_000, timeoutMs: 500 },
    ],
    [
      'CHECK_HTTPS',
      { CHECK_HTTPS: '/x' },
      { kind: 'https', path: '/x', method: 'GET', intervalMs: 10_000, timeoutMs: 10_000 },
    ],
    ['CHECK_TCP', { CHECK_TCP: 'true' }, { kind: 'tcp', intervalMs: 10_000, timeoutMs: 10_000 }],
    [
      'CHECK_HTTP beside CHECK_TCP',
      { CHECK_TCP: 'true', CHECK_HTTP: '/h' },
      { kind: 'http', path: '/h', method: 'GET', intervalMs: 10_000, timeoutMs: 10_000 },
    ],
    [
      'a check of the same port',
      { '80_CHECK_TCP': 'true' },
      { kind: 'tcp', intervalMs: 10_000, timeoutMs: 10_000 },
    ],
    ['a check of another port', { '81_CHECK_TCP': 'true' }, undefined],
  ] as const) {
    it(`In compat mode ${why} gives the record ${check === undefined ? 'no check' : `a check over ${check.kind}`}`, () => {
      const named = Object.entries(env).map(([key, value]) => [`SERVICE_${key}`, value]);
      const { record, refusals } = first({ ...web, env: Object.fromEntries(named) });
      assert.deepEqual(record?.check, check);
      assert.deepEqual(refusals, []);
    });
  }

  for (const key of ['SCRIPT', 'CMD', 'TTL', 'GRPC']) {
    it(`CHECK_${key} is not run and is reported`, () => {
      const { record, refusals } = first({ ...web, env: { [`SERVICE_CHECK_${key}`]: 'x' } });
      assert.ok(record !== undefined && record.check === undefined);
      assert.equal(refusals[0]?.about, `SERVICE_CHECK_${key}`);
      assert.match(refusals[0]?.reason ?? '', /not run by this registrar/);
    });
  }

  for (const [times, check, reason] of [
    [
      '100ms 500ms',
      [1_000, 500],
      /^SERVICE_CHECK_INTERVAL is below the minimum: the service is checked every 1 s$/,
    ],
    ['1ms 500ms', [1_000, 500], /^SERVICE_CHECK_INTERVAL is below the minimum/],
    ['5s 1ms', [5_000, 100], /^SERVICE_CHECK_TIMEOUT .* minimum: each check may take 100 ms$/],
    ['5s 1h', [5_000, 30_000], /^SERVICE_CHECK_TIMEOUT .* maximum: each check may take 30 s$/],
  ] as const) {
    it(`A check’s interval and timeout of ${times} are limited, and a hint says so`, () => {
      const [interval = '', timeout = ''] = times.split(' ');
      const asked = { SERVICE_CHECK_INTERVAL: interval, SERVICE_CHECK_TIMEOUT: timeout };
      const { record, refusals } = first({ ...web, env: { SERVICE_CHECK_TCP: '1', ...asked } });
      assert.deepEqual([record?.check?.intervalMs, record?.check?.timeoutMs], check);
      assert.match(refusals.map(({ about, reason }) => `${about} ${reason}`).join(), reason);
    });
  }

  it('The operator can allow check methods that are not safe', () => {
    const env = { SERVICE_CHECK_HTTP: '/', SERVICE_CHECK_HTTP_METHOD: 'POST' };
    const registrator = {
      hostName: 'node1',
      rawIds: false,
      tags: [],
      checkMethods: ['POST'],
    } as const;
    const { record, refusals } = first({ ...web, env }, { registrator });
    assert.equal(record?.check?.kind === 'http' && record.check.method, 'POST');
    assert.deepEqual(refusals, []);
  });

  for (const [env, reason] of [
    [{ SERVICE_CHECK_HTTP: 'health' }, /not a path/],
    [{ SERVICE_CHECK_HTTP: '/a b' }, /not a path/],
    [{ SERVICE_CHECK_HTTP: '/\r\nHost:x' }, /not a path/],
    [{ SERVICE_CHECK_HTTP: '/', SERVICE_CHECK_HTTP_METHOD: 'BREW' }, /not one of GET/],
    [{ SERVICE_CHECK_TCP: '1', SERVICE_CHECK_INTERVAL: '10' }, /not a duration/],
    [{ SERVICE_CHECK_TCP: '1', SERVICE_CHECK_INTERVAL: '0s' }, /not a duration/],
    [
      { SERVICE_CHECK_HTTP: '/', SERVICE_CHECK_HTTP_METHOD: 'POST' },
      /is not one of GET, HEAD: allow it with --check-method POST/,
    ],
    [{ SERVICE_CHECK_TCP: '1', SERVICE_CHECK_TIMEOUT: '9h' }, /not a duration/],
  ] as const) {
    it(`A service whose check cannot run is not registered: ${JSON.stringify(env)}`, () => {
      const { record, refusals } = first({ ...web, env });
      assert.equal(record, undefined);
      assert.match(refusals[0]?.reason ?? '', reason);
    });
  }

  it('The hint to allow a check method names the option of a server', () => {
    const env = { SERVICE_CHECK_HTTP: '/', SERVICE_CHECK_HTTP_METHOD: 'POST' };
    const { refusals } = first({ ...web, env }, { optionPrefix: 'register-' });
    assert.match(refusals[0]?.reason ?? '', /allow it with --register-check-method POST$/);
  });

  for (const [text, ms] of [
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['1.5s', 1500],
    ['250ms', 250],
    ['1h', 3_600_000],
    ['10', undefined],
    ['', undefined],
    ['s', undefined],
    ['1d', undefined],
    ['-1s', undefined],
  ] as const) {
    it(`The duration ${JSON.stringify(text)} is ${ms === undefined ? 'refused' : `${ms} ms`}`, () =>
      assert.equal(parseDurationMs(text), ms));
  }

  for (const [text, tags] of [
    ['', []],
    ['a', ['a']],
    ['a, b ,,c', ['a', 'b', 'c']],
    ['a\\,b', ['a,b']],
    ['\\,', [',']],
  ] as const) {
    it(`The tags ${JSON.stringify(text)} are parsed as ${JSON.stringify(tags)}`, () =>
      assert.deepEqual(parseTags(text), tags));
  }
});

suite('registrator’s issues', () => {
  const onCompose: ContainerSpec = {
    ...web,
    publish: { '80/tcp': ['0.0.0.0:32768'] },
    networkMode: 'shop_default',
    networks: { shop_default: ['172.20.0.5'] },
  };

  it('#337: A published port on a user network has the host’s address', () => {
    const { records } = summaryOf(inspection(onCompose), registratorContext());
    const [record] = Object.values(records);
    assert.deepEqual(record, { host: '192.0.2.1', port: 32768, ttl: 30, expose: 80 });
  });

  it('#337: An exposed port on a user network has the container’s address', () => {
    const { records } = summaryOf(inspection(onCompose), registratorContext({ mode: 'internal' }));
    const [record] = Object.values(records);
    assert.deepEqual(record, { host: '172.20.0.5', port: 80, ttl: 30, expose: 80 });
  });

  it('#498: A container on several networks always gets the same address', () => {
    const networks = {
      zeta: ['10.9.0.2'],
      alpha: ['10.1.0.2'],
      shop_default: ['172.20.0.5'],
    } as const;
    const { records } = summaryOf(
      inspection({ ...onCompose, networks }),
      registratorContext({ mode: 'internal' }),
    );
    assert.equal(Object.values(records)[0]?.host, '172.20.0.5');
  });

  it('#530: A service from an image by digest has the name of the image', () => {
    const image = `registry.example.org/nginx@sha256:${'ab'.repeat(32)}`;
    const { records } = summaryOf(inspection({ ...web, image }), registratorContext());
    assert.deepEqual(Object.keys(records), ['local/skydns/nginx/node1-web-80']);
  });

  it('#644: A recreated container or registrar keeps the service’s key', () => {
    const before = summaryOf(inspection(web), registratorContext());
    const anew = { ...inspection({ ...web, id: 'ab'.repeat(32) }) };
    const after = summaryOf(
      { ...anew, Config: { ...anew.Config, Hostname: 'abab' } },
      registratorContext(),
    );
    assert.deepEqual(Object.keys(before.records), ['local/skydns/nginx/node1-web-80']);
    assert.deepEqual(after.records, before.records);
  });

  it('#561: A container in another container’s network has the address of that container', () => {
    const parent = inspection({ ...onCompose, startedAt: '2026-01-01T00:00:00Z' });
    const child = {
      ...web,
      publish: {},
      expose: ['80/tcp'],
      networks: {},
      networkMode: 'container:short',
    };
    const { records } = summaryOf(
      inspection(child),
      registratorContext({ mode: 'internal' }),
      parent,
    );
    assert.equal(Object.values(records)[0]?.host, '172.20.0.5');
  });

  it('#710: A container without an address is not registered', () => {
    const spec = { ...onCompose, networks: { shop_default: [''] } } as const;
    const description = describeContainer(
      inspection(spec),
      registratorContext({ mode: 'internal' }),
    );
    assert.equal(description.kind, 'waiting');
  });
});
