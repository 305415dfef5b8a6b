/** What the operator is told of a container that is not registered as meant: the reason, and a fix that works. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RegistrarContext } from '../../../src/registrar/describe/context.ts';
import { told } from '../../support/descriptions.ts';
import { type ContainerSpec, inspection, registrarContext } from '../../support/inspection.ts';

interface Case {
  readonly spec: ContainerSpec;
  readonly context?: Partial<RegistrarContext>;
  readonly parent?: ContainerSpec;
  /** By key without the zone: `web 192.0.2.1:8080`. */
  readonly records?: readonly string[];
  readonly says: readonly string[];
}

const env = { DNS_NAME: 'web' };
const swarm = {
  'com.docker.swarm.task.id': 'x1y2z3',
  'com.docker.swarm.service.id': 's1',
  'com.docker.swarm.service.name': 'shop_web',
  'com.docker.swarm.task.name': 'shop_web.1.x1y2z3',
};
const OWN = 'DNS_MODE=internal for its own address';
const ALONE = "DNS_PORT=0 for the host's address without a port";
const NONE = 'internal, macvlan and ipvlan networks publish none';

const CASES: readonly (readonly [string, Case])[] = [
  [
    'no port is published',
    {
      spec: { env },
      says: [
        `refused: web.skydns.local publishes no port: publish one with -p, or set ${OWN}, or ${ALONE}`,
      ],
    },
  ],
  [
    'a port is exposed and not published',
    {
      spec: { env, expose: ['8080/tcp'] },
      says: [
        `refused: web.skydns.local exposes 8080/tcp, but publishes no port: publish one with -p, or set ${OWN}, or ${ALONE}`,
      ],
    },
  ],
  [
    '-p on a network that publishes nothing',
    {
      spec: { env, request: ['8080/tcp'], networkMode: 'int1', networks: { int1: ['10.1.0.2'] } },
      says: [
        `no records: it waits for port 8080/tcp to be published: ${NONE}; if int1 is one of these, use DNS_MODE=internal`,
      ],
    },
  ],
  [
    '... with DNS_PORT',
    {
      spec: {
        env: { ...env, DNS_PORT: '8080' },
        request: ['8080/tcp'],
        networkMode: 'mac1',
        networks: { mac1: ['10.77.0.4'] },
      },
      says: [
        `no records: it waits for port 8080/tcp to be published: ${NONE}; if mac1 is one of these, use DNS_MODE=internal`,
      ],
    },
  ],
  [
    '... and the fix',
    {
      spec: {
        env: { ...env, DNS_MODE: 'internal' },
        request: ['8080/tcp'],
        networkMode: 'mac1',
        networks: { mac1: ['10.77.0.4'] },
      },
      records: ['web 10.77.0.4:8080'],
      says: [],
    },
  ],
  [
    '-p on the network none',
    {
      spec: { env, request: ['8080/tcp'], networkMode: 'none', networks: { none: [''] } },
      says: [
        'refused: web.skydns.local is on the network none, which publishes no port, 8080/tcp included: put it on another network',
      ],
    },
  ],
  [
    'no port on the network none',
    {
      spec: { env, networkMode: 'none', networks: { none: [''] } },
      says: [
        'refused: web.skydns.local is on the network none, which publishes no port: put it on another network',
      ],
    },
  ],
  [
    'no port on the network none, in internal mode',
    {
      spec: { env, networkMode: 'none', networks: { none: [''] } },
      context: { mode: 'internal' },
      says: ['refused: web.skydns.local is on the network none: put it on another network'],
    },
  ],
  [
    'no port on the host’s network, where Docker takes no -p',
    {
      spec: { env, networkMode: 'host', networks: { host: [''] } },
      says: [
        "refused: web.skydns.local exposes no port on the host's network: set DNS_PORT to the port that it listens on, as in DNS_PORT=3000, or to 0 for an address without a port",
      ],
    },
  ],
  [
    '... and the fix',
    {
      spec: {
        env: { ...env, DNS_PORT: '3000' },
        networkMode: 'host',
        networks: { host: [''] },
      },
      records: ['web 192.0.2.1:3000'],
      says: [],
    },
  ],
  [
    '-p on the host’s network, of an image that exposes another port',
    {
      spec: {
        env,
        expose: ['8080/tcp'],
        request: ['3000/tcp'],
        networkMode: 'host',
        networks: { host: [''] },
      },
      records: ['web 192.0.2.1:3000'],
      says: [
        "hint: on the host's network only the ports of -p are registered (3000/tcp), not those that the image exposes (8080/tcp)",
      ],
    },
  ],
  [
    'a port that only this host reaches, beside one that others reach',
    {
      spec: {
        env,
        publish: { '80/tcp': ['0.0.0.0:18100'], '9000/tcp': ['127.0.0.1:18101'] },
      },
      records: ['web 192.0.2.1:18100'],
      says: [
        'hint: port 9000/tcp has no record: it is published at 127.0.0.1:18101, which only this host can reach: publish it on another address',
      ],
    },
  ],
  [
    '... with settings of its own',
    {
      spec: {
        env: { ...env, DNS_9000_TTL: '5' },
        publish: { '80/tcp': ['0.0.0.0:18100'], '9000/tcp': ['[::1]:18101'] },
      },
      records: ['web 192.0.2.1:18100'],
      says: [
        'hint: port 9000/tcp has no record: it is published at [::1]:18101, which only this host can reach: publish it on another address',
      ],
    },
  ],
  [
    'a port that has no address, beside one that has',
    {
      spec: { env, publish: { '80/tcp': ['0.0.0.0:18100'], '9000/tcp': ['[::]:18101'] } },
      records: ['web 192.0.2.1:18100'],
      says: [
        "hint: port 9000/tcp has no record: it needs this host's IPv6 address, which is unknown: set --ip",
      ],
    },
  ],
  [
    'a port on a network that the container is not on, beside another',
    {
      spec: { env: { ...env, DNS_90_NETWORK: 'back' }, expose: ['80/tcp', '90/tcp'] },
      context: { mode: 'internal' },
      records: ['web 172.17.0.2:80'],
      says: ['hint: port 90/tcp has no record: it is not on the network back'],
    },
  ],
  [
    'a port that is switched off, beside one that only this host reaches and one that others reach',
    {
      spec: {
        env: { ...env, DNS_70_ENABLE: 'false' },
        publish: {
          '70/tcp': ['0.0.0.0:18102'],
          '80/tcp': ['0.0.0.0:18100'],
          '9000/tcp': ['127.0.0.1:18101'],
        },
      },
      records: ['web 192.0.2.1:18100'],
      says: [
        'hint: port 9000/tcp has no record: it is published at 127.0.0.1:18101, which only this host can reach: publish it on another address',
      ],
    },
  ],
  [
    'only ports that nobody else reaches',
    {
      spec: { env, publish: { '80/tcp': ['127.0.0.1:18100'] } },
      says: [
        'refused: web.skydns.local is published at 127.0.0.1:18100, which only this host can reach: publish it on another address',
      ],
    },
  ],
  [
    'a port that the engine has not bound yet, beside one that it has',
    {
      spec: { env, publish: { '80/tcp': ['0.0.0.0:81'] }, request: ['90/tcp'] },
      records: ['web-80 192.0.2.1:81'],
      says: [
        'refused: web.skydns.local has 2 ports to choose from (80/tcp, 90/tcp): set DNS_PORT, as in DNS_PORT=80',
        'no records: it waits for port 90/tcp to be published',
      ],
    },
  ],
  [
    'two ports that others reach',
    {
      spec: { env, publish: { '80/tcp': ['0.0.0.0:81'], '90/tcp': ['0.0.0.0:91'] } },
      records: ['web-80 192.0.2.1:81', 'web-90 192.0.2.1:91'],
      says: [
        'refused: web.skydns.local has 2 ports to choose from (80/tcp, 90/tcp): set DNS_PORT, as in DNS_PORT=80',
      ],
    },
  ],
  [
    'a port that is published twice',
    {
      spec: { env, publish: { '8080/tcp': ['0.0.0.0:18085', '0.0.0.0:18084'] } },
      records: ['web 192.0.2.1:18084'],
      says: [
        'hint: port 8080/tcp is published more than once: host port 18084 is registered, and 18085 is not',
      ],
    },
  ],
  [
    'udp on another host port than tcp',
    {
      spec: { env, publish: { '53/tcp': ['0.0.0.0:18087'], '53/udp': ['0.0.0.0:18088'] } },
      records: ['web 192.0.2.1:18087'],
      says: [
        'hint: port 53/udp, at host port 18088, is not registered beside 53/tcp: name it with DNS_53_UDP_NAME',
      ],
    },
  ],
  [
    'udp on the same host port, which loses nothing',
    {
      spec: { env, publish: { '53/tcp': ['0.0.0.0:53'], '53/udp': ['0.0.0.0:53'] } },
      records: ['web 192.0.2.1:53'],
      says: [],
    },
  ],
  [
    'swarm’s routing mesh',
    {
      spec: { env, labels: swarm, expose: ['8080/tcp'], networks: { ingress: ['10.0.0.4'] } },
      says: [
        `refused: web.skydns.local is published by swarm's routing mesh only, which the container does not show: publish with mode=host, or attach an overlay network and set ${OWN}`,
      ],
    },
  ],
  [
    '... beside an overlay network',
    {
      spec: { env, labels: swarm, networks: { ingress: ['10.0.0.6'], ov1: ['10.0.1.3'] } },
      says: [
        `refused: web.skydns.local is published by swarm's routing mesh only, which the container does not show: publish with mode=host, or set ${OWN}`,
      ],
    },
  ],
  [
    '... and the fix',
    {
      spec: {
        env: { ...env, DNS_MODE: 'internal' },
        labels: swarm,
        networks: { ingress: ['10.0.0.6'], ov1: ['10.0.1.3'] },
      },
      records: ['web 10.0.1.3'],
      says: [],
    },
  ],
  [
    'a swarm service that publishes nothing',
    {
      spec: { env, labels: swarm, networks: { ov1: ['10.0.1.3'] } },
      says: [
        `refused: web.skydns.local publishes no port: publish one with mode=host, or set ${OWN}`,
      ],
    },
  ],
  [
    'a swarm service’s labels, which its containers do not have',
    {
      spec: { labels: swarm },
      says: [
        'no records: it has no metadata',
        'hint: set DNS_NAME, label it dns.name=..., or use --exposed-by-default',
        'hint: labels of a swarm service (--label, deploy.labels) are not on its containers: use --container-label, or labels beside deploy',
      ],
    },
  ],
  [
    'no metadata, under other prefixes',
    {
      spec: {},
      context: { envPrefix: 'SORA_', labelPrefix: 'org.sora.' },
      says: [
        'no records: it has no metadata',
        'hint: set SORA_NAME, label it org.sora.name=..., or use --exposed-by-default',
      ],
    },
  ],
  [
    'a label that is named as a variable',
    {
      spec: { labels: { DNS_NAME: 'web', DNS_53_UDP_TTL: '5' } },
      says: [
        'refused: DNS_53_UDP_TTL is a label with the name of a variable: use the label dns.53/udp.ttl',
        'refused: DNS_NAME is a label with the name of a variable: use the label dns.name',
      ],
    },
  ],
  [
    'a variable that is named as a label',
    {
      spec: { env: { 'dns.name': 'web', 'dns.stop-timeout': '5', 'dns.53/udp.ttl': '5' } },
      says: [
        'refused: dns.53/udp.ttl is a variable with the name of a label: set DNS_53_UDP_TTL',
        'refused: dns.name is a variable with the name of a label: set DNS_NAME',
        'refused: dns.stop-timeout is a variable with the name of a label: set DNS_STOP_TIMEOUT',
      ],
    },
  ],
  [
    'labels and variables of other programs',
    {
      spec: { env: { 'dns.server': 'x', 'dns.': 'x' }, labels: { DNS_SERVER: 'x', DNS_: 'x' } },
      says: [
        'no records: it has no metadata',
        'hint: set DNS_NAME, label it dns.name=..., or use --exposed-by-default',
      ],
    },
  ],
  [
    'labels under the prefix of variables, which the operator chose for both',
    {
      spec: { labels: { DNS_NAME: 'web' }, publish: { '80/tcp': ['0.0.0.0:81'] } },
      context: { envPrefix: 'DNS_', labelPrefix: 'DNS_' },
      records: ['web 192.0.2.1:81'],
      says: [],
    },
  ],
  [
    'a port that somebody sets to no port',
    {
      spec: { env: { ...env, DNS_PORT: 'http' } },
      says: ['refused: DNS_PORT is "http", which is not a port from 1 to 65535, or 0 for none'],
    },
  ],
  [
    'Podman’s network of a user, in internal mode',
    {
      spec: { env, networkMode: 'slirp4netns', networks: {} },
      context: { mode: 'internal' },
      says: [
        'refused: web.skydns.local has no address of its own on slirp4netns: publish a port, or use a bridge network',
      ],
    },
  ],
  [
    'a container in the network of one that publishes nothing',
    {
      spec: { env, networkMode: 'container:abc', networks: {} },
      parent: { name: 'vpn', startedAt: '2026-01-01T00:00:00Z' },
      says: [
        'refused: web.skydns.local publishes no port: publish one with -p on the container whose network it joined (vpn), or set DNS_MODE=internal',
      ],
    },
  ],
  [
    'a container in the network of one that publishes another port',
    {
      spec: { env, expose: ['80/tcp'], networkMode: 'container:abc', networks: {} },
      parent: { startedAt: '2026-01-01T00:00:00Z', publish: { '90/tcp': ['0.0.0.0:91'] } },
      says: [
        'refused: web.skydns.local exposes 80/tcp, and the container whose network it joined publishes 90/tcp: set DNS_PORT=90',
      ],
    },
  ],
  [
    'no HEALTHCHECK has passed yet',
    {
      spec: { env, publish: { '80/tcp': ['0.0.0.0:81'] }, health: 'starting' },
      says: ['no records: it has not passed its HEALTHCHECK yet'],
    },
  ],
  [
    'two names of a container that publishes no port',
    {
      spec: { env: { DNS_NAME: 'web, www' } },
      says: [
        `refused: web.skydns.local publishes no port: publish one with -p, or set ${OWN}, or ${ALONE}`,
      ],
    },
  ],
];

