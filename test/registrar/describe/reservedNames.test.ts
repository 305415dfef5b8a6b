/** Names that no option lets a container have. */
import { describe } from 'node:test';
import { type Cases, named, PUBLISH, run, SERVICE } from '../../support/policyCases.ts';

describe('a reserved name', () => {
  run([
    ...['wpad', 'WPAD.', 'isatap', 'localhost', 'wpad.dept', 'x.wpad', 'a.b.localhost.c'].map(
      (name): Cases[number] => [
        `The reserved name ${name} is refused`,
        {
          spec: named(name.replace(/\.$/, '')),
          names: [],
          refused: [/ has the label (?:wpad|isatap|localhost), .*: choose another name/],
        },
      ],
    ),
    [
      'The refusal of a reserved name says how clients use the name',
      {
        spec: named('wpad'),
        names: [],
        refused: [
          'wpad.skydns.local has the label wpad, from which browsers take their proxy: choose another name (only soradns set may use it)',
        ],
      },
    ],
    [
      'A reserved name is refused as a service, a project and an instance',
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
      'A reserved name is refused behind the number of an instance',
      {
        spec: { env: { DNS_NAME: 'wpad', DNS_INSTANCE: 'auto' } },
        names: [],
        refused: [/has the label wpad/],
      },
    ],
    [
      'A reserved name is refused as a service or id of registrator',
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
      'A reserved name is refused in registrator’s raw ids in any case and with dots',
      {
        spec: { env: { SERVICE_NAME: 'web', SERVICE_ID: 'x.WPad' } },
        context: { ...SERVICE, registrator: { hostName: 'node1', rawIds: true, tags: [] } },
        names: [],
        refused: [/has the label wpad/],
      },
    ],
    [
      'A reserved name is refused although --allow lists it',
      {
        rules: { allow: ['wpad.skydns.local'] },
        spec: named('wpad'),
        names: [],
        refused: [/has the label wpad/],
      },
    ],
    [
      'A label that contains a reserved name is accepted',
      {
        spec: named('wpad-test,mylocalhost,isatap2'),
        names: ['wpad-test.skydns.local', 'mylocalhost.skydns.local', 'isatap2.skydns.local'],
      },
    ],
    [
      'A zone may contain a reserved name because the operator chose it',
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
      'An ACME challenge is refused to a container that does not have the name above',
      {
        spec: named('_acme-challenge.victim,web'),
        names: ['web.skydns.local'],
        refused: [
          '_acme-challenge.victim.skydns.local would get certificates for victim.skydns.local, which is not a name of this container: give it that name too',
        ],
      },
    ],
    [
      'A container has an ACME challenge and the name above in any order',
      {
        spec: named('_acme-challenge.web,web'),
        names: ['_acme-challenge.web.skydns.local', 'web.skydns.local'],
      },
    ],
    [
      'A container has an ACME challenge when another port has the name above',
      {
        spec: {
          env: { DNS_80_NAME: 'web', DNS_90_NAME: '_acme-challenge.web' },
          publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] },
        },
        names: ['_acme-challenge.web.skydns.local', 'web.skydns.local'],
      },
    ],
    [
      'A name below an ACME challenge needs the name above the challenge',
      {
        spec: named('x._acme-challenge.victim,y._acme-challenge.web,web'),
        names: ['y._acme-challenge.web.skydns.local', 'web.skydns.local'],
        refused: [/^x\._acme-challenge\.victim\.skydns\.local would get certificates for victim\./],
      },
    ],
    [
      'An ACME challenge with a suffix is refused without the name above',
      {
        spec: named('_acme-challenge-x.victim'),
        names: [],
        refused: [/would get certificates for victim\.skydns\.local/],
      },
    ],
    [
      'An ACME challenge is refused to a container that has a name beside or below it but not above',
      {
        spec: named('_acme-challenge.victim,a.victim,victim-2'),
        names: ['a.victim.skydns.local', 'victim-2.skydns.local'],
        refused: [/would get certificates for victim\.skydns\.local/],
      },
    ],
    [
      'The ACME challenge of the zone is refused',
      {
        spec: named('_acme-challenge'),
        names: [],
        refused: [/would get certificates for skydns\.local/],
      },
    ],
    [
      'The ACME challenge of a shared name is refused to a container that is an instance of the name',
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
      'An ACME challenge is refused when the name above is refused',
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
      'An ACME challenge is refused to registrator’s services',
      {
        spec: { env: { SERVICE_NAME: 'victim', SERVICE_ID: '_acme-challenge' } },
        context: { ...SERVICE, registrator: { hostName: 'node1', rawIds: true, tags: [] } },
        names: [],
        refused: [/would get certificates for victim\.skydns\.local/],
      },
    ],
  ]);
});
