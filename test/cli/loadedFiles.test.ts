/**
 * What a command loads decides what its start costs. These tests hold that without measuring time: no command loads a
 * package that it does not use, or Node's own fetch client, and those that run often load few files.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { COMMAND_TABLE } from '../../src/cli/commands/commands.ts';
import { type CliProcess, ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { loadedFiles } from '../support/loadedFiles.ts';
import { withTempDir } from '../support/tempDir.ts';

/** Packages of many files, or with native code. */
const HEAVY = [
  ...['yargs', 'pino', 'pino-pretty', 'dns2', 'dockerode', 'etcd3', '@grpc/grpc-js', 'lmdb'],
  ...['koffi', 'sorted-btree'],
];

let server: CliProcess;
let http = '';
let dns = '';

before(async () => {
  server = startCli(['serve', ...ON_FREE_PORTS, '--store', 'memory:']);
  const line = await server.logged('serving');
  http = `http://${line.http}`;
  dns = String((line.dns as readonly string[])[0]);
});
after(() => server.end('SIGKILL'));

interface Case {
  /** A function where the line contains an address of the server. */
  readonly args: readonly string[] | (() => readonly string[]);
  readonly code: number;
  readonly packages?: readonly string[];
}

const onServer = (...args: readonly string[]): Case => ({
  args: () => [...args, '--store', http],
  code: 0,
});

/** A line of each command that does its work or, if it would run for ever, fails for a reason it finds first. */
const CASES: Readonly<Record<string, readonly Case[]>> = {
  version: [{ args: ['version'], code: 0 }],
  set: [onServer('set', '1.rails.skydns.local', '--host', '10.0.0.1')],
  get: [onServer('get', '1.rails.skydns.local')],
  ls: [onServer('ls'), onServer('ls', '--json')],
  rm: [onServer('rm', '1.rails.skydns.local')],
  watch: [{ args: ['watch', '--store', 'http://127.0.0.1:1'], code: 4 }],
  query: [
    {
      args: () => ['query', 'x.skydns.local', `@${dns}`],
      code: 3,
      packages: ['dns2'],
    },
  ],
  transfer: [{ args: ['transfer', 'skydns.local', '--store', 'http://127.0.0.1:1'], code: 4 }],
  cache: [{ args: () => ['cache', 'flush', '--url', http], code: 0 }],
  dnssec: [
    { args: ['dnssec', 'ds', 'skydns.local', '--keys', '/nonexistent'], code: 1 },
    { args: ['dnssec', 'status', '--keys', '/nonexistent'], code: 1 },
  ],
  'query-alias': [onServer('query-alias', 'ls')],
  links: [{ ...onServer('links', 'x=x.skydns.local'), code: 3 }],
  leader: [{ ...onServer('leader', 'get', 'x.skydns.local'), code: 3 }],
  vip: [onServer('vip', 'ls')],
  registrar: [{ args: () => ['registrar', 'status', '--registrar', http], code: 4 }],
  ambassador: [{ args: () => ['ambassador', 'status', '--url', http], code: 4 }],
  check: [{ args: ['check'], code: 0 }],
  completion: [{ args: ['completion', 'bash'], code: 0 }],
  integrate: [
    {
      args: ['integrate', 'systemd-resolved', '--undo', '--dry-run', '--root', '/nonexistent'],
      code: 0,
    },
  ],
  doctor: [{ args: ['doctor', '--root', '/nonexistent'], code: 2 }],
  serve: [{ args: ['serve', '--store', 'bogus:'], code: 2 }],
  up: [{ args: ['up', '--no-register'], code: 2 }],
  register: [{ args: ['register', '--store', 'memory:'], code: 2 }],
  dockerproxy: [{ args: ['dockerproxy', '--socket-group', 'no such group'], code: 2 }],
};

function heavy(packages: ReadonlySet<string>): readonly string[] {
  return HEAVY.filter((name) => packages.has(name));
}

describe('the packages of a command', () => {
  it('Every command has a line in this test', () => {
    assert.deepEqual(Object.keys(CASES).sort(), COMMAND_TABLE.map(({ name }) => name).sort());
  });

  for (const [name, cases] of Object.entries(CASES)) {
    for (const { args, code, packages = [] } of cases) {
      const isHere = packages.length === 0 ? 'no package' : packages.join(', ');
      it(`soradns ${typeof args === 'function' ? name : args.join(' ')} loads ${isHere}`, async () => {
        const loaded = await loadedFiles(typeof args === 'function' ? args() : args);
        assert.equal(loaded.code, code, loaded.stderr);
        assert.deepEqual(heavy(loaded.packages), packages);
        assert.deepEqual(
          [...loaded.builtins].filter((builtin) => /undici/.test(builtin)),
          [],
        );
      });
    }
  }

  it('Help loads the parser and no other package', async () => {
    for (const args of [['--help'], ['ls', '--help'], ['serve', '--help']]) {
      const { packages, code } = await loadedFiles(args);
      assert.equal(code, 0);
      assert.deepEqual(heavy(packages), ['yargs'], args.join(' '));
    }
  });

  it('The kind of the store decides which packages a command on it loads', async () => {
    await withTempDir(async (folder) => {
      const file = ['--store', `file:${folder}/store`];
      const set = await loadedFiles(['set', 'x.skydns.local', '--host', '10.0.0.1', ...file]);
      assert.equal(set.code, 0, set.stderr);
      assert.deepEqual(heavy(set.packages), ['lmdb']);
    });
    const etcd = await loadedFiles(['ls', '--store', 'etcd://127.0.0.1:1']);
    assert.equal(etcd.code, 4, etcd.stderr);
    assert.deepEqual(heavy(etcd.packages), ['etcd3', '@grpc/grpc-js']);
  });
});

describe('the files of a command that runs often', () => {
  it('version loads at most 20 files, and of the commands its own', async () => {
    const { own } = await loadedFiles(['version']);
    assert.ok(own.includes('main.js') && own.length <= 20, own.join(' '));
    const commands = own.filter((file) => /^cli\/(commands|linking)\//.test(file));
    assert.deepEqual(commands.sort(), ['cli/commands/commands.js', 'cli/commands/version.js']);
  });

  it('version loads no stream of Node to print a line', async () => {
    const { builtins } = await loadedFiles(['version']);
    const streams = ['stream', 'net', 'tty'].filter((name) => builtins.has(`NativeModule ${name}`));
    assert.deepEqual(streams, []);
  });

  it('ls and get load at most 60 files, and no option of serve', async () => {
    for (const args of [['ls'], ['get', 'x.skydns.local']]) {
      const { own } = await loadedFiles([...args, '--store', http]);
      assert.ok(own.includes(`cli/commands/${args[0]}.js`) && own.length <= 60, own.join(' '));
      assert.ok(!own.includes('config/options/serveOptions.js'));
    }
  });

  it('The health check loads at most 8 files and no package', async () => {
    const program = fileURLToPath(new URL('../../dist/health.js', import.meta.url));
    const { own, packages, code } = await loadedFiles([String(server.pid)], program);
    assert.equal(code, 0);
    assert.ok(own.includes('health.js') && own.length <= 8, own.join(' '));
    assert.equal(packages.size, 0);
  });
});
