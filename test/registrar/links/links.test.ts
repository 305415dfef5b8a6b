/** The settings of a consumer: which of its variables and labels are links, where they lead, and what is refused. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseTarget } from '../../../src/ambassador/targetText.ts';
import { readContainer } from '../../../src/registrar/describe/container.ts';
import type { RegistrarContext } from '../../../src/registrar/describe/context.ts';
import { type ContainerLink, readLinks } from '../../../src/registrar/links/links.ts';
import { checkTarget } from '../../../src/registrar/links/linkTarget.ts';
import { summaryOf } from '../../support/descriptions.ts';
import { type ContainerSpec, inspection, registrarContext } from '../../support/inspection.ts';
import { policyOf, type Rules } from '../../support/policyCases.ts';

const REDIS = 'redis.production.east.skydns.local';
const DB = 'db.skydns.local';

/** `6379/tcp=TARGET`, with `!` in front if it is also at 127.0.0.1; `@db=TARGET` for an alias. */
function printed(link: ContainerLink): string {
  if (link.kind === 'alias') return `@${link.alias}=${link.target}`;
  const { number, protocol } = link.port;
  return `${link.isLocal ? '!' : ''}${number}/${protocol}=${link.target}`;
}

function linksOf(spec: ContainerSpec, changes: Partial<RegistrarContext> = {}) {
  const { links, refusals } = readLinks(readContainer(inspection(spec)), registrarContext(changes));
  return {
    links: links.map(printed),
    refusals: refusals.map(({ about, reason }) => `${about} ${reason}`),
    sources: links.map(({ source }) => source),
  };
}

