import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { readClientConfig } from '../../src/config/clientConfig.ts';
import { CONFIG_OPTIONS, type Config, readConfig } from '../../src/config/config.ts';
import { LEGACY_OPTIONS } from '../../src/config/legacyOptions.ts';
import { variablesOf } from '../../src/config/options/option.ts';
import { SERVE_REGISTRAR_OPTIONS } from '../../src/config/options/registrarOptions.ts';
import { isSameValue, Secret } from '../../src/config/options/valueForms.ts';
import type { FlagValue, Rows, TextFileReader } from '../../src/config/settings.ts';
import { withStoreConfig } from '../../src/config/storeConfig.ts';
import { printSocketAddress } from '../../src/dns/address.ts';
import { printName } from '../../src/dns/name.ts';

interface Given {
  readonly flags?: Readonly<Record<string, FlagValue>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
}

function reader(files: Readonly<Record<string, string>> = {}): TextFileReader {
  return (path) => {
    const text = files[path];
    return text === undefined ? { problem: 'ENOENT' } : { text };
  };
}

function read({ flags = {}, env = {}, files }: Given) {
  return readConfig({ flags, env, readFile: reader(files), stateDirectory: '/state' });
}

function configOf(given: Given): Config {
  const result = read(given);
  assert.ok(result.kind === 'config', inspect(result));
  return result.config;
}

function notesOf(given: Given): readonly string[] {
  const result = read(given);
  assert.ok(result.kind === 'config', inspect(result));
  return result.notes;
}

function mistakesOf(given: Given): readonly string[] {
  const result = read(given);
  assert.ok(result.kind === 'mistakes', inspect(result));
  return result.mistakes;
}

describe('defaults', () => {
  it('The defaults serve skydns.local. on 127.0.0.1:53 from an embedded store', () => {
    const config = configOf({});
    assert.deepEqual(config.addr, [{ address: '127.0.0.1', port: 53 }]);
    assert.deepEqual(config.domains.map(printName), ['skydns.local.']);
    assert.deepEqual(config.store, { kind: 'file', directory: '/state' });
    assert.deepEqual(config.http, { address: '127.0.0.1', port: 4001 });
    assert.equal(config.ttlSeconds, 3600);
    assert.equal(config.minTtlSeconds, 5);
    assert.equal(config.minLeaseTtlSeconds, 1);
    assert.equal(config.nameservers, 'resolv.conf');
    assert.equal(config.recursion, true);
    assert.equal(config.logQueriesPerSecond, 0);
    assert.ok(Object.isFrozen(config));
  });

  it('The defaults are those in the help', () => {
    const config = configOf({}) as unknown as Record<string, unknown>;
    for (const [field, row] of Object.entries(CONFIG_OPTIONS as Rows)) {
      if (row.form !== 'text' || row.defaultText === undefined || field === 'hostmaster') continue;
      const said = configOf({ flags: { [row.name]: row.defaultText } }) as unknown as typeof config;
      assert.deepEqual(said[field], config[field], `--${row.name}`);
    }
  });
});

describe('precedence', () => {
  const files = { 'c.json': '{"ttl": 3, "domain": ["file.example"], "no_rec": true}' };

  it('The precedence is flag, variable, config file, default', () => {
    const all = { flags: { ttl: '1', config: 'c.json' }, env: { SORADNS_TTL: '2' }, files };
    assert.equal(configOf(all).ttlSeconds, 1);
    assert.equal(configOf({ ...all, flags: { config: 'c.json' } }).ttlSeconds, 2);
    assert.equal(configOf({ env: { SORADNS_CONFIG: 'c.json' }, files }).ttlSeconds, 3);
    assert.equal(configOf({}).ttlSeconds, 3600);
  });

  it('readConfig returns the origin of each value', () => {
    const { origins } = configOf({
      flags: { ttl: '1', config: 'c.json' },
      env: { SKYDNS_NDOTS: '1' },
      files,
    });
    const { ttlSeconds, ndots, domains, priority } = origins;
    assert.deepEqual(
      [ttlSeconds, ndots, domains, priority],
      ['flag', 'environment', 'file', 'default'],
    );
  });

  it('A SORADNS variable overrides SkyDNS’s variable, and an empty variable counts as unset', () => {
    const env = { SORADNS_DOMAIN: 'ours.example', SKYDNS_DOMAIN: 'theirs.example' };
    assert.deepEqual(configOf({ env }).domains, [['ours', 'example']]);
    const unset = { ...env, SORADNS_DOMAIN: '' };
    assert.deepEqual(configOf({ env: unset }).domains, [['theirs', 'example']]);
  });

  it('A flag turns off an option that a variable turned on', () => {
    const env = { SORADNS_NO_REC: 'true' };
    assert.equal(configOf({ env }).recursion, false);
    assert.equal(configOf({ env, flags: { 'no-rec': false } }).recursion, true);
  });

  it('--store overrides ETCD_MACHINES, and --machines overrides SORADNS_STORE', () => {
    const env = { ETCD_MACHINES: 'http://10.0.0.1:2379' };
    assert.equal(configOf({ env }).store.kind, 'etcd');
    assert.equal(configOf({ env, flags: { store: 'memory:' } }).store.kind, 'memory');
    const flags = { machines: 'http://10.0.0.1:2379' };
    assert.equal(configOf({ flags, env: { SORADNS_STORE: 'memory:' } }).store.kind, 'etcd');
  });
});

