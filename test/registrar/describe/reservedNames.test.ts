/** Names that no container may have, whatever the options say. */
import { describe } from 'node:test';
import { type Cases, named, PUBLISH, run, SERVICE } from '../../support/policyCases.ts';

describe('a reserved name', () => {
  run([
    ...['wpad', 'WPAD.', 'isatap', 'localhost', 'wpad.dept', 'x.wpad', 'a.b.localhost.c'].map(
      (name): Cases[number] => [
        `${name} is refused`,
        {
          spec: named(name.replace(/\.$/, '')),
          names: [],
          refused: [/ has the label (?:wpad|isatap|localhost), .*: choose another name/],
        },
      ],
    ),
    [
      'is refused with what clients do with it',
      {
        spec: named('wpad'),
        names: [],
        refused: [
          'wpad.skydns.local has the label wpad, from which browsers take their proxy: choose another name (only soradns set may use it)',
        ],
      },
    ],
    [
      'is refused as a service, a project and an instance',
      {
        spec: {
          env: { DNS_80_SERVICE: 'wpad', DNS_90_INSTANCE: 'isatap' },
          labels: { 'com.docker.compose.project': 'localhost' },
          publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] },
        },
        names: [],
        refused: [/has the label wpad/, /has the label isatap/],
      },
    ],
    [
      'is refused with numbers in front',
      {
        spec: { env: { DNS_NAME: 'wpad', DNS_INSTANCE: 'auto' } },
        names: [],
        refused: [/has the label wpad/],
      },
    ],
    [
      'is refused to registrator’s services and ids',
      {
        spec: {
          env: { SERVICE_80_NAME: 'wpad', SERVICE_90_NAME: 'web', SERVICE_90_ID: 'wpad' },
          publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] },
        },
        context: SERVICE,
        names: [],
        refused: [/^node1-web-1-80\.wpad\./, /^wpad\.web\.skydns\.local has the label wpad/],
      },
    ],
    [
      'is refused to registrator’s raw ids, in any case and with dots',
      {
        spec: { env: { SERVICE_NAME: 'web', SERVICE_ID: 'x.WPad' } },
        context: { ...SERVICE, registrator: { hostName: 'node1', rawIds: true, tags: [] } },
        names: [],
        refused: [/has the label wpad/],
      },
    ],
    [
      'stays reserved where --allow lists it',
      {
        rules: { allow: ['wpad.skydns.local'] },
        spec: named('wpad'),
        names: [],
        refused: [/has the label wpad/],
      },
    ],
    [
      'may be in what only resembles it',
      {
        spec: named('wpad-test,mylocalhost,isatap2'),
        names: ['wpad-test.skydns.local', 'mylocalhost.skydns.local', 'isatap2.skydns.local'],
      },
    ],
    [
      'may be in the zone, which is the operator’s',
      {
        spec: named('web.localhost'),
        context: { zones: [['localhost']], defaultZone: ['localhost'] },
        names: ['web.localhost'],
      },
    ],
  ]);
});

describe('an ACME challenge', () => {
  run([
    [
      'is refused to a container that does not have the name above',
      {
        spec: named('_acme-challenge.victim,web'),
        names: ['web.skydns.local'],
        refused: [
          '_acme-challenge.victim.skydns.local would get certificates for victim.skydns.local, which is not a name of this container: give it that name too',
        ],
      },
    ],
    [
      'stands beside the name above of the same container, whatever their order',
      {
        spec: named('_acme-challenge.web,web'),
        names: ['_acme-challenge.web.skydns.local', 'web.skydns.local'],
      },
    ],
    [
      'stands beside the name above of another port',
      {
        spec: {
          env: { DNS_80_NAME: 'web', DNS_90_NAME: '_acme-challenge.web' },
          publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] },
        },
        names: ['_acme-challenge.web.skydns.local', 'web.skydns.local'],
      },
    ],
    [
      'has names below it that need the name above as well',
      {
        spec: named('x._acme-challenge.victim,y._acme-challenge.web,web'),
        names: ['y._acme-challenge.web.skydns.local', 'web.skydns.local'],
        refused: [/^x\._acme-challenge\.victim\.skydns\.local would get certificates for victim\./],
      },
    ],
    [
      'is refused with a suffix, too',
      {
        spec: named('_acme-challenge-x.victim'),
        names: [],
        refused: [/would get certificates for victim\.skydns\.local/],
      },
    ],
    [
      'is refused to a container that has a name beside or below, but not above',
      {
        spec: named('_acme-challenge.victim,a.victim,victim-2'),
        names: ['a.victim.skydns.local', 'victim-2.skydns.local'],
        refused: [/would get certificates for victim\.skydns\.local/],
      },
    ],
    [
      'of the zone is refused',
      {
        spec: named('_acme-challenge'),
        names: [],
        refused: [/would get certificates for skydns\.local/],
      },
    ],
    [
      'of a shared name is refused to one that is only an instance of it',
      {
        spec: {
          env: { DNS_80_NAME: 'web', DNS_80_INSTANCE: 'auto', DNS_90_NAME: '_acme-challenge.web' },
          publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] },
        },
        names: ['*.web.skydns.local'],
        refused: [/would get certificates for web\.skydns\.local/],
      },
    ],
    [
      'goes with the name above, where that is refused',
      {
        rules: { allow: ['_acme-challenge.web.skydns.local', 'db.skydns.local'] },
        spec: named('web,_acme-challenge.web,db'),
        names: ['db.skydns.local'],
        refused: [
          /^web\.skydns\.local is none of/,
          /would get certificates for web\.skydns\.local/,
        ],
      },
    ],
    [
      'is refused to registrator’s services',
      {
        spec: { env: { SERVICE_NAME: 'victim', SERVICE_ID: '_acme-challenge' } },
        context: { ...SERVICE, registrator: { hostName: 'node1', rawIds: true, tags: [] } },
        names: [],
        refused: [/would get certificates for victim\.skydns\.local/],
      },
    ],
  ]);
});
