/** `--project-scope` and `dns.project`: each project has names in its own part of the zones alone. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { told } from '../../support/descriptions.ts';
import { inspection, registrarContext } from '../../support/inspection.ts';
import { named, ofProject, PUBLISH, run, SERVICE } from '../../support/policyCases.ts';

describe('--project-scope', () => {
  const rules = { projectScope: true };
  run([
    [
      'lets automatic names through as they are',
      { rules, spec: ofProject('shop'), names: ['1?.web.shop.skydns.local'] },
    ],
    [
      'lets a name at or below PROJECT.ZONE through, and refuses others',
      {
        rules,
        spec: { ...ofProject('shop'), env: { DNS_NAME: 'a.b.shop,shop-a,shop.bank,db.bank' } },
        names: ['a.b.shop.skydns.local'],
        refused: [
          'shop-a.skydns.local is outside shop.skydns.local, to which --project-scope confines project shop: choose a name there',
          /^shop\.bank\.skydns\.local is outside/,
          /^db\.bank\.skydns\.local is outside/,
        ],
      },
    ],
    [
      'lets the part’s own name through',
      { rules, spec: named('shop', { 'dns.project': 'shop' }), names: ['shop.skydns.local'] },
    ],
    [
      'holds in each zone',
      {
        rules,
        spec: named('a.shop.b.example,a.b.example', { 'dns.project': 'shop' }),
        context: {
          zones: [
            ['skydns', 'local'],
            ['b', 'example'],
          ],
        },
        names: ['a.shop.b.example'],
        refused: [/^a\.b\.example is outside shop\.skydns\.local, shop\.b\.example,/],
      },
    ],
    [
      'is not left by an environment of one’s own',
      {
        rules,
        spec: ofProject('shop', { DNS_ENVIRONMENT: 'bank' }),
        names: [],
        refused: [/^web\.bank\.skydns\.local is outside shop\.skydns\.local/],
      },
    ],
    [
      'goes by compose’s project, whatever dns.project says',
      {
        rules,
        spec: {
          env: { DNS_NAME: 'db.bank,db.shop', DNS_PROJECT: 'bank' },
          labels: { 'com.docker.compose.project': 'shop', 'dns.project': 'bank' },
        },
        names: ['db.shop.skydns.local'],
        refused: [/^db\.bank\.skydns\.local is outside shop\.skydns\.local/],
      },
    ],
    [
      'goes by the swarm stack, too',
      {
        rules,
        spec: named('db.shop,db.bank', { 'com.docker.stack.namespace': 'shop' }),
        names: ['db.shop.skydns.local'],
        refused: [/^db\.bank\.skydns\.local is outside shop\.skydns\.local/],
      },
    ],
    [
      'takes dns.project for automatic names, too',
      {
        rules,
        spec: { env: { DNS_SERVICE: 'web', DNS_PROJECT: 'my_shop' } },
        names: ['c0ffee123456.web.my-shop.skydns.local'],
      },
    ],
    [
      'refuses all names of a container without a project, and says how to have one',
      {
        rules: { ...rules, optionPrefix: 'register-' },
        spec: named('web'),
        names: [],
        refused: [
          'web.skydns.local belongs to no project, which --register-project-scope requires: start it with Compose, or label it dns.project=NAME',
        ],
      },
    ],
    [
      'lies in the region',
      {
        rules,
        spec: ofProject('shop'),
        context: { region: 'east' },
        names: ['1?.web.shop.east.skydns.local'],
      },
    ],
    [
      '... so that a project with the region’s name does not have all of it',
      {
        rules,
        spec: named('db.shop.east,db.east,db.east.east', { 'dns.project': 'east' }),
        context: { region: 'east' },
        names: ['db.east.east.skydns.local'],
        refused: [/^db\.shop\.east\..* outside east\.east\.skydns\.local,/, /^db\.east\.skydns/],
      },
    ],
    [
      'does not hold a zone that is called like the project',
      {
        rules,
        spec: named('db.bank.shop.skydns.local,db.shop.shop', { 'dns.project': 'shop' }),
        context: {
          zones: [
            ['skydns', 'local'],
            ['shop', 'skydns', 'local'],
          ],
        },
        names: ['db.shop.shop.skydns.local'],
        refused: [/^db\.bank\.shop\.skydns\.local is outside/],
      },
    ],
    [
      'lies in --service-domain',
      {
        rules,
        spec: ofProject('shop'),
        context: { serviceDomain: 'services' },
        names: ['1?.web.shop.services.skydns.local'],
      },
    ],
    [
      'holds for registrator’s names, which may say the project themselves',
      {
        rules,
        spec: {
          env: { SERVICE_80_NAME: 'web.shop', SERVICE_90_NAME: 'web' },
          labels: { 'dns.project': 'shop' },
          publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] },
        },
        context: SERVICE,
        names: ['node1-web-1-80.web.shop.skydns.local'],
        refused: [/^node1-web-1-90\.web\.skydns\.local is outside shop\.skydns\.local/],
      },
    ],
    [
      'and --allow hold both',
      {
        rules: { ...rules, allow: ['*.shop.skydns.local', 'db.bank.skydns.local'] },
        spec: named('a.shop,b.a.shop,db.bank', { 'dns.project': 'shop' }),
        names: ['a.shop.skydns.local'],
        refused: [/^b\.a\.shop\..*--allow/, /^db\.bank\..*--project-scope/],
      },
    ],
  ]);
});

describe('dns.project', () => {
  it('dns.project is refused for a single port', () => {
    const spec = { env: { DNS_NAME: 'web', DNS_80_PROJECT: 'shop' }, publish: PUBLISH };
    assert.deepEqual(told(inspection(spec), registrarContext()).refusals, [
      'DNS_80_PROJECT applies to the whole container: leave out the port',
    ]);
  });
});