describe('explanations', () => {
  for (const [why, { spec, context, parent, records = [], says }] of CASES) {
    it(why, () => {
      const outcome = told(
        inspection(spec),
        registrarContext(context),
        parent && inspection(parent),
      );
      const { refusals, hints, reason } = outcome;
      const targets = Object.entries(outcome.records).map(([key, { host, port }]) => {
        return `${key.replace('local/skydns/', '')} ${port === -1 ? host : `${host}:${port}`}`;
      });
      assert.deepEqual(targets, records);
      assert.deepEqual(
        [
          ...refusals.map((refusal) => `refused: ${refusal}`),
          ...(reason === undefined ? [] : [`no records: it ${reason}`]),
          ...hints.map((hint) => `hint: ${hint}`),
        ],
        says,
      );
    });
  }

  it('The hint for a taken name says how several containers can share it', () => {
    const hintFor = (text: string, labels: Record<string, string> = {}): string | undefined => {
      const publish = { '80/tcp': ['0.0.0.0:81'] };
      const { description } = told(
        inspection({ env: { DNS_NAME: text }, labels, publish }),
        registrarContext(),
      );
      return description.kind === 'described' ? description.records[0]?.hintIfTaken : undefined;
    };
    const several = 'to put several containers under one name, set';
    assert.equal(hintFor('web.skydns.local'), `${several} DNS_INSTANCE=auto beside DNS_NAME`);
    const project = { 'com.docker.compose.project': 'my_app' };
    assert.equal(hintFor('web', project), `${several} DNS_INSTANCE=auto beside DNS_NAME`);
    assert.equal(
      hintFor('1.web.skydns.local'),
      `${several} DNS_INSTANCE=auto and leave the 1 out of DNS_NAME: web.skydns.local`,
    );
    assert.equal(
      hintFor('1.a.b.skydns.local', project),
      `${several} DNS_INSTANCE=auto and leave the 1 out of DNS_NAME: a.b.skydns.local`,
    );
  });
});
