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
    [
      'that exposes two ports and publishes one, in published mode,',
      nginx,
      'published',
      '80/tcp',
      undefined,
    ],
    [
      'that exposes two ports and publishes one, in internal mode,',
      nginx,
      'internal',
      '80/tcp 443/tcp',
      undefined,
    ],
    ['that exposes a number over both tcp and udp', dns, 'internal', '53/tcp 9153/tcp', undefined],
    [
      'that exposes a number over udp alone',
      { expose: ['53/udp'] },
      'internal',
      '53/udp',
      undefined,
    ],
    ['without ports', {}, 'internal', '', undefined],
    [
      'that exposes only sctp, port 0 and invalid ports',
      { expose: ['9/sctp', '0/tcp', '70000/tcp', 'x/tcp', '1-2/tcp'] },
      'internal',
      '',
      undefined,
    ],
    [
      'that exposes ports on the host’s network',
      { ...dns, networkMode: 'host' },
      'published',
      '53/tcp 9153/tcp',
      undefined,
    ],
    [
      'that requests a published port on the host’s network',
      { publish: nginx.publish, networkMode: 'host' },
      'published',
      '80/tcp',
      undefined,
    ],
    [
      'that exposes one of its parent’s published ports',
      { expose: ['80/tcp', '7/tcp'], networkMode: joined },
      'published',
      '80/tcp',
      parent,
    ],
    [
      'that exposes no port and has a parent',
      { networkMode: joined },
      'published',
      '80/tcp 90/tcp',
      parent,
    ],
    [
      'that exposes a port and has a parent, in internal mode,',
      { expose: ['7/tcp'], networkMode: joined },
      'internal',
      '7/tcp',
      parent,
    ],
    [
      'that exposes no port and has a parent, in internal mode,',
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
    it(`The offered ports of a container ${why} are ${ports || 'none'}`, () => {
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

  it('offeredPorts gives a number over tcp and a number over udp separately', () => {
    assert.equal(offeredPorts(readContainer(inspection(dns)), 'internal').length, 3);
  });
});

/** The records of a container that exposes ports on the bridge, as `leaf:port`, and its refusals. */
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
    ['one port', ['8080/tcp'], NAME, 'rails/1:8080'],
    ['one number over tcp and udp', ['53/tcp', '53/udp'], NAME, 'rails/1:53'],
    [
      'two ports, of which DNS_PORT names one',
      ['8080/tcp', '9090/tcp'],
      { ...NAME, DNS_PORT: '9090' },
      'rails/1:9090',
    ],
    ['a DNS_PORT that is not exposed', ['8080/tcp'], { ...NAME, DNS_PORT: '9090' }, 'rails/1:9090'],
    ['a DNS_PORT over udp', ['53/tcp', '53/udp'], { ...NAME, DNS_PORT: '53/udp' }, 'rails/1:53'],
    ['DNS_PORT=0 beside ports', ['8080/tcp', '9090/tcp'], { ...NAME, DNS_PORT: '0' }, 'rails/1:-1'],
    ['DNS_PORT=0 without ports', [], { ...NAME, DNS_PORT: '0' }, 'rails/1:-1'],
    ['a container without a port', [], NAME, 'rails/1:-1'],
    [
      'a name without a port beside a port with its own name',
      [],
      { ...NAME, DNS_90_NAME: 'm' },
      'm:90 rails/1:-1',
    ],
    ['a port with the only name', [], { DNS_90_NAME: 'm', DNS_TTL: '5' }, 'm:90'],
    [
      'a DNS_PORT with two ports, of which the first gets the name',
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
      'a port with its own service beside a DNS_NAME',
      ['8080/tcp', '9090/tcp'],
      { ...NAME, DNS_INSTANCE: '7', DNS_9090_SERVICE: 'metrics' },
      'metrics/7:9090 rails/1:8080',
    ],
    [
      'two ports, of which one has a name',
      ['8080/tcp', '9090/tcp'],
      { DNS_9090_NAME: 'metrics' },
      'metrics:9090',
    ],
    [
      'two protocols of a number, each with a name',
      ['53/tcp', '53/udp'],
      { DNS_53_TCP_NAME: 'a', DNS_53_UDP_NAME: 'b' },
      'a:53 b:53',
    ],
    [
      'two ports, of which one is switched off',
      ['8080/tcp', '9090/tcp'],
      { ...NAME, DNS_9090_ENABLE: 'false' },
      'rails/1:8080',
    ],
    [
      'a DNS_PORT with two ports, of which the first has its own name',
      ['80/tcp', '90/tcp'],
      { ...NAME, DNS_PORT: '80,90', DNS_80_NAME: 'web' },
      'rails-90/1:90 web:80',
    ],
    ['a list of names', ['80/tcp'], { DNS_NAME: 'a, b,,c.d' }, 'a:80 b:80 d/c:80'],
    [
      'a list with one name in several forms',
      ['80/tcp'],
      { DNS_NAME: 'a,A,a.skydns.local' },
      'a:80',
    ],
  ] as const) {
    it(`The records are ${expected} for ${why}`, () => {
      const { leaves: found, refusals } = leaves(expose, env);
      assert.equal(found, expected);
      assert.deepEqual(refusals, []);
    });
  }

  for (const [why, expose, env, expected, refusals] of [
    [
      'two ports if none is chosen for the name',
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
      'a port that is not a number',
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
      'a wrong DNS_PORT beside a port with its own name',
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
      'a switch that is neither true nor false',
      ['80/tcp'],
      { ...NAME, DNS_80_ENABLE: 'maybe' },
      '',
      ['DNS_80_ENABLE is "maybe", which is not true or false'],
    ],
    [
      'two ports with the same name',
      ['80/tcp', '90/tcp'],
      { DNS_80_NAME: 'a', DNS_90_NAME: 'a' },
      'a:80',
      ['a.skydns.local is the name of two ports of the container: give each its own'],
    ],
    [
      'a name above another name of the container',
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

  it('Ten thousand ports to choose from cause one refusal and no siblings', () => {
    const expose = Array.from({ length: 10_000 }, (_, i) => `${i + 10_000}/udp`);
    const { leaves: found, refusals } = leaves(expose, { ...NAME, DNS_80_NAME: 'web' });
    assert.equal(found, 'web:80');
    assert.equal(refusals.length, 1);
    assert.match(refusals[0] ?? '', /has 10000 ports to choose from/);
  });

  it('Ten thousand ports in DNS_PORT cause one refusal', () => {
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
