/** What the operator reads about a container without the expected records: the reason, and a fix that works. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RegistrarContext } from '../../../src/registrar/describe/context.ts';
import { summaryOf } from '../../support/descriptions.ts';
import { type ContainerSpec, inspection, registrarContext } from '../../support/inspection.ts';

interface Case {
  readonly spec: ContainerSpec;
  readonly context?: Partial<RegistrarContext>;
  readonly parent?: ContainerSpec;
  /** Each as its key without the zone and its target: `web 192.0.2.1:8080`. */
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
    'The refusal of a container that publishes no port names every fix',
    {
      spec: { env },
      says: [
        `refused: web.skydns.local publishes no port: publish one with -p, or set ${OWN}, or ${ALONE}`,
      ],
    },
  ],
  [
    'The refusal of a container that publishes no port names the exposed port',
    {
      spec: { env, expose: ['8080/tcp'] },
      says: [
        `refused: web.skydns.local exposes 8080/tcp, but publishes no port: publish one with -p, or set ${OWN}, or ${ALONE}`,
      ],
    },
  ],
  [
    'A container with -p on an internal network waits, and the reason names the mode that helps',
    {
      spec: { env, request: ['8080/tcp'], networkMode: 'int1', networks: { int1: ['10.1.0.2'] } },
      says: [
        `no records: it waits for port 8080/tcp to be published: ${NONE}; if int1 is one of these, use DNS_MODE=internal`,
      ],
    },
  ],
  [
    'A container with -p and DNS_PORT on a macvlan network waits, and the reason names the mode that helps',
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
    'The fix for -p on a macvlan network registers the container',
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
    'The refusal of -p on the network none says that the network publishes no port',
    {
      spec: { env, request: ['8080/tcp'], networkMode: 'none', networks: { none: [''] } },
      says: [
        'refused: web.skydns.local is on the network none, which publishes no port, 8080/tcp included: put it on another network',
      ],
    },
  ],
  [
    'The refusal of a container on the network none names another network as the fix',
    {
      spec: { env, networkMode: 'none', networks: { none: [''] } },
      says: [
        'refused: web.skydns.local is on the network none, which publishes no port: put it on another network',
      ],
    },
  ],
  [
    'A container on the network none is also refused in internal mode',
    {
      spec: { env, networkMode: 'none', networks: { none: [''] } },
      context: { mode: 'internal' },
      says: ['refused: web.skydns.local is on the network none: put it on another network'],
    },
  ],
  [
    'The refusal of a container without ports on the host’s network names DNS_PORT',
    {
      spec: { env, networkMode: 'host', networks: { host: [''] } },
      says: [
        "refused: web.skydns.local exposes no port on the host's network: set DNS_PORT to the port that it listens on, as in DNS_PORT=3000, or to 0 for an address without a port",
      ],
    },
  ],
  [
    'The fix for the host’s network registers the container',
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
    'A hint says that -p on the host’s network selects the registered ports',
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
    'A hint says which port has no record because only this host reaches it',
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
    'A port with its own settings that only this host reaches is reported',
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
    'A port without an address does not keep another port from its record',
    {
      spec: { env, publish: { '80/tcp': ['0.0.0.0:18100'], '9000/tcp': ['[::]:18101'] } },
      records: ['web 192.0.2.1:18100'],
      says: [
        "hint: port 9000/tcp has no record: it needs this host's IPv6 address, which is unknown: set --ip",
      ],
    },
  ],
  [
    'A port on a network that the container is not on does not keep another port from its record',
    {
      spec: { env: { ...env, DNS_90_NETWORK: 'back' }, expose: ['80/tcp', '90/tcp'] },
      context: { mode: 'internal' },
      records: ['web 172.17.0.2:80'],
      says: ['hint: port 90/tcp has no record: it is not on the network back'],
    },
  ],
  [
    'A hint does not mention a port that is switched off',
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
    'The refusal of a port that only this host reaches names another address as the fix',
    {
      spec: { env, publish: { '80/tcp': ['127.0.0.1:18100'] } },
      says: [
        'refused: web.skydns.local is published at 127.0.0.1:18100, which only this host can reach: publish it on another address',
      ],
    },
  ],
  [
    'A port that the engine has not bound yet competes for the name',
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
    'Two reachable ports are reported with the setting that chooses one',
    {
      spec: { env, publish: { '80/tcp': ['0.0.0.0:81'], '90/tcp': ['0.0.0.0:91'] } },
      records: ['web-80 192.0.2.1:81', 'web-90 192.0.2.1:91'],
      says: [
        'refused: web.skydns.local has 2 ports to choose from (80/tcp, 90/tcp): set DNS_PORT, as in DNS_PORT=80',
      ],
    },
  ],
  [
    'A hint says which host port of a port that is published twice is registered',
    {
      spec: { env, publish: { '8080/tcp': ['0.0.0.0:18085', '0.0.0.0:18084'] } },
      records: ['web 192.0.2.1:18084'],
      says: [
        'hint: port 8080/tcp is published more than once: host port 18084 is registered, and 18085 is not',
      ],
    },
  ],
  [
    'A hint says that udp on another host port than tcp is not registered',
    {
      spec: { env, publish: { '53/tcp': ['0.0.0.0:18087'], '53/udp': ['0.0.0.0:18088'] } },
      records: ['web 192.0.2.1:18087'],
      says: [
        'hint: port 53/udp, at host port 18088, is not registered beside 53/tcp: name it with DNS_53_UDP_NAME',
      ],
    },
  ],
  [
    'No hint mentions udp on the same host port as tcp',
    {
      spec: { env, publish: { '53/tcp': ['0.0.0.0:53'], '53/udp': ['0.0.0.0:53'] } },
      records: ['web 192.0.2.1:53'],
      says: [],
    },
  ],
  [
    'The refusal of a container behind swarm’s routing mesh names an overlay network as a fix',
    {
      spec: { env, labels: swarm, expose: ['8080/tcp'], networks: { ingress: ['10.0.0.4'] } },
      says: [
        `refused: web.skydns.local is published by swarm's routing mesh only, which the container does not show: publish with mode=host, or attach an overlay network and set ${OWN}`,
      ],
    },
  ],
  [
    'The refusal of a container on swarm’s mesh and an overlay network names internal mode as a fix',
    {
      spec: { env, labels: swarm, networks: { ingress: ['10.0.0.6'], ov1: ['10.0.1.3'] } },
      says: [
        `refused: web.skydns.local is published by swarm's routing mesh only, which the container does not show: publish with mode=host, or set ${OWN}`,
      ],
    },
  ],
  [
    'The fix for swarm’s routing mesh registers the container',
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
    'The refusal of a swarm service that publishes no port names mode=host',
    {
      spec: { env, labels: swarm, networks: { ov1: ['10.0.1.3'] } },
      says: [
        `refused: web.skydns.local publishes no port: publish one with mode=host, or set ${OWN}`,
      ],
    },
  ],
  [
    'A hint says that the labels of a swarm service are not on its containers',
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
    'The hint for a container without metadata uses the operator’s prefixes',
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
    'The refusal of a label with the name of a variable names the right label',
    {
      spec: { labels: { DNS_NAME: 'web', DNS_53_UDP_TTL: '5' } },
      says: [
        'refused: DNS_53_UDP_TTL is a label with the name of a variable: use the label dns.53/udp.ttl',
        'refused: DNS_NAME is a label with the name of a variable: use the label dns.name',
      ],
    },
  ],
  [
    'The refusal of a variable with the name of a label names the right variable',
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
    'Labels and variables of other programs are not reported',
    {
      spec: { env: { 'dns.server': 'x', 'dns.': 'x' }, labels: { DNS_SERVER: 'x', DNS_: 'x' } },
      says: [
        'no records: it has no metadata',
        'hint: set DNS_NAME, label it dns.name=..., or use --exposed-by-default',
      ],
    },
  ],
  [
    'Labels are read under the prefix of variables when the operator chose one prefix for both',
    {
      spec: { labels: { DNS_NAME: 'web' }, publish: { '80/tcp': ['0.0.0.0:81'] } },
      context: { envPrefix: 'DNS_', labelPrefix: 'DNS_' },
      records: ['web 192.0.2.1:81'],
      says: [],
    },
  ],
  [
    'The refusal of a DNS_PORT that is not a port names the accepted values',
    {
      spec: { env: { ...env, DNS_PORT: 'http' } },
      says: ['refused: DNS_PORT is "http", which is not a port from 1 to 65535, or 0 for none'],
    },
  ],
  [
    'The refusal of a container on a rootless network of Podman names two fixes',
    {
      spec: { env, networkMode: 'slirp4netns', networks: {} },
      context: { mode: 'internal' },
      says: [
        'refused: web.skydns.local has no address of its own on slirp4netns: publish a port, or use a bridge network',
      ],
    },
  ],
  [
    'The refusal of a joined container names the parent that publishes no port',
    {
      spec: { env, networkMode: 'container:abc', networks: {} },
      parent: { name: 'vpn', startedAt: '2026-01-01T00:00:00Z' },
      says: [
        'refused: web.skydns.local publishes no port: publish one with -p on the container whose network it joined (vpn), or set DNS_MODE=internal',
      ],
    },
  ],
  [
    'The refusal of a joined container names the port that the parent publishes',
    {
      spec: { env, expose: ['80/tcp'], networkMode: 'container:abc', networks: {} },
      parent: { startedAt: '2026-01-01T00:00:00Z', publish: { '90/tcp': ['0.0.0.0:91'] } },
      says: [
        'refused: web.skydns.local exposes 80/tcp, and the container whose network it joined publishes 90/tcp: set DNS_PORT=90',
      ],
    },
  ],
  [
    'A container that has not passed its HEALTHCHECK is ignored with that reason',
    {
      spec: { env, publish: { '80/tcp': ['0.0.0.0:81'] }, health: 'starting' },
      says: ['no records: it has not passed its HEALTHCHECK yet'],
    },
  ],
  [
    'A container with two names that publishes no port has one refusal',
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
      const outcome = summaryOf(
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
      const { description } = summaryOf(
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