describe('forms', () => {
  it('A list is read from repeated flags, commas and JSON arrays', () => {
    const expected = ['a.example.', 'b.example.'];
    const files = { 'c.json': '{"domain": ["a.example", "b.example"]}' };
    const ways: Given[] = [
      { flags: { domain: ['a.example', 'b.example'] } },
      { flags: { domain: 'A.example., b.example' } },
      { env: { SORADNS_DOMAIN: 'a.example,b.example' } },
      { flags: { config: 'c.json' }, files },
    ];
    for (const way of ways) assert.deepEqual(configOf(way).domains.map(printName), expected);
  });

  it('The servers of --forward follow their domain, whether commas split them or not', () => {
    const expected = [
      'corp.example. 10.0.0.2:53 10.0.0.3:5353',
      'lab.example. local',
      '8.10.in-addr.arpa. 10.8.0.1:53',
      '4.in-addr.arpa. 10.8.0.1:53',
      '5.in-addr.arpa. 10.8.0.1:53',
    ];
    const rules = ['Corp.example=10.0.0.2', '10.0.0.3:5353', 'lab.example=local'];
    const ranges = ['10.8.0.0/16=10.8.0.1', '4.0.0.0/7=10.8.0.1'];
    const all = [...rules, ...ranges];
    const files = { 'c.json': JSON.stringify({ forward: all }) };
    const twice = ['corp.example=10.0.0.2', ...all.slice(2), 'CORP.example.=10.0.0.3:5353'];
    const ways: Given[] = [
      { flags: { forward: all } },
      { flags: { forward: all.join(', ') } },
      { flags: { forward: twice } },
      { env: { SORADNS_FORWARD: all.join(',') } },
      { flags: { config: 'c.json' }, files },
    ];
    for (const way of ways) {
      const printed = configOf(way).forward.map(({ name, servers }) => {
        const texts = servers === 'local' ? [servers] : servers.map(printSocketAddress);
        return [printName(name), ...texts].join(' ');
      });
      assert.deepEqual(printed, expected);
    }
  });

  it('Every variable of SkyDNS is read', () => {
    const env = {
      SKYDNS_ADDR: '0.0.0.0:5353',
      SKYDNS_DOMAIN: 'cluster.example',
      SKYDNS_NAMESERVERS: '8.8.8.8:53,[2001:db8::1]:5353',
      SKYDNS_NDOTS: '1',
      SKYDNS_PATH_PREFIX: '/blue/',
      ETCD_MACHINES: 'https://a.example:2379,https://b.example:2379',
      ETCD_CACERT: '/ca',
      ETCD_TLSPEM: '/pem',
      ETCD_TLSKEY: '/key',
      ETCD_USERNAME: 'u',
      ETCD_PASSWORD: 'p',
    };
    const config = configOf({ env });
    assert.deepEqual(config.addr, [{ address: '0.0.0.0', port: 5353 }]);
    assert.deepEqual(config.nameservers, [
      { address: '8.8.8.8', port: 53 },
      { address: '2001:db8::1', port: 5353 },
    ]);
    assert.equal(config.ndots, 1);
    assert.equal(config.pathPrefix, 'blue');
    assert.ok(config.store.kind === 'etcd');
    assert.deepEqual(config.store.endpoints, ['https://a.example:2379', 'https://b.example:2379']);
    assert.deepEqual(config.store.tls, { caFile: '/ca', certFile: '/pem', keyFile: '/key' });
    assert.equal(config.store.user, 'u');
    assert.equal((config.store.password as Secret).reveal(), 'p');
  });

  it('Secrets are read from files and trimmed', () => {
    const files = { '/run/token': ' t0ken\n', '/run/pw': 'pw\n' };
    const env = { ETCD_PASSWORD_FILE: '/run/pw', ETCD_USERNAME: 'u' };
    const flags = { 'http-token-file': '/run/token', store: 'etcd://127.0.0.1:2379' };
    const config = configOf({ flags, env, files });
    assert.equal(config.httpToken?.reveal(), 't0ken');
    assert.equal(config.password?.reveal(), 'pw');
  });

  it('A printed configuration contains no secret', () => {
    const env = {
      SORADNS_STORE: 'etcd://u:s3cr3t@127.0.0.1:2379',
      SORADNS_HTTP_TOKEN: 's3cr3t',
      SORADNS_TOKEN: 's3cr3t',
    };
    const config = configOf({ env });
    assert.ok(config.store.kind === 'etcd');
    assert.equal(config.store.password?.reveal(), 's3cr3t');
    assert.doesNotMatch(JSON.stringify(config) + inspect(config, { depth: 9 }), /s3cr3t/);
    assert.equal(`${config.token}`, '[secret]');
  });

  it('--hostmaster accepts a mail address', () => {
    const hostmaster = (text: string) => configOf({ flags: { hostmaster: text } }).hostmaster;
    assert.deepEqual(hostmaster('first.last@example.org'), ['first.last', 'example', 'org']);
    assert.deepEqual(hostmaster('hostmaster.example.org.'), ['hostmaster', 'example', 'org']);
  });

  it('--workers accepts a number, 0 and auto', () => {
    const workers = (value: string) => configOf({ flags: { workers: value } }).workers;
    assert.deepEqual(['3', '0', 'auto'].map(workers), [3, 0, undefined]);
  });

  it('--log-queries is accepted alone, with a rate, and as off', () => {
    const rate = (value: string) =>
      configOf({ flags: { 'log-queries': value } }).logQueriesPerSecond;
    assert.deepEqual(['true', '20', 'false', '0'].map(rate), [100, 20, 0, 0]);
  });
});

