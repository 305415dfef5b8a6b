/** `--allow` and `--dns-ip-allow`: which names and which stated addresses containers may have. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { summaryOf } from '../../support/descriptions.ts';
import { type ContainerSpec, inspection, registratorContext } from '../../support/inspection.ts';
import { named, ofProject, PUBLISH, policyOf, run, SERVICE } from '../../support/policyCases.ts';
import { withRegistrarFixture } from '../../support/registrarFixture.ts';

describe('--allow', () => {
  const webOnly = { allow: ['*.web.skydns.local', 'db.skydns.local'] };
  const perProject = { allow: ['**.{project}.skydns.local'] };
  run([
    [
      'Without --allow a container may have any name',
      { spec: named('free.place'), names: ['free.place.skydns.local'] },
    ],
    [
      '--allow accepts the names of its patterns and refuses each other name of the container',
      {
        rules: webOnly,
        spec: named('db,a.web,web,x.db.skydns.local,b.a.web'),
        names: ['db.skydns.local', 'a.web.skydns.local'],
        refused: [
          'web.skydns.local is none of the names that containers may have (--allow: *.web.skydns.local, db.skydns.local): choose one of these, or add it with --allow',
          /^x\.db\.skydns\.local is none of the names/,
          /^b\.a\.web\.skydns\.local is none of the names/,
        ],
      },
    ],
    [
      'A refusal names --allow with the prefix that it has in a server',
      {
        rules: { ...webOnly, optionPrefix: 'register-' },
        spec: named('web'),
        names: [],
        refused: [/\(--register-allow: .* or add it with --register-allow$/],
      },
    ],
    [
      '--allow applies to names that are made of parts',
      {
        rules: webOnly,
        spec: { env: { DNS_SERVICE: 'api', DNS_INSTANCE: '1' } },
        names: [],
        refused: [/^1\.api\.skydns\.local is none of the names/],
      },
    ],
    [
      '--allow applies to the name of the image with --exposed-by-default',
      {
        rules: webOnly,
        spec: { image: 'nginx' },
        context: { exposedByDefault: true },
        names: [],
        refused: [/^c0ffee123456\.nginx\.skydns\.local is none of the names/],
      },
    ],
    [
      '--allow applies to the names of siblings',
      {
        rules: { allow: ['web.skydns.local', 'web-80.skydns.local'] },
        spec: { env: { DNS_NAME: 'web' }, publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] } },
        names: ['web-80.skydns.local'],
        refused: [/^web\.skydns\.local has 2 ports/, /^web-90\.skydns\.local is none of the names/],
      },
    ],
    [
      '--allow accepts a numbered instance where its pattern accepts any label',
      {
        rules: webOnly,
        spec: { env: { DNS_NAME: 'web', DNS_INSTANCE: 'auto' } },
        names: ['*.web.skydns.local'],
      },
    ],
    [
      '--allow refuses a numbered instance although it accepts the name without the number',
      {
        rules: { allow: ['1.web.skydns.local', 'web.skydns.local'] },
        spec: { env: { DNS_NAME: 'web', DNS_INSTANCE: 'auto' } },
        names: [],
        refused: [/^web\.skydns\.local is none of the names/],
      },
    ],
    [
      '--allow with {project} confines each project to its own part',
      {
        rules: perProject,
        spec: ofProject('shop', { DNS_NAME: 'a.shop,a.bank,shop-2.bank', DNS_INSTANCE: '' }),
        names: ['a.shop.skydns.local'],
        refused: [/^a\.bank\..*\*\*\.shop\.skydns\.local\)/, /^shop-2\.bank\./],
      },
    ],
    [
      '--allow with {project} refuses a container without a project and names the fix',
      {
        rules: perProject,
        spec: named('a.shop'),
        names: [],
        refused: [
          'a.shop.skydns.local is none of the names that containers may have (--allow: **.{project}.skydns.local): start it with Compose, or label it dns.project=NAME',
        ],
      },
    ],
    [
      '--allow with {project} accepts a container with dns.project under any label prefix',
      {
        rules: perProject,
        spec: { env: { SORA_NAME: 'a.shop' }, labels: { 'org.sora.project': 'Shop' } },
        context: { envPrefix: 'SORA_', labelPrefix: 'org.sora.' },
        names: ['a.shop.skydns.local'],
      },
    ],
    [
      '--allow applies to both families of a name',
      {
        rules: webOnly,
        spec: { env: { DNS_NAME: 'db,web', DNS_IP: '10.0.0.1,fd00::1' } },
        names: ['ipv4.db.skydns.local', 'ipv6.db.skydns.local'],
        refused: [/^web\.skydns\.local is none of the names/],
      },
    ],
    [
      '--allow applies to registrator’s names',
      {
        rules: { allow: ['*.web.skydns.local'] },
        spec: {
          env: { SERVICE_80_NAME: 'web', SERVICE_90_NAME: 'db' },
          publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] },
        },
        context: SERVICE,
        names: ['node1-web-1-80.web.skydns.local'],
        refused: [/^node1-web-1-90\.db\.skydns\.local is none of the names/],
      },
    ],
    [
      '--allow applies to registrator’s raw keys in any case of letters',
      {
        rules: { allow: ['web1.web.skydns.local'] },
        spec: { env: { SERVICE_NAME: 'Web', SERVICE_ID: 'WEB1' } },
        context: { ...SERVICE, registrator: { hostName: 'node1', rawIds: true, tags: [] } },
        names: ['WEB1.Web.skydns.local'],
      },
    ],
  ]);

  it('The registrar removes records of an earlier run that --allow no longer accepts', () =>
    withRegistrarFixture(async (fixture) => {
      const first = fixture.start();
      fixture.engine.run({ env: { DNS_NAME: 'web,db' }, exposed: ['80/tcp'], ip: '10.1.0.2' });
      assert.deepEqual(await fixture.keys(), ['local/skydns/db', 'local/skydns/web']);
      await fixture.end(first);
      fixture.start({ context: { policy: policyOf({ allow: ['db.skydns.local'] }) } });
      await fixture.settle();
      assert.deepEqual(await fixture.hosts(), { 'local/skydns/db': '10.1.0.2' });
    }));

  it('--allow applies to the second name of a replica whose SERVICE_ID is taken', () => {
    const spec = { publish: PUBLISH, env: { SERVICE_NAME: 'web', SERVICE_ID: 'one' } };
    const keyIfTaken = (allow: readonly string[]) => {
      const context = registratorContext({ policy: policyOf({ allow }) });
      const { description } = summaryOf(inspection(spec), context);
      return description.kind === 'described' && description.records[0]?.keyIfTaken;
    };
    assert.equal(keyIfTaken(['*.web.skydns.local']), '/skydns/local/skydns/web/one-c0ffee123456');
    assert.equal(keyIfTaken(['one.web.skydns.local']), undefined);
  });
});

describe('--dns-ip-allow', () => {
  const rules = { networks: ['10.0.0.0/8', 'fd00::/8'] };
  const at = (ip: string): ContainerSpec => ({ env: { DNS_NAME: 'web', DNS_IP: ip } });
  const refused = (ip: string): string =>
    `web.skydns.local states the address ${ip}, which is outside --dns-ip-allow (10.0.0.0/8, fd00::/8): remove the address, or add its network`;
  const web = ['web.skydns.local'];
  run([
    [
      'Without --dns-ip-allow a container may state any address',
      { spec: at('8.8.8.8'), names: web },
    ],
    [
      '--dns-ip-allow accepts an address of its networks',
      { rules, spec: at('10.1.2.3'), names: web },
    ],
    [
      '--dns-ip-allow refuses an address outside its networks',
      { rules, spec: at('8.8.8.8'), names: [], refused: [refused('8.8.8.8')] },
    ],
    [
      '--dns-ip-allow refuses an address of a family that it does not list',
      { rules, spec: at('2001:DB8::0:1'), names: [], refused: [refused('2001:db8::1')] },
    ],
    [
      '--dns-ip-allow refuses both stated addresses when one lies outside its networks',
      { rules, spec: at('10.1.2.3,2001:db8::1'), names: [], refused: [refused('2001:db8::1')] },
    ],
    [
      '--dns-ip-allow applies to the address of one port',
      {
        rules,
        spec: {
          env: { DNS_80_NAME: 'web', DNS_80_IP: '8.8.8.8', DNS_90_NAME: 'db' },
          publish: { ...PUBLISH, '90/tcp': ['0.0.0.0:9090'] },
        },
        names: ['db.skydns.local'],
        refused: [refused('8.8.8.8')],
      },
    ],
    [
      '--dns-ip-allow applies to the addresses of --ip-label',
      {
        rules,
        spec: named('web', { 'net.ip': '8.8.8.8/24' }),
        context: { ipLabel: 'net.ip' },
        names: [],
        refused: [refused('8.8.8.8')],
      },
    ],
    [
      '--dns-ip-allow applies to the stated address of the container whose network another one joined',
      {
        rules,
        spec: { ...named('web'), networkMode: 'container:abc' },
        parent: { publish: PUBLISH, env: { DNS_IP: '8.8.8.8' } },
        names: [],
        refused: [refused('8.8.8.8')],
      },
    ],
    [
      '--dns-ip-allow does not apply to the addresses of the host and of the container',
      {
        rules,
        spec: named('web'),
        names: web,
      },
    ],
    [
      '--dns-ip-allow applies to registrator’s address labels',
      {
        rules: { ...rules, optionPrefix: 'register-' },
        spec: { env: { SERVICE_NAME: 'web' }, labels: { ip: '8.8.8.8' } },
        context: { ...SERVICE, ipLabel: 'ip' },
        names: [],
        refused: [
          /^port 80\/tcp states the address 8\.8\.8\.8, .* outside --register-dns-ip-allow /,
        ],
      },
    ],
  ]);
});
