import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readContainer } from '../../../src/registrar/describe/container.ts';
import type { Mode } from '../../../src/registrar/describe/context.ts';
import { candidatePorts, offeredPorts } from '../../../src/registrar/describe/ports.ts';
import { summaryOf } from '../../support/descriptions.ts';
import { type ContainerSpec, inspection, registrarContext } from '../../support/inspection.ts';

describe('offered ports', () => {
  const nginx = { expose: ['443/tcp', '80/tcp'], publish: { '80/tcp': ['0.0.0.0:8080'] } };
  const dns = { expose: ['53/udp', '53/tcp', '9153/tcp'] };
  const parent = { publish: { '80/tcp': ['0.0.0.0:8080'], '90/tcp': ['0.0.0.0:9090'] } };
  const joined = 'container:abc';
  for (const [why, spec, mode, ports, parentSpec] of [
    ['bound ones when published', nginx, 'published', '80/tcp', undefined],
    ['exposed ones on a network', nginx, 'internal', '80/tcp 443/tcp', undefined],
    ['a number once, as tcp', dns, 'internal', '53/tcp 9153/tcp', undefined],
    ['udp alone as udp', { expose: ['53/udp'] }, 'internal', '53/udp', undefined],
    ['none', {}, 'internal', '', undefined],
    [
      'none of sctp, 0 or nonsense',
      { expose: ['9/sctp', '0/tcp', '70000/tcp', 'x/tcp', '1-2/tcp'] },
      'internal',
      '',
      undefined,
    ],
    [
      'exposed ones on the host’s network',
      { ...dns, networkMode: 'host' },
      'published',
      '53/tcp 9153/tcp',
      undefined,
    ],
    [
      'asked-for ones there',
      { publish: nginx.publish, networkMode: 'host' },
      'published',
      '80/tcp',
      undefined,
    ],
    [
      'its own of the parent’s',
      { expose: ['80/tcp', '7/tcp'], networkMode: joined },
      'published',
      '80/tcp',
      parent,
    ],
    ['the parent’s without own', { networkMode: joined }, 'published', '80/tcp 90/tcp', parent],
    [
      'its own inside the parent',
      { expose: ['7/tcp'], networkMode: joined },
      'internal',
      '7/tcp',
      parent,
    ],
    [
      'the parent’s inside, without own',
      { networkMode: joined },
      'internal',
      '80/tcp 90/tcp',
      parent,
    ],
  ] as const satisfies readonly [
    string,
    ContainerSpec,
    Mode,
    string,
    ContainerSpec | undefined,
  ][]) {
    it(`The offered ports are ${why}`, () => {
      const candidates = candidatePorts(
        readContainer(inspection(spec)),
        mode,
        parentSpec && readContainer(inspection(parentSpec)),
      );
      assert.equal(
        candidates.map(({ number, protocol }) => `${number}/${protocol}`).join(' '),
        ports,
      );
    });
  }

  it('Both protocols of a port are offered where each is a service', () => {
    assert.equal(offeredPorts(readContainer(inspection(dns)), 'internal').length, 3);
  });
});

/** Records of a container that exposes ports on the bridge, as `leaf:port`; refusals. */
function leaves(expose: readonly string[], env: Record<string, string>, exposedByDefault = false) {
  const spec = { expose, env };
  const context = registrarContext({ mode: 'internal', exposedByDefault });
  const { records, refusals, reason } = summaryOf(inspection(spec), context);
  const pairs = Object.entries(records).map(
    ([key, { port }]) => `${key.replace('local/skydns/', '')}:${port ?? '-'}`,
  );
  return { leaves: pairs.join(' '), refusals, reason };
}