describe('Consul’s names', () => {
  const east = { label: 'east', base: ['production', 'east', 'skydns', 'local'] };

  it('The options of Consul’s names are read from flags and variables', () => {
    const config = configOf({
      flags: { 'consul-domain': 'Consul.', 'consul-base': 'production.East.skydns.local' },
      env: { SORADNS_CONSUL_DC: 'East=production.east.skydns.local.,west=skydns.local' },
    });
    assert.deepEqual(config.consulDomain, ['consul']);
    assert.deepEqual(config.consulBase, ['production', 'east', 'skydns', 'local']);
    assert.deepEqual(config.consulDatacenters, [
      east,
      { label: 'west', base: ['skydns', 'local'] },
    ]);
    assert.equal(configOf({}).consulDomain, undefined);
  });

  const domain = { 'consul-domain': 'consul' };
  const MISTAKES: readonly (readonly [flags: Record<string, FlagValue>, mistake: RegExp])[] = [
    [{ 'consul-base': 'a.skydns.local' }, /--consul-base: needs --consul-domain/],
    [{ 'consul-dc': ['a=skydns.local'] }, /--consul-dc: needs --consul-domain/],
    [{ 'consul-domain': 'SkyDNS.local.' }, /skydns\.local\. is a --domain/],
    [{ 'consul-domain': '.' }, /--consul-domain: "\." is not a domain name/],
    [{ 'consul-domain': `${'x'.repeat(63)}.${'y'.repeat(63)}.z` }, /at most 128 octets/],
    [{ ...domain, 'consul-dc': ['a=skydns.local', 'A=b.skydns.local'] }, /a is given twice/],
    [{ ...domain, 'consul-dc': ['service=skydns.local'] }, /no word of a name/],
    [{ ...domain, 'consul-dc': ['dc=skydns.local'] }, /no word of a name/],
    [{ ...domain, 'consul-dc': ['peer=skydns.local'] }, /no word of a name/],
    [{ ...domain, 'consul-dc': ['_tcp=skydns.local'] }, /LABEL=NAME/],
    [{ ...domain, 'consul-dc': ['any=skydns.local'] }, /LABEL=NAME/],
    [{ ...domain, 'consul-dc': ['east'] }, /LABEL=NAME/],
    [{ ...domain, 'consul-dc': ['east='] }, /LABEL=NAME/],
    [{ ...domain, 'consul-dc': ['a.b=skydns.local'] }, /LABEL=NAME/],
  ];
  for (const [flags, mistake] of MISTAKES) {
    it(`A mistake in the options of Consul’s names is named (${JSON.stringify(flags).slice(0, 60)})`, () => {
      const mistakes = mistakesOf({ flags });
      assert.equal(mistakes.length, 1, mistakes.join('\n'));
      assert.match(mistakes[0] ?? '', mistake);
    });
  }
});

