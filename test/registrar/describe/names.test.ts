import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readContainer } from '../../../src/registrar/describe/container.ts';
import {
  checkName,
  derivedParts,
  imageBase,
  siblingName,
  slug,
} from '../../../src/registrar/describe/names.ts';
import { summaryOf } from '../../support/descriptions.ts';
import { type ContainerSpec, inspection, registrarContext } from '../../support/inspection.ts';

const ZONES = {
  zones: [
    ['skydns', 'local'],
    ['corp', 'example', 'com'],
  ],
  defaultZone: ['skydns', 'local'],
};
const LABEL_63 = 'a'.repeat(63);

describe('names in metadata', () => {
  for (const [text, name] of [
    ['1.rails.production.east.skydns.local', '1.rails.production.east.skydns.local'],
    ['1.rails.production.east.skydns.local.', '1.rails.production.east.skydns.local'],
    ['Web.SkyDNS.Local', 'web.skydns.local'],
    ['web.corp.example.com', 'web.corp.example.com'],
    ['web', 'web.skydns.local'],
    ['1.rails.production.east', '1.rails.production.east.skydns.local'],
    ['us-east-1.web', 'us-east-1.web.skydns.local'],
    ['_http._tcp.web', '_http._tcp.web.skydns.local'],
    ['My_App.skydns.local', 'my_app.skydns.local'],
    ['Web_1', 'web_1.skydns.local'],
    ['__a', '__a.skydns.local'],
    ['local', 'local.skydns.local'],
    ['9to5', '9to5.skydns.local'],
    ['xn--caf-dma.skydns.local', 'xn--caf-dma.skydns.local'],
    ['anything.company', 'anything.company.skydns.local'],
    [`${LABEL_63}.skydns.local`, `${LABEL_63}.skydns.local`],
  ] as const) {
    it(`The name ${text.slice(0, 50)} is accepted`, () => {
      const checked = checkName(text, ZONES);
      assert.ok(checked.kind === 'name', JSON.stringify(checked));
      assert.equal(checked.name.join('.'), name);
    });
  }

  for (const [text, reason] of [
    [
      'www.example.com',
      'is in none of the zones (skydns.local, corp.example.com): choose a name in one of them',
    ],
    ['web.other.local', /^is in none of the zones/],
    ['shop.de', /^is in none of the zones/],
    ['web.', /^is in none of the zones/],
    ['localhost.localhost', /^is in none of the zones/],
    ['4.3.2.1.in-addr.arpa', /^is in none of the zones/],
    ['webskydns.local', /^is in none of the zones/],
    ['skydns.local', 'is a zone itself: put a label in front'],
    ['corp.example.com', 'is a zone itself: put a label in front'],
    ['dns.skydns.local', /^is under dns/],
    ['ns.dns.skydns.local', /^is under dns/],
    ['local.dns.skydns.local', /^is under dns/],
    ['ns.dns', /^is under dns/],
    ['DNS', /^is under dns/],
    ['x.dns.corp.example.com', /^is under dns/],
    ['config', /^is under config/],
    ['x.config', /^is under config/],
    ['*', /wildcard/],
    ['*.skydns.local', /wildcard/],
    ['web.ANY.skydns.local', /wildcard/],
    ['any', /wildcard/],
    ['../../config', /empty label/],
    ['..', /empty label/],
    ['.skydns.local', /empty label/],
    ['a..b.skydns.local', /empty label/],
    ['../x.skydns.local', /empty label/],
    ['a/b.skydns.local', /"a\/b": use letters/],
    ['-a.skydns.local', /: use letters, digits and underscores, and hyphens between them/],
    ['a-.skydns.local', /: use letters, digits and underscores, and hyphens between them/],
    ['web\\.x.skydns.local', /: use letters, digits and underscores, and hyphens between them/],
    ['caf\u00e9.skydns.local', /: use letters, digits and underscores, and hyphens between them/],
    ['a b.skydns.local', /: use letters, digits and underscores, and hyphens between them/],
    ['a\u0000.skydns.local', /"a\\000"/],
    ['\u001b[31m.skydns.local', /"\\027\[31m"/],
    ['a\u2028b.skydns.local', /"a\\226\\128\\168b"/],
    [`${LABEL_63}a.skydns.local`, 'has a label longer than 63 octets: shorten it'],
    [`${`${LABEL_63}.`.repeat(4)}skydns.local`, 'is longer than 253 characters: shorten it'],
    [`${'abcdefgh.'.repeat(27)}abcdefgh`, 'is longer than 253 characters: shorten it'],
    ['x'.repeat(1_000_000), 'is longer than 253 characters: shorten it'],
  ] as const) {
    it(`The name ${JSON.stringify(text.slice(0, 50))} is refused`, () => {
      const checked = checkName(text, ZONES);
      assert.ok(checked.kind === 'refused', JSON.stringify(checked));
      if (typeof reason === 'string') assert.equal(checked.reason, reason);
      else assert.match(checked.reason, reason);
    });
  }

  it('A name may be in the root zone, but not under config', () => {
    const root = { zones: [[]], defaultZone: [] };
    assert.equal(checkName('www.example.com', root).kind, 'name');
    assert.equal(checkName('x.config', root).kind, 'refused');
    assert.equal(checkName('x.dns', root).kind, 'refused');
  });

  for (const [text, sibling] of [
    ['rails.skydns.local', 'rails-9090.skydns.local'],
    ['1.rails.production.skydns.local', '1.rails-9090.production.skydns.local'],
    ['1.skydns.local', '1-9090.skydns.local'],
    ['web1.rails.skydns.local', 'web1-9090.rails.skydns.local'],
  ] as const) {
    it(`The name ${text} has the sibling ${sibling}`, () => {
      const checked = siblingName(text.split('.'), '-9090', ZONES);
      assert.ok(checked.kind === 'name');
      assert.equal(checked.name.join('.'), sibling);
    });
  }

  it('A name has no sibling when its label would be too long', () => {
    const checked = siblingName([LABEL_63, 'skydns', 'local'], '-1', ZONES);
    assert.deepEqual(checked, {
      kind: 'refused',
      reason: 'has a label longer than 63 octets: shorten it',
    });
  });

  for (const [text, label] of [
    ['My_App', 'my-app'],
    ['web.1', 'web-1'],
    ['__x__', 'x'],
    ['*', ''],
    ['Caf\u00e9', 'caf'],
    [`${LABEL_63}b`, LABEL_63],
    [`${'a'.repeat(62)}__b`, 'a'.repeat(62)],
  ] as const) {
    it(`The text ${text.slice(-20)} becomes the label ${JSON.stringify(label.slice(-20))}`, () =>
      assert.equal(slug(text), label));
  }
});

