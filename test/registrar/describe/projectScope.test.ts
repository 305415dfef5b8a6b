/** `--project-scope` and `dns.project`: each project has names only in its own part of the zones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { summaryOf } from '../../support/descriptions.ts';
import { inspection, registrarContext } from '../../support/inspection.ts';
import { named, ofProject, PUBLISH, run, SERVICE } from '../../support/policyCases.ts';

describe('--project-scope', () => {
  const rules = { projectScope: true };
  run([
    [
      '--project-scope accepts automatic names',
      { rules, spec: ofProject('shop'), names: ['1?.web.shop.skydns.local'] },
    ],
    [
      '--project-scope accepts names below PROJECT.ZONE and refuses others',
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
      '--project-scope accepts the name PROJECT.ZONE itself',
      { rules, spec: named('shop', { 'dns.project': 'shop' }), names: ['shop.skydns.local'] },
    ],
    [
      '--project-scope applies to each zone',
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
      '--project-scope refuses a name with an environment other than the project',
      {
        rules,
        spec: ofProject('shop', { DNS_ENVIRONMENT: 'bank' }),
        names: [],
        refused: [/^web\.bank\.skydns\.local is outside shop\.skydns\.local/],
      },
    ],
    [
      '--project-scope uses the Compose project and not dns.project',
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
      '--project-scope uses the swarm stack as the project',
      {
        rules,
        spec: named('db.shop,db.bank', { 'com.docker.stack.namespace': 'shop' }),
        names: ['db.shop.skydns.local'],
        refused: [/^db\.bank\.skydns\.local is outside shop\.skydns\.local/],
      },
    ],
    [
      '--project-scope uses dns.project for automatic names',
      {
        rules,
        spec: { env: { DNS_SERVICE: 'web', DNS_PROJECT: 'my_shop' } },
        names: ['c0ffee123456.web.my-shop.skydns.local'],
      },
    ],
    [
      '--project-scope refuses all names of a container without a project and names the fix',
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
      'With a region --project-scope confines a project to its part of the region',
      {
        rules,
        spec: ofProject('shop'),
        context: { region: 'east' },
        names: ['1?.web.shop.east.skydns.local'],
      },
    ],
    [
      '--project-scope does not give a region to the project with the region’s name',
      {
        rules,
        spec: named('db.shop.east,db.east,db.east.east', { 'dns.project': 'east' }),
        context: { region: 'east' },
        names: ['db.east.east.skydns.local'],
        refused: [/^db\.shop\.east\..* outside east\.east\.skydns\.local,/, /^db\.east\.skydns/],
      },
    ],
    [
      '--project-scope does not give a zone to the project with the zone’s name',
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
      'With --service-domain --project-scope confines a project to its part of that domain',
      {
        rules,
        spec: ofProject('shop'),
        context: { serviceDomain: 'services' },
        names: ['1?.web.shop.services.skydns.local'],
      },
    ],
    [
      '--project-scope accepts a registrator name that contains the project and refuses others',
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
      '--project-scope and --allow both apply',
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
  it('A single port may not set dns.project', () => {
    const spec = { env: { DNS_NAME: 'web', DNS_80_PROJECT: 'shop' }, publish: PUBLISH };
    assert.deepEqual(summaryOf(inspection(spec), registrarContext()).refusals, [
      'DNS_80_PROJECT applies to the whole container: leave out the port',
    ]);
  });
});