describe('comparison', () => {
  it('Two option values are equal if their contents are', () => {
    const value = (port: number, secret: string) => [{ port, token: new Secret(secret) }, 'x'];
    assert.ok(isSameValue(value(53, 'a'), value(53, 'a')));
    assert.ok(!isSameValue(value(53, 'a'), value(53, 'b')));
    assert.ok(!isSameValue(value(53, 'a'), value(54, 'a')));
    assert.ok(!isSameValue({ a: undefined }, {}));
    assert.ok(!isSameValue([], {}));
  });

  it('Values of every option can be compared', () => {
    const rows = Object.values({ ...CONFIG_OPTIONS, ...SERVE_REGISTRAR_OPTIONS } as Rows);
    assert.ok(rows.length > 60, `${rows.length}`);
    for (const { name, form, schema, example, secret } of rows) {
      // Without the explanation in brackets. The example of a secret is the path of its file.
      const [text = ''] = (secret ? 'c0ffee00'.repeat(4) : example).split(' ');
      const given = form === 'list' ? [text] : form === 'switch' ? true : text;
      const [one, other] = [schema(given), schema(given)];
      assert.ok(one !== undefined && isSameValue(one, other), name);
    }
  });

  it('The comparison of option values refuses objects that may hide their content', () => {
    assert.throws(() => isSameValue(/a/, /b/), TypeError);
    assert.throws(() => isSameValue([new Map()], [new Map()]), TypeError);
  });
});

describe('stores', () => {
  const store = (text: string, flags = {}, env = {}) =>
    configOf({ flags, env: { SORADNS_STORE: text, ...env } }).store;

  it('--store accepts memory, a directory, etcd with and without TLS, and a soradns server', () => {
    assert.deepEqual(store('memory:'), { kind: 'memory' });
    assert.deepEqual(store('file:/var/x'), { kind: 'file', directory: '/var/x' });
    assert.deepEqual(store('file:///var/x'), { kind: 'file', directory: '/var/x' });
    const etcd = store('etcd://10.0.0.1:2379,[::1]:2379');
    assert.ok(etcd.kind === 'etcd');
    assert.deepEqual(etcd.endpoints, ['http://10.0.0.1:2379', 'http://[::1]:2379']);
    assert.equal(etcd.tls, undefined);
    const tls = store('etcds://u%40x:p%3Aw@a:1', { 'ca-cert': '/ca' });
    assert.ok(tls.kind === 'etcd');
    assert.deepEqual(tls.endpoints, ['https://a:1']);
    assert.equal(tls.user, 'u@x');
    assert.equal(tls.password?.reveal(), 'p:w');
    assert.deepEqual(tls.tls, { caFile: '/ca', certFile: undefined, keyFile: undefined });
    const http = store('http://10.0.0.1:4001/', {}, { SORADNS_TOKEN: 't' });
    assert.ok(http.kind === 'http');
    assert.equal(http.url, 'http://10.0.0.1:4001');
    assert.equal(http.token?.reveal(), 't');
  });

  it('A password is sent over the network only with TLS, unless an option allows plain text', () => {
    const text = 'etcd://u:p@10.0.0.1:2379';
    assert.match(mistakesOf({ env: { SORADNS_STORE: text } })[0] ?? '', /--plain-password/);
    assert.equal(store(text, { 'plain-password': true }).kind, 'etcd');
    for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]'])
      assert.equal(store(`etcd://u:p@${host}:2379`).kind, 'etcd', host);
    for (const host of ['127.example.org', '[::2]', '[::ffff:10.0.0.1]'])
      assert.equal(mistakesOf({ env: { SORADNS_STORE: `etcd://u:p@${host}:1` } }).length, 1, host);
  });

  it('The default store of client commands is the local server', () => {
    const client = (flags: Record<string, FlagValue>, env: Record<string, string>) => {
      const result = readClientConfig({ flags, env, readFile: reader() });
      assert.ok(result.kind === 'config', inspect(result));
      return result.config.store;
    };
    const http = { kind: 'http', url: 'http://127.0.0.1:4001', token: undefined };
    assert.deepEqual(client({}, {}), http);
    assert.deepEqual(client({}, { ETCD_MACHINES: 'http://a:1' }), http);
    assert.equal(client({}, { SORADNS_STORE: 'file:/x' }).kind, 'file');
    assert.equal(client({ store: 'memory:' }, { SORADNS_STORE: 'file:/x' }).kind, 'memory');
  });
});