describe('the parts of a name', () => {
  const DIGEST = `@sha256:${'ab'.repeat(32)}`;
  for (const [image, base] of [
    ['rails', 'rails'],
    ['rails:4.2', 'rails'],
    ['registry.example.org:5000/team/rails', 'rails'],
    ['registry.example.org:5000/team/rails:4.2', 'rails'],
    [`rails${DIGEST}`, 'rails'],
    [`registry.example.org:5000/rails:4.2${DIGEST}`, 'rails'],
    [`sha256:${'ab'.repeat(32)}`, ''],
    ['ab'.repeat(32), ''],
    ['', ''],
  ] as const) {
    it(`The image ${image.slice(0, 50)} has the name ${JSON.stringify(base)} (registrator #530)`, () =>
      assert.equal(imageBase(image), base));
  }

  const NUMBER = 'com.docker.compose.container-number';
  const compose = {
    'com.docker.compose.project': 'shop',
    'com.docker.compose.service': 'web_front',
    [NUMBER]: '2',
  };
  const swarm = {
    'com.docker.swarm.service.name': 'shop_web',
    'com.docker.swarm.task.name': 'shop_web.3.x1y2z3',
    'com.docker.stack.namespace': 'shop',
  };
  for (const [why, spec, service, environment, instance] of [
    ['the image', {}, 'rails', undefined, 'c0ffee123456'],
    ['the labels of Compose', { labels: compose }, 'web-front', 'shop', 2],
    [
      'the labels of Compose when their number is invalid',
      { labels: { ...compose, [NUMBER]: '0x2' } },
      'web-front',
      'shop',
      '0x2',
    ],
    ['the labels of swarm', { labels: swarm }, 'web', 'shop', '3'],
    ['SERVICE_NAME', { env: { SERVICE_NAME: 'api' } }, 'api', undefined, 'c0ffee123456'],
    [
      'the container’s name',
      { image: 'ab'.repeat(32), name: 'Big_Web' },
      'big-web',
      undefined,
      'c0ffee123456',
    ],
    ['the container’s id', { image: '', name: '***' }, 'c0ffee123456', undefined, 'c0ffee123456'],
  ] as const satisfies readonly [
    string,
    ContainerSpec,
    string,
    string | undefined,
    string | number,
  ][]) {
    it(`The parts of a name come from ${why}`, () => {
      const parts = derivedParts(readContainer(inspection(spec)));
      const expected =
        typeof instance === 'number'
          ? { kind: 'preferred', number: instance }
          : { kind: 'unique', label: instance };
      assert.deepEqual(parts, { service, environment, instance: expected });
    });
  }

  const publish = { '8080/tcp': ['0.0.0.0:8080'] };
  for (const [why, env, labels, changes, key] of [
    [
      'settings of all parts',
      {
        DNS_SERVICE: 'rails',
        DNS_ENVIRONMENT: 'production',
        DNS_REGION: 'east',
        DNS_INSTANCE: '1',
      },
      {},
      {},
      'local/skydns/east/production/rails/1',
    ],
    [
      'settings of some parts, and options for the others',
      { DNS_SERVICE: 'rails', DNS_REGION: 'west', DNS_INSTANCE: '1' },
      {},
      { environment: 'staging', region: 'east' },
      'local/skydns/west/staging/rails/1',
    ],
    [
      'labels of Compose beside options',
      {},
      { ...compose, 'dns.enable': 'true' },
      { environment: 'staging' },
      'local/skydns/shop/web-front/2?',
    ],
    [
      'DNS_INSTANCE=auto',
      { DNS_SERVICE: 'rails', DNS_INSTANCE: 'AUTO' },
      {},
      {},
      'local/skydns/rails/*',
    ],
    [
      'a DNS_INSTANCE beside the number of Compose',
      { DNS_INSTANCE: '7' },
      compose,
      {},
      'local/skydns/shop/web-front/7',
    ],
    [
      'settings with underscores beside labels of Compose with underscores',
      { DNS_SERVICE: 'My_Web', DNS_ENVIRONMENT: 'my_shop', DNS_INSTANCE: '1' },
      compose,
      {},
      'local/skydns/my_shop/my_web/1',
    ],
    [
      'parts of one and two letters',
      { DNS_SERVICE: 'a', DNS_REGION: 'eu', DNS_INSTANCE: '1' },
      {},
      {},
      'local/skydns/eu/a/1',
    ],
    [
      'a DNS_DOMAIN',
      { DNS_SERVICE: 'a', DNS_DOMAIN: 'b.skydns.local', DNS_INSTANCE: '1' },
      {},
      {},
      'local/skydns/b/a/1',
    ],
    [
      'the registrar’s --service-domain',
      { DNS_INSTANCE: '1' },
      {},
      { serviceDomain: 'b.skydns.local' },
      'local/skydns/b/rails/1',
    ],
  ] as const) {
    it(`The key is ${key} for ${why}`, () => {
      const { records, refusals } = summaryOf(
        inspection({ env, labels, publish }),
        registrarContext(changes),
      );
      assert.deepEqual(Object.keys(records), [key], refusals.join());
    });
  }

  for (const [env, reason] of [
    [{ DNS_SERVICE: '*' }, /wildcard/],
    [{ DNS_SERVICE: 'a', DNS_DOMAIN: 'example.com' }, /none of the zones/],
    [{ DNS_SERVICE: '../../config' }, /empty label/],
    [{ DNS_SERVICE: 'a', DNS_ENVIRONMENT: 'x/y' }, /x\/y/],
    [{ DNS_INSTANCE: 'any' }, /wildcard/],
    [{ DNS_SERVICE: 'ns', DNS_REGION: 'dns', DNS_INSTANCE: '1' }, /under dns/],
  ] as const) {
    it(`The parts in ${JSON.stringify(env)} are refused`, () => {
      const { records, refusals } = summaryOf(inspection({ env, publish }), registrarContext());
      assert.deepEqual(records, {});
      assert.equal(refusals.length, 1);
      assert.match(refusals[0] ?? '', reason);
    });
  }
});
