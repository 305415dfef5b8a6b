/** Each command against a server in this process: its text output, its JSON output and its exit code. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { EXIT_CODES } from '../../src/app/process/failure.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { type CliResult, callCli } from '../support/cli.ts';
import { COMMANDS } from '../support/commands.ts';
import { clientEnv, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';

let server: TestServer;
let env: Record<string, string>;

/** Columns of help that is not printed to a terminal. */
const HELP_WIDTH = 100;

before(async () => {
  server = await startTestServer({});
  env = clientEnv(server);
});
after(() => server?.close());

function soradns(...args: string[]): Promise<CliResult> {
  return callCli(args, { env });
}

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await soradns(...args);
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await ok(...args, '--json'));
}

/** Fails with the code, and one line on stderr. */
async function fails(
  code: keyof typeof EXIT_CODES,
  line: RegExp,
  ...args: string[]
): Promise<void> {
  const plain = await soradns(...args);
  assert.equal(plain.code, EXIT_CODES[code], `${args.join(' ')}: ${plain.stderr}`);
  assert.match(plain.stderr, line);
  assert.equal(plain.stderr.trimEnd().split('\n').length, 1, plain.stderr);
}

/** A line as a shell splits it: at blanks, except inside single quotes. */
function shellWords(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
}

/** Stores a value that `set` would refuse. */
async function putRaw(key: string, value: string): Promise<void> {
  const body = new URLSearchParams({ value });
  const response = await fetch(`${env.SORADNS_STORE}/v2/keys${key}`, { method: 'PUT', body });
  assert.ok(response.ok);
}