describe('mistakes', () => {
  /** The flags, then the option and the fix that the message must name in its one line. */
  const table: [Given['flags'], RegExp][] = [
    [{ addr: 'localhost' }, /^--addr: "localhost" is not an IP:PORT; for example --addr 127/],
    [{ addr: '127.0.0.1' }, /^--addr: .*--addr 127/],
    [{ addr: '127.0.0.1:65536' }, /^--addr: .*--addr 127/],
    [{ addr: '::1:53' }, /^--addr: .*\[::1\]:5300/],
    [{ addr: ['127.0.0.1:53', ''] }, /^--addr: /],
    [
      { domain: 'a..b' },
      /^--domain: "a..b" is not a domain name; for example --domain skydns.local/,
    ],
    [{ domain: `${'x'.repeat(64)}.example` }, /^--domain: /],
    [{ domain: '*.example' }, /^--domain: /],
    [{ domain: 'a/b' }, /^--domain: /],
    [{ domain: '' }, /^--domain: /],
    [{ nameservers: 'dns.example' }, /^--nameservers: .*IP.*--nameservers 192/],
    [{ nameservers: '8.8.8.8:0' }, /^--nameservers: /],
    [{ 'recursion-allow': '10.0.0.0/33' }, /^--recursion-allow: .*--recursion-allow 10/],
    [{ ndots: '-1' }, /^--ndots: .*0 to 127.*--ndots 2/],
    [{ ttl: 'abc' }, /^--ttl: "abc" is not whole seconds .*--ttl 3600/],
    [{ ttl: '0' }, /^--ttl: /],
    [{ ttl: '1h' }, /^--ttl: /],
    [{ ttl: '1e3' }, /^--ttl: /],
    [{ ttl: '2147483648' }, /^--ttl: /],
    [{ ttl: ['1', '2'] }, /^--ttl: is given more than once; give it once/],
    [{ 'min-ttl': '-5' }, /^--min-ttl: /],
    [{ 'min-lease-ttl': 'x' }, /^--min-lease-ttl: /],
    [{ priority: '0' }, /^--priority: .*1 to 65535/],
    [{ local: 'a..b' }, /^--local: /],
    [{ hostmaster: '@' }, /^--hostmaster: .*hostmaster@example.org/],
    [{ any: 'all' }, /^--any: "all" is not hinfo or refuse; for example --any hinfo/],
    [{ 'parent-value': 'x' }, /^--parent-value: .*hidden, wins or merged/],
    [{ 'log-level': 'loud' }, /^--log-level: .*trace, debug/],
    [{ workers: '65' }, /^--workers: .* from 0 to 64, or auto; for example --workers 2/],
    [{ 'log-queries': 'many' }, /^--log-queries: .*--log-queries 100/],
    [{ http: '4001' }, /^--http: .*IP:PORT or off.*--http 127/],
    [{ 'http-writers': 'all' }, /^--http-writers: "all" is not local or token; for example/],
    [
      { 'http-token-file': '/gone' },
      /^--http-token-file: cannot read \/gone \(ENOENT\); name a readable file/,
    ],
    [{ 'path-prefix': '/' }, /^--path-prefix: .*--path-prefix skydns/],
    [{ 'path-prefix': 'a/../b' }, /^--path-prefix: /],
    [{ store: 'redis://x' }, /^--store: .*memory:, file:DIR, etcd:/],
    [{ store: 'file:' }, /^--store: no directory; write --store file:/],
    [{ store: 'memory:x' }, /^--store: .*--store memory:/],
    [{ store: 'etcd://' }, /^--store: no addresses; write --store etcd:/],
    [{ store: 'etcd://a' }, /^--store: "a" is not a HOST:PORT; write for example 10/],
    [{ store: 'etcd://a:0' }, /^--store: /],
    [{ store: 'etcd://u@127.0.0.1:1' }, /^--username: .*--password-file/],
    [{ store: 'etcds://a:1', 'tls-pem': '/x' }, /^--tls-pem: .*--tls-key/],
    [{ store: 'etcd://127.0.0.1:1', 'ca-cert': '/x' }, /^--store: .*etcds:/],
    [{ store: 'http://' }, /^--store: .*--store http:/],
    [
      { store: 'http://a:1/v2' },
      /^--store: the URL must not contain a path; write --store http:\/\/a:1$/,
    ],
    [{ store: 'http://u@a:1' }, /^--store: .*--token-file$/],
    [
      { 'http-token': 's3cr3t' },
      /^--http-token: .*command line; give --http-token-file FILE or .*SORADNS_HTTP_TOKEN$/,
    ],
    [{ token: 's3cr3t' }, /^--token: .*; give --token-file FILE or .* SORADNS_TOKEN$/],
    [{ password: 's3cr3t' }, /^--password: .*; give --password-file FILE or .*_PASSWORD$/],
    [{ store: 'etcd://u:s3cr3t@127.0.0.1:1' }, /^--store: .*command line.*--password-file FILE/],
    [{ store: 'http://u:s3cr3t@a:1' }, /^--store: .*command line/],
    [
      { machines: '10.0.0.1:2379' },
      /^--machines: every machine must be a URL; write --machines http:/,
    ],
    [{ machines: 'http://a:1,https://b:1' }, /^--machines: mixes/],
    [{ machines: 'http://a:1', store: 'memory:' }, /^--machines: .*--store; give one/],
    [{ config: '/gone' }, /^--config: cannot read \/gone/],
    [{ forward: 'corp.example' }, /^--forward: "corp.example" is not DOMAIN=.*; for example/],
    [{ forward: 'corp.example=ns1.corp.example' }, /^--forward: .* is not DOMAIN=IP/],
    [{ forward: 'corp.example=' }, /^--forward: .* is not DOMAIN=IP/],
    [{ forward: ['a.example=local', 'a.example=10.0.0.2'] }, /^--forward: .* is not DOMAIN=IP/],
    [{ forward: '10.0.0.0/33=10.0.0.2' }, /^--forward: .* CIDR=IP/],
    [{ forward: 'SkyDNS.local=10.0.0.2' }, /^--forward: skydns.local. is answered here/],
    [{ forward: '.=10.0.0.2', nameservers: '10.0.0.3' }, /^--forward: . and --nameservers mean/],
    [{ dnssec: '' }, /^--dnssec: "" is not the base name of a key, or a folder; for example/],
    [{ 'dnssec-validity': '60' }, /^--dnssec-validity: "60" is not whole seconds from 86400/],
  ];
  for (const [flags, expected] of table) {
    it(`The mistake in ${JSON.stringify(flags)} is reported with a correct form`, () => {
      const mistakes = mistakesOf({ flags: flags ?? {} });
      assert.equal(mistakes.length, 1, inspect(mistakes));
      assert.match(mistakes[0] ?? '', expected);
      assert.doesNotMatch(mistakes[0] ?? '', /[\n\r]/);
    });
  }

  it('A mistake in a variable is reported with the variable’s name', () => {
    const env = { SKYDNS_NDOTS: 'x', ETCD_PASSWORD_FILE: '/gone', SKYDNS_SYSTEMD: 'x' };
    const mistakes = mistakesOf({ env });
    assert.match(mistakes.join('\n'), /^SKYDNS_NDOTS: "x" .*; for example SKYDNS_NDOTS=\d+$/m);
    assert.match(mistakes.join('\n'), /^ETCD_PASSWORD_FILE: cannot read/m);
    assert.match(mistakes.join('\n'), /^SKYDNS_SYSTEMD: "x" is not true or false/m);
  });

  it('A mistake in the config file is reported with file, key and suggestion', () => {
    const config = (text: string) =>
      mistakesOf({ flags: { config: 'c.json' }, files: { 'c.json': text } });
    assert.match(config('{"tll": 60}')[0] ?? '', /"tll" in c.json: .*did you mean ttl\?/);
    assert.match(config('{"ttl": "x"}')[0] ?? '', /^ttl in c.json: "x" is not whole seconds/);
    assert.match(config('{"ttl": [1]}')[0] ?? '', /^ttl in c.json: /);
    assert.match(config('{"domain": 7}')[0] ?? '', /^domain in c.json: 7 is not/);
    assert.match(config('{"__proto__": 7}')[0] ?? '', /"__proto__" in c.json: unknown option/);
    assert.match(
      config('[]')[0] ?? '',
      /^--config: c.json is not a JSON object; write for example/,
    );
    assert.match(config('{ttl: 1}')[0] ?? '', /^--config: c.json is not a JSON object/);
    assert.match(config('{"dnssec": 7}')[0] ?? '', /^dnssec in c.json: 7 is not the base name/);
  });

  it('No message about a mistake contains a secret', () => {
    const texts = [
      { store: 'etcd://u:s3cr3t@', config: '/gone' },
      { store: 'redis://u:s3cr3t@a' },
      { store: 'etcd://u:s3cr3t@10.0.0.1:2379' },
      { 'http-token': ['s3cr3t', 's3cr3t'] },
      { 'http-token': 's3cr3t' },
      { store: 'http://u:s3cr3t@a:1' },
    ].flatMap((flags) => mistakesOf({ flags }));
    const variables = ['etcd://u:s3cr3t@', 'redis://u:s3cr3t@a', 'etcd://u:s3cr3t@10.0.0.1:2379'];
    const more = variables.flatMap((text) => mistakesOf({ env: { SORADNS_STORE: text } }));
    assert.equal(more.length, variables.length);
    assert.doesNotMatch([...texts, ...more].join('\n'), /s3cr3t/);
  });
});