describe('the links of a container', () => {
  for (const [why, spec, changes, links] of [
    [
      'DNS_LINK_6379 links a TCP port',
      { env: { DNS_LINK_6379: REDIS } },
      {},
      [`6379/tcp=${REDIS}`],
    ],
    [
      'dns.link.6379 links a TCP port',
      { labels: { 'dns.link.6379': REDIS } },
      {},
      [`6379/tcp=${REDIS}`],
    ],
    [
      'DNS_LINK_53_UDP and dns.link.54/udp link UDP ports',
      { env: { DNS_LINK_53_UDP: DB }, labels: { 'dns.link.54/udp': DB } },
      {},
      [`53/udp=${DB}`, `54/udp=${DB}`],
    ],
    [
      'One number may be linked for TCP and for UDP',
      { env: { DNS_LINK_53: DB, DNS_LINK_53_UDP: REDIS } },
      {},
      [`53/tcp=${DB}`, `53/udp=${REDIS}`],
    ],
    [
      'A label takes precedence over a variable',
      { env: { DNS_LINK_80: DB }, labels: { 'dns.link.80': REDIS } },
      {},
      [`80/tcp=${REDIS}`],
    ],
    [
      'A key with a protocol takes precedence over one without, even over a label',
      { env: { DNS_LINK_80_TCP: DB }, labels: { 'dns.link.80': REDIS } },
      {},
      [`80/tcp=${DB}`],
    ],
    [
      'An empty value counts as unset',
      { env: { DNS_LINK_80: DB, DNS_LINK_81: ' ' }, labels: { 'dns.link.80': '' } },
      {},
      [`80/tcp=${DB}`],
    ],
    [
      'A port with leading zeros is the same port',
      { env: { DNS_LINK_0080: DB } },
      {},
      [`80/tcp=${DB}`],
    ],
    [
      'DNS_LINK_LOCAL=true puts every link of a port at 127.0.0.1 too',
      { env: { DNS_LINK_LOCAL: 'yes', DNS_LINK_80: DB, DNS_LINK_53_UDP: DB } },
      {},
      [`!53/udp=${DB}`, `!80/tcp=${DB}`],
    ],
    [
      'dns.link.local=false takes precedence over DNS_LINK_LOCAL',
      { env: { DNS_LINK_LOCAL: '1', DNS_LINK_80: DB }, labels: { 'dns.link.local': 'off' } },
      {},
      [`80/tcp=${DB}`],
    ],
    [
      'A word in place of the port is an alias, in its own case',
      { labels: { 'dns.link.the-db.X': DB, 'dns.link.cache': REDIS, 'dns.link.80': DB } },
      {},
      [`80/tcp=${DB}`, `@cache=${REDIS}`, `@the-db.X=${DB}`],
    ],
    [
      'The operator chooses the prefixes',
      { env: { SORA_LINK_80: DB, DNS_LINK_81: DB }, labels: { 'org.x/link.82': DB } },
      { envPrefix: 'SORA_', labelPrefix: 'org.x/' },
      [`80/tcp=${DB}`, `82/tcp=${DB}`],
    ],
    [
      'Without --compat no other program’s link is read',
      { env: { BACKEND_6379: REDIS }, labels: { 'connect.6379': REDIS } },
      {},
      [],
    ],
    [
      '--compat ambassadord reads BACKEND_6379 in any case of letters, and no connectable label',
      { env: { backend_6379: REDIS, BACKEND_X: DB }, labels: { 'connect.80': DB } },
      { compat: ['ambassadord'] },
      [`6379/tcp=${REDIS}`],
    ],
    [
      '--compat connectable reads connect.6379 and puts it at 127.0.0.1 too',
      { env: { BACKEND_80: DB }, labels: { 'connect.6379': REDIS } },
      { compat: ['connectable', 'registrator'] },
      [`!6379/tcp=${REDIS}`],
    ],
    [
      'A link of soradns takes precedence over another program’s',
      {
        env: { BACKEND_80: 'a.b', DNS_LINK_80: DB },
        labels: { 'connect.80': 'c.d', 'connect.81': REDIS },
      },
      { compat: ['connectable', 'ambassadord'] },
      [`80/tcp=${DB}`, `!81/tcp=${REDIS}`],
    ],
    [
      'connectable takes precedence over ambassadord',
      { env: { BACKEND_80: 'a.b' }, labels: { 'connect.80': 'c.d' } },
      { compat: ['connectable', 'ambassadord'] },
      ['!80/tcp=c.d'],
    ],
    [
      'A container in any state has its links',
      { state: 'exited', env: { DNS_LINK_80: DB } },
      {},
      [`80/tcp=${DB}`],
    ],
  ] as const satisfies readonly (readonly [
    string,
    ContainerSpec,
    Partial<RegistrarContext>,
    readonly string[],
  ])[]) {
    it(why, () => {
      const outcome = linksOf(spec, changes);
      assert.deepEqual([...outcome.links].sort(), [...links].sort());
      assert.deepEqual(outcome.refusals, []);
    });
  }

  it('A link names the variable or label that sets it', () => {
    const spec = { env: { DNS_LINK_80: DB }, labels: { 'dns.link.db': DB } };
    assert.deepEqual(linksOf(spec).sources, ['DNS_LINK_80', 'dns.link.db']);
  });

  it('A wrong DNS_LINK_LOCAL is refused and counts as false', () => {
    const { links, refusals } = linksOf({ env: { DNS_LINK_LOCAL: 'perhaps', DNS_LINK_80: DB } });
    assert.deepEqual(links, [`80/tcp=${DB}`]);
    assert.deepEqual(refusals, ['DNS_LINK_LOCAL is "perhaps", which is not true or false']);
  });

  it('More links than the limit are refused together', () => {
    const many = (count: number): ContainerSpec => ({
      env: Object.fromEntries(Array.from({ length: count }, (_, i) => [`DNS_LINK_${i + 1}`, DB])),
    });
    assert.equal(linksOf(many(64)).links.length, 64);
    const { links, refusals } = linksOf(many(65));
    assert.deepEqual(links, []);
    assert.deepEqual(refusals, ['DNS_LINK_* lists 65 links, and at most 64 are allowed']);
  });
});