describe('names and ports', () => {
  const NAME = { DNS_NAME: '1.rails' };
  for (const [why, expose, env, expected] of [
    ['the only port', ['8080/tcp'], NAME, 'rails/1:8080'],
    ['tcp and udp of one number', ['53/tcp', '53/udp'], NAME, 'rails/1:53'],
    ['the named port', ['8080/tcp', '9090/tcp'], { ...NAME, DNS_PORT: '9090' }, 'rails/1:9090'],
    ['a port that is not exposed', ['8080/tcp'], { ...NAME, DNS_PORT: '9090' }, 'rails/1:9090'],
    ['a udp port by name', ['53/tcp', '53/udp'], { ...NAME, DNS_PORT: '53/udp' }, 'rails/1:53'],
    ['portless', ['8080/tcp', '9090/tcp'], { ...NAME, DNS_PORT: '0' }, 'rails/1:-1'],
    ['portless without ports', [], { ...NAME, DNS_PORT: '0' }, 'rails/1:-1'],
    ['an address alone where there is no port', [], NAME, 'rails/1:-1'],
    [
      'an address alone beside a port with its own name',
      [],
      { ...NAME, DNS_90_NAME: 'm' },
      'm:90 rails/1:-1',
    ],
    ['only the port that has a name', [], { DNS_90_NAME: 'm', DNS_TTL: '5' }, 'm:90'],
    [
      'a list: the first has the name',
      ['8080/tcp', '9090/tcp'],
      { ...NAME, DNS_PORT: '9090, 8080' },
      'rails-8080/1:8080 rails/1:9090',
    ],
    [
      'a port with its own name',
      ['8080/tcp', '9090/tcp'],
      { ...NAME, DNS_9090_NAME: 'metrics' },
      'metrics:9090 rails/1:8080',
    ],
    [
      'a port with its own service',
      ['8080/tcp', '9090/tcp'],
      { DNS_SERVICE: 'rails', DNS_INSTANCE: '1', DNS_9090_SERVICE: 'metrics' },
      'metrics/1:9090 rails/1:8080',
    ],
    [
      'its own service beside a NAME',
      ['8080/tcp', '9090/tcp'],
      { ...NAME, DNS_INSTANCE: '7', DNS_9090_SERVICE: 'metrics' },
      'metrics/7:9090 rails/1:8080',
    ],
    [
      'only the port that is spoken of',
      ['8080/tcp', '9090/tcp'],
      { DNS_9090_NAME: 'metrics' },
      'metrics:9090',
    ],
    [
      'both protocols, each with a name',
      ['53/tcp', '53/udp'],
      { DNS_53_TCP_NAME: 'a', DNS_53_UDP_NAME: 'b' },
      'a:53 b:53',
    ],
    [
      'not the one switched off',
      ['8080/tcp', '9090/tcp'],
      { ...NAME, DNS_9090_ENABLE: 'false' },
      'rails/1:8080',
    ],
    [
      'PORT of one with its own name',
      ['80/tcp', '90/tcp'],
      { ...NAME, DNS_PORT: '80,90', DNS_80_NAME: 'web' },
      'rails-90/1:90 web:80',
    ],
    ['several names', ['80/tcp'], { DNS_NAME: 'a, b,,c.d' }, 'a:80 b:80 d/c:80'],
    ['one name twice', ['80/tcp'], { DNS_NAME: 'a,A,a.skydns.local' }, 'a:80'],
  ] as const) {
    it(`Ports get their names, ${why}: ${expected}`, () => {
      const { leaves: found, refusals } = leaves(expose, env);
      assert.equal(found, expected);
      assert.deepEqual(refusals, []);
    });
  }

  for (const [why, expose, env, expected, refusals] of [
    [
      'no port is said to have the name',
      ['8080/tcp', '9090/tcp'],
      NAME,
      'rails-8080/1:8080 rails-9090/1:9090',
      [
        '1.rails.skydns.local has 2 ports to choose from (8080/tcp, 9090/tcp): set DNS_PORT, as in DNS_PORT=8080',
      ],
    ],
    [
      'a port above 65535',
      ['80/tcp'],
      { ...NAME, DNS_PORT: '65536' },
      '',
      ['DNS_PORT is "65536", which is not a port from 1 to 65535, or 0 for none'],
    ],
    [
      'a port that is no number',
      ['80/tcp'],
      { ...NAME, DNS_PORT: 'http' },
      '',
      ['DNS_PORT is "http", which is not a port from 1 to 65535, or 0 for none'],
    ],
    [
      'a negative port',
      ['80/tcp'],
      { ...NAME, DNS_PORT: '-1' },
      '',
      ['DNS_PORT is "-1", which is not a port from 1 to 65535, or 0 for none'],
    ],
    [
      '0 among ports',
      ['80/tcp'],
      { ...NAME, DNS_PORT: '80,0' },
      '',
      ['DNS_PORT is "0", which is not a port from 1 to 65535, or 0 for none'],
    ],
    [
      'PORT is wrong, but another port has its own name',
      ['80/tcp'],
      { ...NAME, DNS_PORT: 'x', DNS_90_NAME: 'm' },
      'm:90',
      ['DNS_PORT is "x", which is not a port from 1 to 65535, or 0 for none'],
    ],
    [
      'settings for a port that nothing publishes',
      ['80/tcp'],
      { ...NAME, DNS_90_TTL: '5' },
      'rails/1:80',
      [
        'port 90/tcp has settings, but the container does not publish it: publish it, or remove the settings',
      ],
    ],
    [
      'a switch that is neither',
      ['80/tcp'],
      { ...NAME, DNS_80_ENABLE: 'maybe' },
      '',
      ['DNS_80_ENABLE is "maybe", which is not true or false'],
    ],
    [
      'two ports of one name',
      ['80/tcp', '90/tcp'],
      { DNS_80_NAME: 'a', DNS_90_NAME: 'a' },
      'a:80',
      ['a.skydns.local is the name of two ports of the container: give each its own'],
    ],
    [
      'a name above another',
      ['80/tcp'],
      { DNS_NAME: 'rails,1.rails' },
      'rails/1:80',
      [
        'rails.skydns.local is above another name of the container, which would hide it: choose another name',
      ],
    ],
  ] as const) {
    it(`The description reports ${why}`, () => {
      const { leaves: found, refusals: summaryOf } = leaves(expose, env);
      assert.equal(found, expected);
      assert.deepEqual(summaryOf, refusals);
    });
  }

  it('Ten thousand ports do not become ten thousand siblings', () => {
    const expose = Array.from({ length: 10_000 }, (_, i) => `${i + 10_000}/udp`);
    const { leaves: found, refusals } = leaves(expose, { ...NAME, DNS_80_NAME: 'web' });
    assert.equal(found, 'web:80');
    assert.equal(refusals.length, 1);
    assert.match(refusals[0] ?? '', /has 10000 ports to choose from/);
  });

  it('Ten thousand words in PORT are one refusal', () => {
    const ports = Array.from({ length: 10_000 }, (_, i) => i + 1).join();
    const { leaves: found, refusals } = leaves(['80/tcp'], { ...NAME, DNS_PORT: ports });
    assert.equal(found, '');
    assert.deepEqual(refusals, ['DNS_PORT lists more than 64 ports: remove some']);
  });

  it('A container with every port switched off is ignored', () => {
    const { reason } = leaves(['80/tcp'], { ...NAME, DNS_80_ENABLE: 'no' });
    assert.equal(reason, 'has every port switched off');
  });
});