describe('SkyDNS’s options', () => {
  it('SkyDNS’s options without a counterpart are accepted with a note', () => {
    for (const option of LEGACY_OPTIONS) {
      const value = option.form === 'switch' ? true : '1';
      const [note] = notesOf({ flags: { [option.name]: value } });
      assert.match(note ?? '', new RegExp(`^--${option.name} has no effect: `));
    }
  });

  it('An option that refines an option that is off is noted', () => {
    const refining = { 'rrl-slip': '3', 'rrl-prefix': '20/48', 'rrl-exempt': ['10.0.0.0/8'] };
    const notes = Object.keys(refining).map((name) => `--${name} has no effect without --rrl`);
    const cookieSecrets = { SORADNS_COOKIE_SECRET: '0123456789abcdef'.repeat(2) };
    assert.deepEqual(notesOf({ flags: refining, env: cookieSecrets }), [
      '--cookie-secret-file has no effect without --cookies',
      ...notes,
    ]);
    const used = { ...refining, rrl: '5', cookies: true };
    assert.deepEqual(notesOf({ flags: used, env: cookieSecrets }), []);
  });

  it('A hosts file that cannot be read gets a note', () => {
    const files = { '/etc/hosts': '' };
    const notes = notesOf({ flags: { hosts: ['/etc/hosts', '/gone'] }, files });
    assert.equal(notes.length, 1);
    assert.match(notes[0] ?? '', /^--hosts: cannot read \/gone \(.+\)$/);
  });

  it('SkyDNS’s unsupported options are accepted when they are turned off', () => {
    assert.deepEqual(notesOf({ flags: { systemd: false, stubzones: false } }), []);
    assert.deepEqual(notesOf({ env: { SKYDNS_SYSTEMD: 'false' } }), []);
  });
});