describe('the target of a link', () => {
  for (const target of [
    REDIS,
    `${REDIS}.`,
    'Redis',
    'leader.db.skydns.local',
    'my_redis.example.com',
    `${REDIS}:8080`,
    'redis.example.com:6379',
    '192.168.1.52:6379',
    '[2001:db8::1]:6379',
    '192.168.1.52:6379,192.168.1.53:6379, redis.example.com:1',
    Array.from({ length: 16 }, (_, i) => `10.0.0.${i}:1`).join(),
  ]) {
    it(`A link may lead to ${target.slice(0, 60)}`, () =>
      assert.deepEqual(linksOf({ env: { DNS_LINK_80: target } }), {
        links: [`80/tcp=${target}`],
        refusals: [],
        sources: ['DNS_LINK_80'],
      }));
  }

  const isNoForm = /, which is not NAME, NAME:PORT or IP:PORT$/;
  for (const [target, reason] of [
    ['etcd://10.0.0.1:2379/redis', /^is "etcd:.*": a link takes NAME, .*, and no key of a store$/],
    ['consul://x/y', /and no key of a store$/],
    ['192.168.1.52', /^is "192\.168\.1\.52" without a port: write IP:PORT$/],
    ['192.168.1.300:80', isNoForm],
    ['1.2.3:80', isNoForm],
    ['redis:0', isNoForm],
    ['redis:65536', isNoForm],
    ['redis:http', isNoForm],
    ['a..b', isNoForm],
    ['-a.b', isNoForm],
    ['a b', isNoForm],
    ['a;b', isNoForm],
    ['a\nb', isNoForm],
    ['"a"', isNoForm],
    ['{ drop }', isNoForm],
    ['*.skydns.local', isNoForm],
    ['[a.b]:80', isNoForm],
    ['::1:80', isNoForm],
    ['true', isNoForm],
    ['No', isNoForm],
    [',', isNoForm],
    ['a.b:1,c.d', /^is "c\.d" without a port: in a list, write NAME:PORT$/],
    [`${'a.'.repeat(127)}b`, isNoForm],
    ['x'.repeat(1025), /^is longer than 1024 characters: shorten it$/],
    [Array.from({ length: 17 }, (_, i) => `10.0.0.${i}:1`).join(), /^lists 17 places, and at most/],
    ['127.0.0.1:80', /^is "127\.0\.0\.1:80", and links lead only to addresses that other hosts/],
    ['[::1]:80', /links lead only to addresses that other hosts can reach$/],
    ['0.0.0.0:80', /links lead only/],
    ['169.254.169.254:80', /links lead only/],
    ['[fe80::1]:80', /links lead only/],
    ['[::ffff:127.0.0.1]:80', /links lead only/],
    ['224.0.0.1:80', /links lead only/],
    ['10.0.0.1:80,127.0.0.1:80', /links lead only/],
  ] as const) {
    it(`A link may not lead to ${JSON.stringify(target.slice(0, 40))}`, () => {
      const env = { DNS_LINK_80: target, DNS_LINK_81: DB };
      const { links, refusals } = linksOf({ env });
      assert.deepEqual(links, [`81/tcp=${DB}`]);
      assert.equal(refusals.length, 1);
      const [, text = ''] = /^DNS_LINK_80 (.*)$/s.exec(refusals[0] ?? '') ?? [];
      assert.match(text, reason);
      assert.match(text, /^[ -~]{1,240}$/);
    });
  }

  it('The ambassador understands every target that the registrar accepts', () => {
    const host = fc.constantFrom(
      'a.b',
      'Redis',
      'x_y.z.',
      '10.0.0.1',
      '[fd00::1]',
      'fd00::1',
      '1.2.3',
    );
    const port = fc.constantFrom('', ':80', ':0', ':65535', ':65536', ':x');
    const target = fc
      .array(fc.tuple(host, port, fc.constantFrom('', ' ')), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.map((part) => part.join('')).join());
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(target, fc.string({ maxLength: 30 })), (written) => {
        // As in settings.
        const text = written.trim();
        if (checkTarget(text).kind === 'refused') return;
        accepted++;
        for (const isOurs of [true, false]) {
          const parsed = parseTarget(text, () => isOurs);
          assert.equal(parsed.kind, 'target', text);
        }
      }),
      { numRuns: 2000 },
    );
    assert.ok(accepted > 100, `${accepted} were accepted`);
  });

  it('A target that is accepted has only characters of names, addresses and ports', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const checked = checkTarget(text);
        if (checked.kind === 'target') assert.match(text, /^[A-Za-z0-9_.,:[\]\s-]+$/);
        else assert.match(checked.reason, /^(?:is|lists) [^\p{Cc}\u2028\u2029]{1,200}$/u);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('--link-allow', () => {
  const rules: Rules = {
    links: { names: ['*.web.skydns.local', 'db.skydns.local'], networks: ['10.0.0.0/8'] },
  };
  const listed = '--link-allow: *.web.skydns.local, db.skydns.local, 10.0.0.0/8';
  const project = { 'com.docker.compose.project': 'shop' };
  const own: Rules = { links: { names: ['**.{project}.skydns.local'], networks: [] } };

  function check(target: string, given: Rules | undefined, labels: Record<string, string> = {}) {
    const policy = given && policyOf(given);
    const optionPrefix = given?.optionPrefix ?? '';
    const env = { DNS_LINK_80: target };
    return linksOf({ env, labels }, { policy, optionPrefix }).refusals;
  }

  for (const [target, given, labels] of [
    ['any.where.example:80,8.8.8.8:53', undefined, {}],
    ['any.where.example', { allow: [] }, {}],
    ['db.skydns.local', rules, {}],
    ['DB.skydns.local.:80', rules, {}],
    ['a.web.skydns.local', rules, {}],
    ['leader.db.skydns.local', rules, {}],
    ['10.1.2.3:80', rules, {}],
    ['10.1.2.3:80,a.web.skydns.local:81', rules, {}],
    ['db.shop.skydns.local', own, project],
    ['shop.skydns.local', own, { 'dns.project': 'Shop' }],
  ] as const) {
    it(`${given === undefined ? 'Without --link-allow' : 'With --link-allow'} a link may lead to ${target}${Object.keys(labels).length > 0 ? ' of its project' : ''}`, () =>
      assert.deepEqual(check(target, given, labels), []));
  }

  for (const [target, given, labels, refusal] of [
    [
      'web.skydns.local',
      rules,
      {},
      `DNS_LINK_80 leads to web.skydns.local, where links may not lead (${listed}): choose one of these, or add it with --link-allow`,
    ],
    ['x.db.skydns.local', rules, {}, /leads to x\.db\.skydns\.local, where/],
    ['leader.a.b.skydns.local', rules, {}, /leads to leader\.a\.b\.skydns\.local/],
    ['redis.example.com:6379', rules, {}, /leads to redis\.example\.com, where/],
    ['192.168.1.1:80', rules, {}, /leads to 192\.168\.1\.1, where/],
    ['10.1.2.3:80,redis.example.com:80', rules, {}, /leads to redis\.example\.com, where/],
    ['[2001:DB8::0:1]:80', rules, {}, /leads to 2001:db8::1, where/],
    [
      'db.bank.skydns.local',
      own,
      project,
      /\(--link-allow: \*\*\.shop\.skydns\.local\): choose one of these/,
    ],
    [
      'db.shop.skydns.local',
      own,
      {},
      /\(--link-allow: \*\*\.\{project\}\.skydns\.local\): start it with Compose, or label it dns\.project=NAME$/,
    ],
    [
      'x.example',
      { ...rules, optionPrefix: 'register-' },
      {},
      /\(--register-link-allow: .* or add it with --register-link-allow$/,
    ],
  ] as const) {
    it(`With --link-allow a link of a container with ${JSON.stringify(labels)} may not lead to ${target}`, () => {
      const refusals = check(target, given, labels);
      assert.equal(refusals.length, 1);
      if (typeof refusal === 'string') assert.equal(refusals[0], refusal);
      else assert.match(refusals[0] ?? '', refusal);
    });
  }
});

describe('the names of link settings', () => {
  for (const [env, labels, refusal] of [
    [{ DNS_LNK_6379: DB }, {}, 'DNS_LNK_6379 is not a setting; did you mean DNS_LINK_6379?'],
    [{ DNS_LIN_53_UDP: DB }, {}, 'DNS_LIN_53_UDP is not a setting; did you mean DNS_LINK_53_UDP?'],
    [{ DNS_LINK_LOACL: '1' }, {}, 'DNS_LINK_LOACL is not a setting; did you mean DNS_LINK_LOCAL?'],
    [{ DNS_6379_LINK: DB }, {}, 'DNS_6379_LINK is not a setting; did you mean DNS_LINK_6379?'],
    [{ DNS_53_UDP_LINK: DB }, {}, /did you mean DNS_LINK_53_UDP\?$/],
    [{}, { 'dns.53/udp.link': DB }, /did you mean dns\.link\.53\/udp\?$/],
    [{}, { 'dns.lnk.6379': DB }, 'dns.lnk.6379 is not a setting; did you mean dns.link.6379?'],
    [
      {},
      { 'dns.Link.53/udp': DB },
      'dns.Link.53/udp is not a setting; did you mean dns.link.53/udp?',
    ],
    [
      { DNS_LINK_DB: DB },
      {},
      'DNS_LINK_DB is a link without a port, such as 6379 or 53_UDP; only a label may name an alias',
    ],
    [{ DNS_LINK_6379_SCTP: DB }, {}, /^DNS_LINK_6379_SCTP is a link without a port, such as/],
    [{ DNS_LINK_: DB }, {}, /^DNS_LINK_ is a link without a port, such as/],
    [
      {},
      { 'dns.link.53/sctp': DB },
      'dns.link.53/sctp is a link without a port, such as 53/udp, or an alias of letters, digits, _, . and -',
    ],
    [{}, { 'dns.link.9db': DB }, /is a link without a port/],
    [{ DNS_LINK_0: DB }, {}, 'DNS_LINK_0 is for a port outside 1 to 65535'],
    [{}, { 'dns.link.65536': DB }, 'dns.link.65536 is for a port outside 1 to 65535'],
    [
      {},
      { DNS_LINK_53_UDP: DB },
      'DNS_LINK_53_UDP is a label with the name of a variable: use the label dns.link.53/udp',
    ],
    [
      { 'dns.link.53/udp': DB },
      {},
      'dns.link.53/udp is a variable with the name of a label: set DNS_LINK_53_UDP',
    ],
    [{ 'dns.link.local': '1' }, {}, /: set DNS_LINK_LOCAL$/],
    [
      { 'dns.link.db': DB },
      {},
      'dns.link.db is a variable with the name of a label: set the label',
    ],
  ] as const) {
    it(`The key in ${JSON.stringify({ ...env, ...labels })} is refused with the right one`, () => {
      const { refusals } = summaryOf(inspection({ env, labels }), registrarContext());
      assert.equal(refusals.length, 1, refusals.join('\n'));
      if (typeof refusal === 'string') assert.equal(refusals[0], refusal);
      else assert.match(refusals[0] ?? '', refusal);
      assert.deepEqual(linksOf({ env, labels }).links, []);
    });
  }

  it('A setting that resembles none is reported on a container with a link', () => {
    const env = { DNS_LINK_80: DB, DNS_SERVER: '192.0.2.1' };
    const { refusals } = summaryOf(inspection({ env }), registrarContext());
    assert.deepEqual(refusals, ['DNS_SERVER is not a setting']);
  });
});

describe('a container with only links', () => {
  const consumer = { env: { DNS_LINK_6379: REDIS }, labels: { 'dns.link.local': 'true' } };

  it('A container with only links is ignored without a refusal', () => {
    const { description, hints } = summaryOf(inspection(consumer), registrarContext());
    assert.deepEqual(description, { kind: 'ignored', reason: 'has links and asks for no name' });
    assert.deepEqual(hints, []);
  });

  it('A container with only another program’s links is a consumer if --compat names the program', () => {
    const spec = { env: { BACKEND_6379: REDIS } };
    const reasonWith = (compat: RegistrarContext['compat']) =>
      summaryOf(inspection(spec), registrarContext({ compat })).reason;
    assert.equal(reasonWith([]), 'has no metadata');
    assert.equal(reasonWith(['ambassadord']), 'has links and asks for no name');
  });

  it('A container with a name and links has the name as without links', () => {
    const named = { expose: ['80/tcp'], env: { DNS_NAME: 'web', DNS_MODE: 'internal' } };
    const linked = { ...named, env: { ...named.env, ...consumer.env }, labels: consumer.labels };
    const [one, other] = [named, linked].map((spec) =>
      summaryOf(inspection(spec), registrarContext()),
    );
    assert.deepEqual(one, other);
  });

  it('With --exposed-by-default a container with links has a name like every other', () => {
    const spec = { ...consumer, publish: { '80/tcp': ['0.0.0.0:8080'] } };
    const { records } = summaryOf(inspection(spec), registrarContext({ exposedByDefault: true }));
    assert.deepEqual(Object.keys(records), ['local/skydns/rails/c0ffee123456']);
  });
});

describe('any metadata of a consumer', () => {
  const word = fc.constantFrom(
    ...[
      '6379',
      '53_UDP',
      '53/udp',
      '0',
      '70000',
      'LOCAL',
      'local',
      'db',
      'x y',
      '',
      '9.9',
      '__proto__',
    ],
  );
  const prefix = fc.constantFrom('DNS_LINK_', 'dns.link.', 'BACKEND_', 'connect.', 'DNS_', 'dns.');
  const value = fc.oneof(
    fc.constantFrom(
      REDIS,
      DB,
      REDIS,
      `${DB}:80`,
      '10.0.0.1:80',
      '127.0.0.1:80',
      'true',
      'etcd://x/y',
      ',',
    ),
    fc.string({ unit: 'binary', maxLength: 30 }),
  );
  const sound = fc.constantFrom(
    ...['DNS_LINK_6379', 'DNS_LINK_53_UDP', 'DNS_LINK_LOCAL', 'BACKEND_80', 'connect.80'],
    ...['dns.link.6379', 'dns.link.53/udp', 'dns.link.db', 'dns.link.local'],
  );
  const key = fc.oneof(
    sound,
    fc.tuple(prefix, word).map((parts) => parts.join('')),
  );
  const texts = fc.dictionary(key, value, { maxKeys: 8 });
  const compat = fc.subarray(['registrator', 'ambassadord', 'connectable'] as const);
  const rules = fc.constantFrom<Rules | undefined>(
    undefined,
    { links: { names: ['**.{project}.skydns.local'], networks: ['10.0.0.0/8'] } },
    { links: { names: ['**.skydns.local'], networks: [] } },
  );

  it('The links of any container are read without an exception, with short printable reasons', () => {
    let linked = 0;
    fc.assert(
      fc.property(texts, texts, compat, rules, (env, labels, programs, given) => {
        const policy = given && policyOf(given);
        const context = registrarContext({ compat: programs, policy });
        const one = inspection({ env: Object.entries(env).map((pair) => pair.join('=')), labels });
        const { links, refusals } = readLinks(readContainer(one), context);
        linked += links.length > 0 ? 1 : 0;
        const points = links.map((link) => printed(link).replace(/^!|=.*$/gs, ''));
        assert.equal(new Set(points).size, points.length);
        for (const { about, reason } of refusals) {
          assert.match(about, /^[^\p{Cc}\u2028\u2029]{0,80}$/u);
          assert.match(reason, /^(?:is|has|lists|leads) [^\p{Cc}\u2028\u2029]{1,240}$/u);
        }
        summaryOf(one, context);
      }),
      { numRuns: 2000 },
    );
    assert.ok(linked > 100, `${linked} had links`);
  });

  it('The links do not depend on the order of variables and labels', () => {
    fc.assert(
      fc.property(texts, texts, (env, labels) => {
        const read = (list: [string, string][], named: [string, string][]) =>
          readLinks(
            readContainer(
              inspection({
                env: list.map((pair) => pair.join('=')),
                labels: Object.fromEntries(named),
              }),
            ),
            registrarContext(),
          );
        const [one, other] = [Object.entries(env), Object.entries(labels)];
        assert.deepEqual(read(one, other), read(one.toReversed(), other.toReversed()));
      }),
    );
  });
});