describe('set and get', () => {
  it('get prints the SkyDNS fields that set has written', async () => {
    const fields = ['--host', '10.0.1.5', '--port', '8080', '--priority', '20', '--weight', '5'];
    const more = [
      '--text',
      'a "b"',
      '--ttl',
      '30',
      '--group',
      'g1',
      '--targetstrip',
      '1',
      '--mail',
      '--no-aggregate',
      '--near',
      'first',
    ];
    const set = await json('set', '1.web.skydns.local', ...fields, ...more);
    assert.equal(set.key, '/skydns/local/skydns/web/1');
    const { value, ...got } = await json('get', '1.WEB.skydns.local.');
    assert.deepEqual(got, set);
    assert.deepEqual(JSON.parse(String(value)), {
      host: '10.0.1.5',
      port: 8080,
      priority: 20,
      weight: 5,
      text: 'a "b"',
      ttl: 30,
      group: 'g1',
      targetstrip: 1,
      mail: true,
      aggregate: false,
      near: 'first',
    });
    assert.deepEqual(Object.keys(got).sort(), [
      'createRevision',
      'key',
      'modRevision',
      'name',
      'service',
    ]);
    assert.equal(got.name, '1.web.skydns.local.');
    assert.equal(await ok('get', '/skydns/local/skydns/web/1'), `${value}\n`);
  });

  it('set and get keep names and ids that look like numbers unchanged', async () => {
    await ok('set', '5e12345678.num.skydns.local', '--host', 'h.example', '--group', '007');
    const { name, service } = await json('get', '5e12345678.num.skydns.local');
    assert.equal(name, '5e12345678.num.skydns.local.');
    assert.deepEqual(service, { host: 'h.example.', group: '007' });
  });

  it('set --key-ttl gives a key a lifetime', async () => {
    const { expiresSeconds } = await json(
      'set',
      'brief.skydns.local',
      '--host',
      '10.0.0.1',
      '--key-ttl',
      '100',
    );
    assert.ok(Number(expiresSeconds) > 90 && Number(expiresSeconds) <= 100);
    assert.match(await ok('ls', 'brief.skydns.local'), /10\.0\.0\.1 .* [0-9]+s/);
  });

  it('DNS answers with the values that set has written', async () => {
    await ok('set', 'a.seen.skydns.local', '--host', '10.0.7.7', '--port', '-1');
    await until('it is answered', async () => {
      const { stdout } = await soradns('query', 'seen.skydns.local', '-q');
      return stdout === '10.0.7.7\n';
    });
  });

  it('set and rm with --quiet print nothing on success', async () => {
    assert.equal(await ok('set', 'quiet.skydns.local', '--host', '10.0.0.1', '-q'), '');
    assert.equal(await ok('rm', 'quiet.skydns.local', '--quiet'), '');
  });

  it('set refuses a value that is not a service', async () => {
    await fails(
      'usage',
      /--port: must be a whole number/,
      'set',
      'x.skydns.local',
      '--port',
      '99999',
    );
    await fails(
      'usage',
      /--host: must be an IP address or/,
      'set',
      'x.skydns.local',
      '--host',
      'a:80',
    );
    await fails('usage', /nothing to store \(give --host/, 'set', 'x.skydns.local');
    for (const field of ['--host', '--text', '--group']) {
      await fails('usage', new RegExp(`${field}: is empty`), 'set', 'x.skydns.local', field, '');
    }
    const host = ['set', 'x.skydns.local', '--host', 'h'];
    for (const ttl of ['0', '0x10', '1e1'])
      await fails('usage', /--key-ttl: .*--key-ttl 30/, ...host, '--key-ttl', ttl);
    await fails(
      'usage',
      /--value: cannot .* --host/,
      'set',
      'x.skydns.local',
      '--value',
      '{}',
      '--host',
      'h',
    );
    await fails('bad_data', /--value: not JSON/, 'set', 'x.skydns.local', '--value', '{host');
    await fails('usage', /a\.\.b: is not a domain name/, 'set', 'a..b', '--host', 'h');
    await fails('usage', /cannot be stored/, 'set', 'a\\.b.skydns.local', '--host', 'h');
    await fails('usage', /\/: is not a key/, 'set', '/', '--host', 'h');
    await fails('usage', /is not below \/skydns\//, 'set', '/other/a', '--host', 'h');
    await fails('not_found', /does not exist/, 'get', 'x.skydns.local');
  });

  it('set --if-absent on an existing name exits with the code for a conflict', async () => {
    await ok('set', 'once.skydns.local', '--host', '10.0.0.1', '--if-absent');
    await fails(
      'conflict',
      /already exists/,
      'set',
      'once.skydns.local',
      '--host',
      'h',
      '--if-absent',
    );
    assert.match(await ok('get', 'once.skydns.local'), /10\.0\.0\.1/);
  });

  it('get reports a name with only names below it differently from a missing name', async () => {
    await fails('not_found', /has no value of its own \(.*soradns ls/, 'get', 'num.skydns.local');
    await fails('not_found', /does not exist/, 'get', 'nothing.skydns.local');
  });
});

describe('rm', () => {
  it('rm deletes one name, and the names below it only with the option for it', async () => {
    for (const id of ['1', '2']) await ok('set', `${id}.gone.skydns.local`, '--host', '10.0.0.1');
    await fails('conflict', /no value of its own \(rm -r/, 'rm', 'gone.skydns.local');
    assert.equal(await ok('rm', '1.gone.skydns.local'), 'deleted 1: /skydns/local/skydns/gone/1\n');
    assert.deepEqual(await json('rm', '-r', 'gone.skydns.local'), {
      key: '/skydns/local/skydns/gone',
      deleted: 1,
    });
    await fails('not_found', /does not exist/, 'rm', '-r', 'gone.skydns.local');
    await fails('not_found', /does not exist/, 'rm', '2.gone.skydns.local');
  });
});

describe('ls', () => {
  before(async () => {
    await ok('set', '1.list.skydns.local', '--host', '10.0.2.1', '--port', '80');
    await ok(
      'set',
      '2.list.skydns.local',
      '--host',
      'fd00::1',
      '--port',
      '80',
      '--text',
      'x\u009by',
    );
    await putRaw('/skydns/local/skydns/list/bad', '{"port": "many"}');
    await putRaw(`/skydns/local/skydns/list/${'x'.repeat(64)}`, '{"host": "10.0.0.1"}');
  });
  const LONG = `/skydns/local/skydns/list/${'x'.repeat(64)}`;

  it('ls prints a table', async () => {
    const lines = (await ok('ls', 'list.skydns.local')).trimEnd().split('\n');
    const rows = lines.map((line) => line.split(/ {2,}/));
    assert.deepEqual(rows[0], ['NAME', 'HOST', 'PORT', 'PRIO', 'WEIGHT', 'TTL', 'EXPIRES', 'MORE']);
    assert.deepEqual(rows[1]?.slice(0, 3), ['1.list.skydns.local.', '10.0.2.1', '80']);
    assert.match(lines[2] ?? '', /fd00::1 .*text "x\\194\\155y"/);
    assert.match(lines[3] ?? '', /^bad\.list\.skydns\.local\. .*invalid: port: must be/);
    assert.ok(lines.some((line) => line.startsWith(LONG)));
  });

  it('ls prints a tree with --tree, and by default on a terminal', async () => {
    const { stdout } = await callCli(['ls', 'list.skydns.local'], { env, isTty: true });
    assert.equal(await ok('ls', 'list.skydns.local', '--tree'), stdout);
    const lines = stdout.split('\n');
    assert.equal(lines[0], 'list.skydns.local');
    assert.equal(lines[1], '├─ 1  10.0.2.1:80');
    assert.equal(lines[2], '├─ 2  [fd00::1]:80 text "x\\194\\155y"');
    assert.match(lines[3] ?? '', /^└─ bad {2}invalid: port/);
    assert.match(lines[4] ?? '', /^\/skydns.*x {2}invalid: key has a label above 63 octets/);
  });

  it('ls --json prints the same fields for every key', async () => {
    const views = JSON.parse(await ok('ls', 'list.skydns.local', '--json'));
    assert.deepEqual(views[0], {
      key: '/skydns/local/skydns/list/1',
      name: '1.list.skydns.local.',
      service: { host: '10.0.2.1', port: 80 },
      createRevision: views[0].createRevision,
      modRevision: views[0].createRevision,
    });
    assert.deepEqual(
      views.map((view: { key: string }) => view.key.slice('/skydns/local/skydns/list/'.length, 34)),
      ['1', '2', 'bad', 'x'.repeat(8)],
    );
    assert.deepEqual(JSON.parse(await ok('ls', '/skydns/none', '--invalid', '--json')), []);
  });

  it('ls --quiet prints only names', async () => {
    const names = (await ok('ls', 'list.skydns.local', '-q')).trimEnd().split('\n');
    assert.deepEqual(names, ['1', '2', 'bad'].map((id) => `${id}.list.skydns.local.`).concat(LONG));
  });

  it('ls --invalid lists each invalid value with the reason', async () => {
    const lines = (await ok('ls', '--invalid')).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => line.split(/ {2,}/)),
      [
        ['KEY', 'REASON'],
        ['/skydns/local/skydns/list/bad', 'port: must be a whole number from -1 to 65535'],
        [LONG, 'key has a label above 63 octets'],
      ],
    );
    await fails('bad_data', /is invalid and not answered: port:/, 'get', 'bad.list.skydns.local');
    assert.equal(await ok('ls', '1.list.skydns.local', '--invalid'), '');
  });

  it('ls --invalid lists the keys that are no servers of stub zones', async () => {
    const stubs = '/skydns/org/example/dns/stub';
    await putRaw(`${stubs}/com/example/a`, '{"host": "10.0.0.1"}');
    await putRaw(`${stubs}/com/example/b`, '{"host": "ns1.example.com"}');
    await putRaw(`${stubs}/org/example/a`, '{"host": "10.0.0.1"}');
    const lines = (await ok('ls', stubs, '--invalid')).trimEnd().split('\n');
    const rows = [
      [
        `${stubs}/com/example/b`,
        'the server of a stub zone is an IP address, not ns1.example.com.',
      ],
      [`${stubs}/org/example/a`, 'the stub zone example.org. contains our domain example.org.'],
    ];
    assert.deepEqual(
      lines.slice(1).map((line) => line.split(/ {2,}/)),
      rows,
    );
    for (const key of ['com/example/a', 'com/example/b', 'org/example/a'])
      await ok('rm', `${stubs}/${key}`);
  });

  it('ls fails when no key is at or below the name', () =>
    fails('not_found', /nothing exists at or below it/, 'ls', 'nothing.skydns.local'));

  it('ls refuses two output forms at once', () =>
    fails('usage', /--tree: cannot/, 'ls', '--tree', '--table'));
});

describe('query', () => {
  before(async () => {
    await ok('set', '1.q.skydns.local', '--host', '10.0.3.1', '--port', '80', '--text', 'ü "x"');
    await until(
      'it is answered',
      async () => (await soradns('query', '1.q.skydns.local')).code === 0,
    );
  });

  it('query prints records in zone-file format', async () => {
    const lines = (await ok('query', '1.q.skydns.local', 'srv')).trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^;; NOERROR aa from 127\.0\.0\.1:\d+ over UDP, [0-9.]+ ms$/);
    assert.equal(lines[1], '1.q.skydns.local.\t3600\tIN\tSRV\t10 100 80 1.q.skydns.local.');
    assert.equal(lines[2], '1.q.skydns.local.\t3600\tIN\tA\t10.0.3.1');
  });

  it('query accepts type, server and transport in any order', async () => {
    const at = `@${env.SORADNS_SERVER}`;
    assert.equal(
      await ok('query', at, '+tcp', '1.q.skydns.local', 'TXT', '-q'),
      '"\\195\\188 \\"x\\""\n',
    );
    assert.match(await ok('query', '1.q.skydns.local', '--tcp'), /over TCP/);
    assert.match(await ok('query', '1.q.skydns.local', '--tcp', '+notcp'), /over UDP/);
  });

  it('query --json prints the JSON of DNS over HTTPS', async () => {
    const { milliseconds, ...answer } = await json('query', '1.q.skydns.local');
    assert.ok(Number(milliseconds) > 0);
    assert.deepEqual(answer, {
      Status: 0,
      TC: false,
      RD: true,
      RA: false,
      AA: true,
      Question: [{ name: '1.q.skydns.local.', type: 1 }],
      Answer: [{ name: '1.q.skydns.local.', type: 1, TTL: 3600, data: '10.0.3.1' }],
      Authority: [],
      Additional: [],
      server: env.SORADNS_SERVER,
      transport: 'udp',
    });
  });

  it('query repeats a truncated query over TCP', async () => {
    const ids = Array.from({ length: 100 }, (_, i) => i + 1);
    await Promise.all(
      ids.map((id) => ok('set', `${id}.many.skydns.local`, '--host', `10.0.4.${id}`)),
    );
    await until('all are answered', async () => {
      const { stdout } = await soradns('query', 'many.skydns.local', '-q');
      return stdout.trimEnd().split('\n').length === ids.length;
    });
    assert.match(await ok('query', 'many.skydns.local'), /^;; NOERROR aa from .* over TCP/);
  });

  it('query accepts numeric types', () =>
    fails(
      'not_found',
      /HTTPS: the name has no record of this type/,
      'query',
      '1.q.skydns.local',
      'TYPE65',
    ));

  it('query exits with a code for the reason of a missing answer', async () => {
    await fails(
      'not_found',
      /no\.skydns\.local\. A: the name does not exist/,
      'query',
      'no.skydns.local',
    );
    await fails(
      'not_found',
      /AAAA: the name has no record of this type/,
      'query',
      '1.q.skydns.local',
      'AAAA',
    );
    await fails('not_permitted', /answered REFUSED/, 'query', 'example.com');
    await fails(
      'no_reply',
      /no reply from 127\.0\.0\.1:1 over UDP: .*ECONNREFUSED.*@SERVER/,
      'query',
      'a',
      '@127.0.0.1:1',
      '--timeout',
      '20',
    );
    await fails(
      'no_reply',
      /no reply from 127\.0\.0\.1:1 over TCP/,
      'query',
      'a',
      '@127.0.0.1:1',
      '+tcp',
    );
  });

  it('query refuses arguments that it does not support', async () => {
    await fails('usage', /FOO: is not a record type/, 'query', 'a', 'FOO');
    await fails('usage', /b: unexpected argument/, 'query', 'a', 'A', 'b');
    await fails('usage', /@::2: give only one server/, 'query', 'a', '@::1', '@::2');
    await fails('usage', /\+short: unknown option of dig/, 'query', 'a', '+short');
    await fails('usage', /@a b: is not a server/, 'query', 'a', '@a b');
    for (const timeout of ['x', '0x10', '1e1', '301', ''])
      await fails('usage', /--timeout: must be/, 'query', 'a', '--timeout', timeout);
    await fails('usage', /a\.\.b: is not a domain name/, 'query', 'a..b');
    await fails('usage', /this command does not support .* \(use dig\)/, 'query', 'a\\.b.example');
  });

  it('query shows the extended errors of the reply', async () => {
    const { stdout } = await soradns('query', 'example.com');
    assert.match(
      stdout,
      /^;; REFUSED from .*\n;; EDE 20 \(Not Authoritative\): not one of our zones\n$/,
    );
    const reply = JSON.parse((await soradns('query', 'example.com', '--json')).stdout);
    const [error, further] = reply.extendedErrors;
    assert.deepEqual([error.code, error.name, further], [20, 'Not Authoritative', undefined]);
    assert.equal(error.text, 'not one of our zones');
    assert.equal((await soradns('query', 'example.com', '-q')).stdout, '');
  });

  it('query asks a server that refuses EDNS again without it', async () => {
    const server = createSocket('udp4');
    const lengths: number[] = [];
    server.on('message', (query, { port, address }) => {
      lengths.push(query.length);
      const reply = Buffer.from(query.subarray(0, 12 + 3 + 4));
      reply.set([0x80, query[11] === 0 ? 0 : Rcode.FORMERR], 2);
      reply.set([0, 1, 0, 0, 0, 0, 0, 0], 4);
      server.send(reply, port, address);
    });
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
    const at = `@127.0.0.1:${server.address().port}`;
    await fails('not_found', /the name has no record of this type/, 'query', 'a', at);
    assert.deepEqual(lengths, [12 + 3 + 4 + 11, 12 + 3 + 4]);
    server.close();
  });
});

describe('--store', () => {
  it('Commands report an unreachable store differently from an empty one', async () => {
    for (const args of [
      ['ls'],
      ['get', 'a'],
      ['set', 'a', '--host', 'h'],
      ['rm', 'a'],
      ['watch'],
    ]) {
      await fails('unreachable', /soradns serve/, ...args, '--store', 'http://127.0.0.1:1');
    }
  });

  it('--store selects another store and refuses an unknown scheme', async () => {
    await fails(
      'unreachable',
      /127\.0\.0\.1:1.*is a server running there/,
      'ls',
      '--store',
      'http://127.0.0.1:1',
    );
    await fails('usage', /--store: .*redis/, 'ls', '--store', 'redis://x');
  });
});

describe('unusable stores', () => {
  const lines = [['ls'], ['get', 'a'], ['rm', 'a'], ['watch']];

  it('Client commands refuse a memory: store', async () => {
    for (const args of [...lines, ['set', 'a', '--host', 'h']]) {
      await fails('usage', /a memory: store ends with this command/, ...args, '--store', 'memory:');
    }
  });

  it('Client commands except set refuse a file: store whose folder does not exist', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'soradns-commands-'));
    const path = join(parent, 'typo');
    try {
      for (const args of lines) {
        await fails(
          'unreachable',
          /typo: the folder does not exist/,
          ...args,
          '--store',
          `file:${path}`,
        );
      }
      assert.deepEqual(await readdir(parent), []);
      await ok('set', 'a', '--host', 'h', '--store', `file:${path}`, '-q');
      assert.match(await ok('ls', '--store', `file:${path}`), /^a\. /m);
    } finally {
      await rm(parent, { recursive: true });
    }
  });

  it('A failure of the store has a hint for the kind of store', async () => {
    await fails('unreachable', /\(is etcd running there\? /, 'ls', '--store', 'etcd://127.0.0.1:1');
    const gone = createServer((_, response) => {
      const body = { error: { code: 'unavailable', message: 'etcd is gone' } };
      response.writeHead(503, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    }).listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    try {
      const line = /etcd is gone \(the server there cannot use its own store; /;
      await fails('unreachable', line, 'ls', '--store', `http://127.0.0.1:${port}`);
    } finally {
      gone.close();
      gone.closeAllConnections();
    }
  });
});

describe('forms of options', () => {
  for (const args of [
    ['ls', '-qh'],
    ['ls', '--h'],
    ['ls', '--help=true'],
    ['ls', '-h'],
  ]) {
    it(`soradns ${args.join(' ')} prints help`, async () => {
      const { code, stdout } = await soradns(...args);
      assert.equal(code, 0);
      assert.match(stdout, /^soradns ls/);
    });
  }

  it('A command accepts the letter of an option behind two dashes', async () => {
    await ok('set', 'letters.skydns.local', '--host', '10.0.0.1');
    assert.equal(await ok('rm', '--q', 'letters.skydns.local'), '');
  });

  it('The hint about a surplus word names the command, even behind an option', async () => {
    await fails('usage', /see soradns version --help/, '--json', 'version', 'surplus');
  });
});

describe('mistakes', () => {
  const table: [string[], RegExp][] = [
    [[], /no command \(see soradns --help\)/],
    [['sreve'], /sreve: unknown command \(did you mean serve\?\)/],
    [['frobnicate'], /frobnicate: unknown command \(see soradns --help\)/],
    [['set'], /set: needs <name> \(see soradns set --help\)/],
    [['set', 'a', '--hots', 'h'], /--hots: unknown option \(did you mean --host\?\)/],
    [['set', 'a', '--hots=h'], /--hots: unknown option \(did you mean --host\?\)/],
    [['serve', '--domian', 'x'], /--domian: unknown option \(did you mean --domain\?\)/],
    [['serve', '-domian=x'], /--domian: unknown option \(did you mean --domain\?\)/],
    [['serve', 'extra'], /extra: unexpected argument/],
    [['serve', '--addr'], /--addr: needs a value; for example --addr 127/],
    [['serve', '--addr', 'x'], /--addr: "x" is not an IP:PORT; for example/],
    [['serve', '--round-robin=maybe'], /--round-robin: "maybe" is not true or false/],
    [
      ['serve', '--stored-wildcards', 'false'],
      /^soradns: false: unexpected argument \(write --stored-wildcards=false\)/,
    ],
    [
      ['set', 'a', '--host', 'h', '--near', 'frist'],
      /--near: frist is not one of off, first, only/,
    ],
    [['serve', '--dnssec', 'K'], /--dnssec: K: there is neither a folder nor a key of this name/],
    [['completion', 'tcsh'], /completion: tcsh is not one of bash, zsh, fish \(see/],
    [['cache', 'shwo'], /cache: shwo is not one of show, flush \(did you mean show\?\)/],
    [
      ['leader', 'x'],
      /leader: x is not one of get, set, clear, watch \(see soradns leader --help\)/,
    ],
    [['vip', 'lsit', 'web'], /vip: lsit is not one of add, ls, rm \(see/],
    [['query-alias', 'x'], /query-alias: x is not one of set, ls, rm \(see/],
    [['integrate', 'x'], /integrate: x is not one of systemd-resolved, .* \(see/],
    [['set', 'a\u001b[31m\u009b..b', '--host', 'h'], /a\\027\[31m\\194\\155/],
  ];
  for (const [args, expected] of table) {
    it(`The mistake in ${JSON.stringify(args)} is reported in one line`, () =>
      fails('usage', expected, ...args));
  }

  it('Errors are one JSON object with --json', async () => {
    const { code, stdout, stderr } = await soradns('get', 'no.skydns.local', '--json');
    assert.equal(code, 3);
    assert.equal(stdout, '');
    assert.deepEqual(JSON.parse(stderr), {
      error: { code: 'not_found', message: '/skydns/local/skydns/no: does not exist' },
    });
    const usage = JSON.parse((await soradns('ls', '--json', '--bogus')).stderr);
    assert.equal(usage.error.code, 'usage');
    assert.equal(usage.error.hint, 'see soradns ls --help');
  });
});

describe('help', () => {
  it('help names every command', async () => {
    // Help breaks a long summary into two lines.
    const text = (await ok('--help')).replace(/\s+/g, ' ');
    for (const { name, summary } of COMMANDS) {
      assert.match(text, new RegExp(`soradns ${name}\\b`));
      assert.ok(text.includes(summary));
    }
  });

  for (const command of COMMANDS) {
    it(`The help of ${command.name} has its options and examples`, async () => {
      const text = await ok(command.name, '--help');
      assert.equal(await ok('help', command.name), text);
      assert.ok(text.includes(command.summary));
      for (const { name, hidden } of command.options) {
        assert.equal(text.includes(`--${name} `), !hidden, `--${name}`);
      }
      assert.ok(command.examples.length > 0);
      for (const [line] of command.examples)
        assert.ok(text.includes(`  ${line}\n`) || text.includes(`  ${line}`));
    });
  }

  it('The lines of a note in the help are full up to the width of the terminal', async () => {
    const notes = COMMANDS.filter(({ note }) => note !== undefined);
    assert.ok(notes.length > 5);
    for (const { name, note = '' } of notes) {
      const shown = (await ok(name, '--help')).split('\n');
      const words = (note.split('\n\n').at(-1) ?? '').split(/\s+/);
      const first = shown.findLastIndex((line) => line.startsWith(words.slice(0, 5).join(' ')));
      const lines = shown.slice(first).filter((line) => line !== '');
      assert.deepEqual(lines.join(' ').split(' '), words, name);
      for (const [i, next] of lines.slice(1).entries()) {
        const filled = `${lines[i]} ${next.split(' ')[0]}`;
        assert.ok(filled.length > HELP_WIDTH, `${name}: ${filled}`);
      }
    }
  });

  /** Each command finds the keys of the commands before it. `query` is left out: one of its examples needs a server on another port. */
  for (const name of ['set', 'get', 'ls', 'rm', 'version']) {
    it(`The examples in the help of ${name} work`, async () => {
      const command = COMMANDS.find((candidate) => candidate.name === name);
      if (name === 'rm') await ok('set', '3.rails.skydns.local', '--host', '10.0.1.7');
      for (const [line] of command?.examples ?? []) await ok(...shellWords(line).slice(1));
    });
  }

  it('The examples in the help of query are valid command lines', async () => {
    const { examples } = COMMANDS.find(({ name }) => name === 'query') ?? { examples: [] };
    for (const [line] of examples) {
      const { code, stderr } = await soradns(...shellWords(line).slice(1), '--timeout', '0.2');
      assert.notEqual(code, EXIT_CODES.usage, `${line}: ${stderr}`);
    }
  });

  it('The help of serve names the variables', async () => {
    assert.match(await ok('serve', '--help'), /SORADNS_MIN_TTL/);
  });
});

it('version prints the version of the package', async () => {
  const { version } = await json('version');
  assert.match(String(version), /^\d+\.\d+\.\d+/);
  assert.equal(await ok('version', '-q'), `${version}\n`);
  assert.equal(await ok('--version'), await ok('version'));
});