describe('variables', () => {
  it('Every option has a variable', () => {
    for (const row of Object.values(CONFIG_OPTIONS as Rows)) {
      const [name] = variablesOf(row);
      const result = read({ env: { [name ?? '']: '\u0001' } });
      assert.ok(
        result.kind === 'mistakes' || /token|password|username|tls|ca-cert/.test(row.name),
        `${name} is read`,
      );
    }
  });

  it('Variables of other commands get no note', () => {
    const env = { SORADNS_REGISTRAR: 'x', SORADNS_SERVER: 'x', SORADNS_MODE: 'x' };
    assert.deepEqual(notesOf({ env }), []);
    const notes = notesOf({ env: { SORADNS_REGISTRER: 'x' } });
    assert.deepEqual(notes, ['SORADNS_REGISTRER has no effect; did you mean SORADNS_REGISTER?']);
  });

  it('A variable of register gets a note with the name that the registrar in a server reads', () => {
    const env = { SORADNS_ZONE: 'x.local', SORADNS_HTTP: 'off' };
    assert.deepEqual(notesOf({ env }), []);
    assert.deepEqual(notesOf({ env, flags: { register: true } }), [
      'SORADNS_ZONE has no effect on the registrar in a server; use SORADNS_REGISTER_ZONE',
    ]);
  });

  it('A misspelled variable gets a note, and a container runtime’s variable does not', () => {
    const env = { SORADNS_DOMIAN: 'x', SORADNS_PORT_53_UDP: 'x', SORADNS_SERVICE_HOST: 'x' };
    assert.deepEqual(notesOf({ env }), [
      'SORADNS_DOMIAN has no effect; did you mean SORADNS_DOMAIN?',
    ]);
  });
});

