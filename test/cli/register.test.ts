/** `register` and `registrar`: refused command lines, help, and the output of a dry run. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { registerCommand } from '../../src/cli/host/register.ts';
import { registrarCommand } from '../../src/cli/host/registrar.ts';
import { REGISTRAR_OPTIONS } from '../../src/config/options/registrarOptions.ts';
import { parseValue, type Rows, readSettings } from '../../src/config/settings.ts';
import { callCli } from '../support/cli.ts';
import { type FakeDocker, startFakeDocker } from '../support/fakeDocker.ts';

const HOST = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' };

/** A command line that is a mistake: exit code 2 and one line that names the option and the fix. */
async function isMistake(line: string, expected: RegExp, env = {}): Promise<void> {
  const { code, stdout, stderr } = await callCli(line.split(' '), { env: { ...HOST, ...env } });
  assert.equal(code, 2, `${line}: ${stderr}`);
  assert.match(stderr, expected);
  assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  assert.equal(stdout, '');
}

describe('register', () => {
  const table: [string, RegExp][] = [
    ['--docker-host ssh://host', /^soradns: --docker-host: ssh:\/\/ is not supported; /],
    ['--docker-host /var/run/docker.sock', /--docker-host: .* write unix:\/\/\//],
    ['--zone a..b', /--zone: .* is not a domain name; for example --zone /],
    ['--default-zone x.example', /--default-zone: x\.example\. is none of the zones; add --zone /],
    ['--zone a.example --default-zone skydns.local', /skydns\.local\. is none of the zones/],
    ['--ip localhost', /--ip: "localhost" is not an IP address/],
    ['--ip 10.0.0.300', /--ip: .* is not an IP address/],
    ['--mode bridge', /--mode: "bridge" is not published or internal/],
    ['--exposed-by-default=maybe', /--exposed-by-default: "maybe" is not true or false/],
    ['--allow web-*.x.local', /--allow: "web-\*\.x\.local" is not a whole name, with \* or /],
    ['--allow a.x,b..x', /--allow: .* is not a whole name/],
    ['--project-scope=x', /--project-scope: "x" is not true or false/],
    ['--link-allow web-*.x.local', /--link-allow: "web-\*\.x\.local" is not a name as in --allow/],
    ['--link-allow 10.0.0.0/33', /--link-allow: "10\.0\.0\.0\/33" is not a name as in --allow, or/],
    ['--dns-ip-allow 10.0.0.0/33', /--dns-ip-allow: "10\.0\.0\.0\/33" is not an address range/],
    ['--environment a-', /--environment: "a-" is not a label/],
    ['--region -', /--region: "-" is not a label/],
    ['--service-domain a..b', /--service-domain: .* is not a domain name/],
    ['--record-ttl 0', /--record-ttl: "0" is not whole seconds from 1/],
    ['--lease-ttl 2', /--lease-ttl: "2" is not whole seconds from 5/],
    ['--reconcile 0', /--reconcile: "0" is not whole seconds from 1/],
    ['--docker-grace -5', /--docker-grace: "-5" is not whole seconds from 0/],
    ['--ptr=2', /--ptr: "2" is not true or false/],
    ['--health maybe', /--health: "maybe" is not auto, ignore or require/],
    ['--stop never', /--stop: "never" is not drain or die/],
    ['--on-exit stay', /--on-exit: "stay" is not keep or revoke/],
    ['--env-prefix =', /--env-prefix: "=" is not letters/],
    ['--label-prefix a=b', /--label-prefix: "a=b" is not letters/],
    ['--compat consul', /--compat: "consul" is not registrator, ambassadord or connectable/],
    ['--compat ambassadord --raw-ids', /--raw-ids: needs --compat registrator/],
    ['--compat ambassadord skydns2://h:1/d', /skydns2:.*: unexpected argument/],
    ['--check-method POST,GO', /--check-method: "POST,GO" is not OPTIONS, POST or PUT/],
    ['--check-method POST,PUT', /--check-method: needs --compat registrator/],
    ['--raw-ids', /--raw-ids: needs --compat registrator/],
    ['--http nowhere', /--http: "nowhere" is not an IP:PORT or off/],
    ['--log-level loud', /--log-level: "loud" is not trace/],
    ['--ip 10.0.0.1 --ip 10.0.0.2', /--ip: is given more than once/],
    ['--network', /--network: needs a value/],
    ['--dry-rum', /--dry-rum: unknown option \(did you mean --dry-run\?\)/],
    ['--store memory:', /--store: no server can read memory: .*serve --register --store/],
    ['--store file:/x', /--store: no server can read file:DIR .*serve --register --store/],
    ['--store redis://x', /--store: .*redis/],
    ['--username u --store etcd://h:1', /--username: needs both/],
    ['skydns2://h:1/skydns.local', /skydns2:.*: unexpected argument \(.*--compat=regis/],
    ['--compat=registrator -internal', /no URI; write skydns2:\/\/HOST:PORT\/DOMAIN/],
    ['--compat=registrator consul://h:1', /only skydns2 is supported/],
    ['--compat registrator skydns2://h:1/d -ip 1.2.3.4', /flags go before the URI/],
    ['--compat=registrator -ttl 5 skydns2://h:1/d', /-ttl and -ttl-refresh go together/],
    ['--compat=registrator -ip x skydns2://h:1/d', /-ip: "x" is not an IP address/],
    ['--compat=registrator -consul skydns2://h:1/d', /-consul: unknown option/],
    ['--compat=registrator -version', /-version: write soradns version/],
    ['--compat connectable,registrator -internal', /no URI; write skydns2/],
    ['--compat connectable --compat registrator -internal', /no URI; write skydns2/],
  ];
  for (const [args, expected] of table)
    it(`register refuses ${args}`, () => isMistake(`register ${args}`, expected));

  it('register reports a mistake in a variable by its name', async () => {
    await isMistake('register', /SORADNS_MODE: "x" is not published/, { SORADNS_MODE: 'x' });
    await isMistake('register', /DOCKER_HOST: /, { DOCKER_HOST: 'npipe:////./pipe/docker' });
    const env = { DOCKER_HOST: '', DOCKER_CONTEXT: 'far', HOME: '/nonexistent' };
    await isMistake('register', /DOCKER_CONTEXT: there is no context "far"/, env);
    const compat = { SORADNS_COMPAT: 'registrator' };
    await isMistake('register -cleanup', /no URI/, compat);
  });

  it('register, serve and up suggest the other command’s name of an option', async () => {
    for (const name of ['ip', 'mode', 'docker-host', 'zone']) {
      const meant = new RegExp(`--${name}: .*\\(did you mean --register-${name}\\?\\)`);
      await isMistake(`up --${name} x`, meant);
      await isMistake(`serve --${name}=x`, meant);
      await isMistake(`register --register-${name} x`, new RegExp(`did you mean --${name}\\?`));
    }
  });

  it('register reports several mistakes at once', () =>
    isMistake('register --mode x --health y', /--mode: .*; .*--health: /));
});

describe('serve', () => {
  const table: [string, RegExp][] = [
    ['--register-ip 10.0.0.1', /--register-ip: needs --register/],
    ['--register --register-ip x', /--register-ip: "x" is not an IP address; for .*--register-ip /],
    ['--register --register-docker-host ssh://h', /--register-docker-host: ssh:/],
    ['--register --register-default-zone x.', /--register-default-zone: .*add --register-zone x/],
    ['--register --register-raw-ids', /--register-raw-ids: needs --register-compat registrator/],
    ['--register --register-allow a.**', /--register-allow: .* for example --register-allow /],
    ['--register --ip 10.0.0.1', /--ip: unknown option/],
  ];
  for (const [args, expected] of table)
    it(`serve refuses ${args}`, () => isMistake(`serve ${args}`, expected));
});

describe('help', () => {
  it('The help of register shows the real defaults', () => {
    const none = { flags: {}, env: {}, file: undefined, readFile: () => ({ problem: 'none' }) };
    const { settings } = readSettings(REGISTRAR_OPTIONS, none);
    const values: Record<string, unknown> = settings;
    let checked = 0;
    for (const [field, row] of Object.entries(REGISTRAR_OPTIONS as Rows)) {
      if (values[field] === undefined || row.form === 'list') continue;
      const parsed = parseValue(row, row.defaultText);
      assert.deepEqual(parsed, { kind: 'value', value: values[field] }, `--${row.name}`);
      checked++;
    }
    assert.ok(checked > 10);
  });

  it('Every option’s example in the help of register is a valid value', () => {
    for (const row of Object.values(REGISTRAR_OPTIONS as Rows))
      assert.equal(parseValue(row, row.example).kind, 'value', `--${row.name} ${row.example}`);
  });

  it('The examples in the help of register and registrar are valid command lines', async () => {
    const env = { ...HOST, SORADNS_REGISTRAR: 'http://127.0.0.1:1' };
    for (const { name, examples } of [registerCommand, registrarCommand]) {
      assert.ok(examples.length > 2);
      for (const [line] of examples) {
        const [, ...words] = line.split(' ');
        const once = name === 'register' ? ['--dry-run'] : [];
        const { code, stderr } = await callCli([...words, ...once], { env });
        assert.equal(code, 4, `${line}: ${stderr}`);
      }
    }
  });

  it('The help of serve lists the registrar’s options in their own group', async () => {
    const { stdout } = await callCli(['serve', '--help']);
    const [, group = ''] = stdout.split('With --register:');
    for (const { name } of Object.values(REGISTRAR_OPTIONS as Rows))
      assert.match(group, new RegExp(`--register-${name} `));
  });
});

describe('dry run', () => {
  let docker: FakeDocker;
  let env: Record<string, string>;
  before(async () => {
    docker = await startFakeDocker();
    env = { DOCKER_HOST: docker.host };
    const labels = { 'dns.name': 'rails.skydns.local', SERVICE_NAME: 'shop' };
    docker.run({ name: 'web', labels, publish: ['8080:80'] });
    docker.run({ name: 'plain' });
    docker.run({ name: 'evil', env: { DNS_NAME: 'x.example.com' }, publish: ['81:81'] });
  });
  after(() => docker.close());

  const run = (...args: string[]) =>
    callCli(['register', '--dry-run', '--ip', '192.0.2.1', '--store', 'memory:', ...args], { env });

  it('register --dry-run prints the records it would write and the reason for each other container', async () => {
    const { code, stdout, stderr } = await run();
    assert.equal(code, 0, stderr);
    const rows = stdout.trimEnd().split('\n');
    assert.deepEqual(
      rows.map((row) => row.split(/ {2,}/)),
      [
        ['ACTION', 'CONTAINER', 'NAME', 'TARGET', 'REASON'],
        ['put', 'web', 'rails.skydns.local.', '192.0.2.1:8080', '-'],
        ['ignore', 'plain', '-', '-', 'has no metadata'],
        [
          'refuse',
          'evil',
          '-',
          '-',
          'x.example.com is in none of the zones (skydns.local): choose a name in one of them',
        ],
      ],
    );
  });

  it('register --dry-run --json prints one line for each container, and -q only the records', async () => {
    const { stdout } = await run('--json', '-q');
    const [line, ...rest] = stdout.trimEnd().split('\n');
    assert.deepEqual(rest, []);
    const { action, name, container, value } = JSON.parse(line ?? '');
    assert.deepEqual(
      { action, name, container: container.name, host: value.host, port: value.port },
      {
        ...{ action: 'put', name: 'rails.skydns.local.', container: 'web' },
        ...{ host: '192.0.2.1', port: 8080 },
      },
    );
  });

  it('register --dry-run prints the refusals of --allow, --project-scope and --dns-ip-allow', async () => {
    const reasons = async (...args: string[]): Promise<string> =>
      (await run(...args)).stdout.split('\n').find((row) => / web | web$/.test(row)) ?? '';
    const allow = ['--allow', '*.x.local', '--allow', 'rails.skydns.local'];
    assert.match(await reasons(...allow), /^put +web +rails\.skydns\.local\. /);
    assert.match(
      await reasons('--allow', '*.x.local,**.y.local'),
      /^refuse +web .* rails\.skydns\.local is none of the names .* \(--allow: \*\.x\.local, \*\*\.y\.local\)/,
    );
    assert.match(
      await reasons('--project-scope'),
      /^refuse +web .* belongs to no project, which --project-scope requires/,
    );
    const id = docker.run({
      name: 'far',
      labels: { 'dns.name': 'web', 'dns.ip': '8.8.8.8' },
      publish: ['82:82'],
    });
    try {
      const { stdout } = await run('--dns-ip-allow', '10.0.0.0/8,fd00::/8');
      assert.match(stdout, /^refuse +far .* outside --dns-ip-allow \(10\.0\.0\.0\/8, fd00::\/8\)/m);
    } finally {
      docker.remove(id);
    }
  });

  it('register --dry-run prints the refusals of --link-allow', async () => {
    const env = { DNS_LINK_80: 'db.skydns.local', DNS_LINK_81: '10.1.2.3:80' };
    const id = docker.run({ name: 'app', env });
    const refusals = async (...args: string[]): Promise<string[]> => {
      const { stdout } = await run(...args);
      return stdout.split('\n').filter((row) => /^refuse +app /.test(row));
    };
    try {
      assert.deepEqual(await refusals(), []);
      assert.deepEqual(await refusals('--link-allow', '10.0.0.0/8,db.skydns.local'), []);
      const [named, ...others] = await refusals('--link-allow', '10.0.0.0/8,*.web.skydns.local');
      assert.deepEqual(others, []);
      assert.match(
        named ?? '',
        /DNS_LINK_80 leads to db\.skydns\.local, .* \(--link-allow: \*\.web\.skydns\.local, 10\.0\.0\.0\/8\)/,
      );
      const [addressed] = await refusals('--link-allow', 'db.skydns.local,10.1.2.4');
      assert.match(
        addressed ?? '',
        /10\.1\.2\.3, .* \(--link-allow: db\.skydns\.local, 10\.1\.2\.4\/32\)/,
      );
    } finally {
      docker.remove(id);
    }
  });

  it('register --dry-run prints both addresses of a dual-stack container under one name', async () => {
    const networks = { ip: '10.1.0.2', ip6: 'fd00::2' };
    const id = docker.run({ name: 'dual', labels: { 'dns.name': 'dual' }, ...networks });
    try {
      const { stdout } = await run('-q', '--mode', 'internal');
      const rows = stdout.trimEnd().split('\n');
      assert.deepEqual(
        rows.map((row) => row.split(/ {2,}/).slice(0, 4)).filter(([, name]) => name === 'dual'),
        [
          ['put', 'dual', 'dual.skydns.local.', '10.1.0.2'],
          ['put', 'dual', 'dual.skydns.local.', 'fd00::2'],
        ],
      );
    } finally {
      docker.remove(id);
    }
  });

  it('register --dry-run reads registrator’s metadata like registrator', async () => {
    const line = [
      '--compat=registrator',
      '-ip',
      '192.0.2.7',
      'skydns2://127.0.0.1:2379/my.example',
    ];
    const { code, stdout, stderr } = await callCli(
      ['register', '--dry-run', '--store', 'memory:', ...line],
      { env },
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^put +web +fakehost-web-80\.shop\.my\.example\. +192\.0\.2\.7:8080 +-$/m);
  });

  it('register --dry-run fails without Docker or without a store', async () => {
    const none = await callCli(['register', '--dry-run', '--store', 'memory:'], { env: HOST });
    assert.equal(none.code, 4);
    assert.match(none.stderr, /^soradns: unix:\/\/\/nonexistent.*\(is Docker running\? .*\)\n$/);
    const lost = await callCli(['register', '--dry-run', '--store', 'http://127.0.0.1:1'], { env });
    assert.equal(lost.code, 4);
    assert.match(
      lost.stderr,
      /^soradns: http:\/\/127\.0\.0\.1:1: .*\(is a server running there\? .*\)\n$/,
    );
  });
});

describe('registrar', () => {
  it('registrar reports that no registrar runs and what to start', async () => {
    for (const action of [['status'], ['explain', 'web']]) {
      const args = ['registrar', ...action, '--registrar', 'http://127.0.0.1:1'];
      const { code, stderr } = await callCli(args);
      assert.equal(code, 4);
      assert.match(stderr, /^soradns: no registrar answers \(http:\/\/127\.0\.0\.1:1: /);
      assert.match(stderr, /soradns serve --register/);
    }
  });

  it('registrar does not mistake another server for a registrar', async () => {
    const answers = ['{}', '[]', 'null', '"x"', '<html>', '{"containers":[],"readiness":{}}'];
    const server = createServer((_, response) => void response.end(answers.pop()));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    while (answers.length > 0) {
      const env = { SORADNS_REGISTRAR: `http://127.0.0.1:${port}` };
      const { code, stderr } = await callCli(['registrar', 'status'], { env });
      assert.equal(code, 4, stderr);
      assert.match(stderr, /the answer is not a registrar's/);
    }
    server.closeAllConnections();
    server.close();
  });

  it('registrar refuses unknown arguments', async () => {
    await isMistake('registrar', /registrar: needs <action>/);
    await isMistake('registrar restart', /registrar: restart is not one of status, explain/);
    await isMistake('registrar explain', /explain: needs a container/);
    await isMistake('registrar status web', /web: unexpected argument \(use explain web\)/);
    await isMistake('registrar status --registrar x', /--registrar: "x" is not a URL/);
  });
});