describe('/skydns/config', () => {
  const json = JSON.stringify({
    dns_addr: '0.0.0.0:53',
    domain: 'Store.Example',
    nameservers: ['8.8.8.8:53'],
    no_rec: true,
    round_robin: false,
    ttl: 60,
    min_ttl: 0,
    ndot: 3,
    hostmaster: 'root@store.example',
    Version: 'x',
  });

  it('The stored configuration overrides defaults', () => {
    const { config, warnings } = withStoreConfig(configOf({}), json);
    assert.deepEqual(
      config.addr,
      configOf({}).addr,
      'addresses are taken before the store is read',
    );
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] ?? '',
      /dns_addr has no effect in the store; give --addr or SKYDNS_ADDR/,
    );
    assert.deepEqual(config.domains, [['store', 'example']]);
    assert.deepEqual(config.nameservers, [{ address: '8.8.8.8', port: 53 }]);
    assert.equal(config.recursion, false);
    assert.equal(config.roundRobin, false);
    assert.equal(config.ttlSeconds, 60);
    assert.equal(config.minTtlSeconds, 5, '0 means unset, as SkyDNS writes it');
    assert.equal(config.ndots, 3);
    assert.deepEqual(config.hostmaster, ['root', 'store', 'example']);
    assert.ok(Object.isFrozen(config));
  });

  it('Flags, variables and the config file override the stored configuration', () => {
    const given = configOf({
      flags: { ttl: '1', addr: '127.0.0.1:53', config: 'c.json' },
      env: { SKYDNS_NDOTS: '4' },
      files: { 'c.json': '{"domain": "file.example"}' },
    });
    const { config, warnings } = withStoreConfig(given, json);
    assert.deepEqual(warnings, []);
    assert.equal(config.ttlSeconds, 1);
    assert.equal(config.ndots, 4);
    assert.deepEqual(config.domains, [['file', 'example']]);
    assert.equal(config.roundRobin, false);
  });

  it('A long stored configuration is shown only in part, and its mistakes are counted', () => {
    const long = 'x'.repeat(100_000);
    const values = [
      { nameservers: [long] },
      { domain: long },
      { ttl: long, min_ttl: long },
      { [long]: 1 },
      Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`${n}${'y'.repeat(60)}`, n])),
      { nameservers: Array.from({ length: 5_000 }, () => 'none') },
    ];
    for (const value of values) {
      const startMs = performance.now();
      const { warnings } = withStoreConfig(configOf({}), JSON.stringify(value));
      assert.ok(performance.now() - startMs < 2_000);
      assert.ok(warnings.length > 0 && warnings.length <= 21, `${warnings.length}`);
      for (const warning of warnings) assert.ok(warning.length < 400, warning.slice(0, 500));
    }
  });

  it('A mistake in the stored configuration is reported even when another origin overrides it', () => {
    const given = configOf({ flags: { ttl: '1' }, env: { SKYDNS_ADDR: '127.0.0.1:53' } });
    const bad = '{"ttl": "soon", "dns_addr": "nowhere"}';
    const { config, warnings, isSound } = withStoreConfig(given, bad);
    assert.equal(warnings.length, 2, inspect(warnings));
    assert.match(warnings[0] ?? '', /config key: ttl: "soon" is not/);
    assert.match(warnings[1] ?? '', /config key: dns_addr: "nowhere" is not/);
    assert.deepEqual({ config, isSound }, { config: given, isSound: true });
  });

  it('A mistake in the stored configuration is a warning and never fatal', () => {
    const before = configOf({});
    const bad =
      '{"ttl": -1, "nameservers": ["x"], "no-rec": true, "dnssec": "K", "rcache": 9, "ndots": 1}';
    const { config, warnings } = withStoreConfig(before, bad);
    assert.deepEqual({ ...config, ndots: 2 }, before);
    assert.equal(config.ndots, 1);
    assert.match(warnings.join('\n'), /ttl: -?"?-1/);
    assert.match(
      warnings.join('\n'),
      /nameservers: \["x"\] is not an IP, IP:PORT or tls:\/\/IP\[:PORT\]\[#NAME\]/,
    );
    assert.match(warnings.join('\n'), /no-rec is unknown; did you mean no_rec\?/);
    assert.match(warnings.join('\n'), /dnssec has no effect in the store; give --dnssec/);
    assert.match(warnings.join('\n'), /rcache has no effect/);
    for (const text of ['', '[]', 'null', '{', '"x"']) {
      assert.deepEqual(withStoreConfig(before, text).config, before);
      assert.equal(withStoreConfig(before, text).warnings.length, 1);
    }
  });
});
