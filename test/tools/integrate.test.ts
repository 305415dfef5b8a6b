/** `soradns integrate` on a host's files in a folder, and with a real dnsmasq that reads the written file. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { printSocketAddress } from '../../src/dns/address.ts';
import { type CliResult, callCli, childEnv, MAIN, spawnCli } from '../support/cli.ts';
import { dig } from '../support/dig.ts';
import { finding, writeFiles } from '../support/examination.ts';
import { freePort } from '../support/freePort.ts';
import { startTestServer } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

let root: string;
beforeEach(async () => {
  root = await newTempDir();
});
afterEach(() => removeDir(root));

const ADDR = ['--addr', '127.0.0.1:5300'];
const integrate = (target: string, ...args: string[]): Promise<CliResult> =>
  callCli(['integrate', target, '--root', root, ...args]);

/** All files below the root, path -> text. */
async function files(): Promise<Record<string, string>> {
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = found.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  const texts = paths.map(async (path) => [path.slice(root.length), await readFile(path, 'utf8')]);
  return Object.fromEntries(await Promise.all(texts));
}

async function succeeds(ran: Promise<CliResult>): Promise<string> {
  const { code, stdout, stderr } = await ran;
  assert.equal(code, 0, stderr);
  return stdout;
}

const DROP_INS = [
  [
    'systemd-resolved',
    '/etc/systemd/resolved.conf.d/soradns.conf',
    ['[Resolve]', 'DNS=127.0.0.1:5300', 'Domains=~skydns.local ~b.example'],
    'systemctl restart systemd-resolved',
  ],
  [
    'networkmanager',
    '/etc/NetworkManager/dnsmasq.d/soradns.conf',
    [
      'server=/skydns.local/127.0.0.1#5300',
      'rebind-domain-ok=/skydns.local/',
      'server=/b.example/127.0.0.1#5300',
      'rebind-domain-ok=/b.example/',
    ],
    'nmcli general reload dns-full',
  ],
  [
    'dnsmasq',
    '/etc/dnsmasq.d/soradns.conf',
    [
      'server=/skydns.local/127.0.0.1#5300',
      'rebind-domain-ok=/skydns.local/',
      'server=/b.example/127.0.0.1#5300',
      'rebind-domain-ok=/b.example/',
    ],
    'systemctl restart dnsmasq',
  ],
] as const;

for (const [target, path, lines, reload] of DROP_INS) {
  describe(target, () => {
    const both = [...ADDR, '--domain', 'skydns.local,b.example'];

    it(`integrate ${target} writes its file once and prints the command that activates it`, async () => {
      const first = await succeeds(integrate(target, ...both));
      assert.match(first, new RegExp(`^wrote ${root}${path}\n`));
      assert.ok(first.endsWith(`now: sudo ${reload}\n`), first);
      const [head, ...rest] = ((await files())[path] ?? '').trimEnd().split('\n');
      assert.match(head ?? '', new RegExp(`^# Written by soradns.*integrate ${target} --undo`));
      assert.deepEqual(rest, lines);
      assert.equal((await stat(join(root, path))).mode & 0o777, 0o644);
      assert.match(await succeeds(integrate(target, ...both)), /^already configured\n/);
    });

    it(`integrate ${target} --undo removes its file once`, async () => {
      await succeeds(integrate(target, ...both));
      assert.equal(await succeeds(integrate(target, '--undo', '-q')), `removed ${root}${path}\n`);
      assert.deepEqual(await files(), {});
      assert.match(await succeeds(integrate(target, '--undo')), /^nothing to undo\n/);
    });

    it(`integrate ${target} --dry-run only prints the change`, async () => {
      const shown = await succeeds(integrate(target, ...both, '--dry-run'));
      assert.match(
        shown,
        new RegExp(`^--- \\(no file\\)\n\\+\\+\\+ ${root}${path}\n\\+# Written by`),
      );
      for (const line of lines) assert.ok(shown.includes(`\n+${line}\n`), line);
      assert.deepEqual(await files(), {});
      await succeeds(integrate(target, ...ADDR));
      const changed = await succeeds(integrate(target, '--addr', '127.0.0.1:5399', '--dry-run'));
      assert.match(changed, /\n-.*5300\n(-.*\n)*\+.*5399\n/);
    });

    it(`integrate ${target} does not change or remove a file that it has not written`, async () => {
      await writeFiles(root, { [path]: 'mine\n' });
      for (const args of [ADDR, ['--undo']]) {
        const { code, stderr } = await integrate(target, ...args);
        assert.equal(code, 5);
        assert.match(
          stderr,
          new RegExp(`${root}${path} was not written by soradns.*sudo mv ${root}${path} `),
        );
      }
      assert.deepEqual(await files(), { [path]: 'mine\n' });
    });
  });
}

describe('server address', () => {
  const server = async (addr: string) => {
    await succeeds(integrate('dnsmasq', '--addr', addr));
    return /^server=\S+/m.exec((await files())['/etc/dnsmasq.d/soradns.conf'] ?? '')?.[0];
  };

  it('integrate uses a loopback address for a server on a wildcard address of IPv4 or IPv6', async () => {
    assert.equal(await server('0.0.0.0:53'), 'server=/skydns.local/127.0.0.1#53');
    assert.equal(await server('[::]:5300'), 'server=/skydns.local/::1#5300');
  });

  it('integrate systemd-resolved writes a file that ends doctor’s warning', async () => {
    const resolv = { '/etc/resolv.conf': 'nameserver 127.0.0.53\n' };
    const flags = { addr: '[::1]:5300' };
    assert.equal((await finding({ flags, files: resolv }, 'resolved')).level, 'warning');
    await succeeds(integrate('systemd-resolved', '--addr', '[::1]:5300'));
    const after = { ...resolv, ...(await files()) };
    assert.equal((await finding({ flags, files: after }, 'resolved')).level, 'ok');
  });
});

describe('docker', () => {
  const PATH = '/etc/docker/daemon.json';
  const BRIDGE = ['--addr', '127.0.0.1:53,172.17.0.1:53'];
  const write = async (text: string) => {
    await mkdir(dirname(join(root, PATH)), { recursive: true });
    await writeFile(join(root, PATH), text);
  };
  const bridged = ['--addr', '172.17.0.1:53'];

  it('integrate docker puts the address before the others and changes nothing else', async () => {
    await write(
      '{\n    "log-driver": "json-file",\n    "dns": ["192.0.2.1"],\n    "debug": true\n}\n',
    );
    const stdout = await succeeds(integrate('docker', ...bridged));
    assert.match(stdout, /now: sudo systemctl restart docker\nnote: .*live-restore/);
    assert.equal(
      (await files())[PATH],
      '{\n    "log-driver": "json-file",\n    "dns": [\n        "172.17.0.1",\n        "192.0.2.1"\n    ],\n    "debug": true\n}\n',
    );
    assert.match(await succeeds(integrate('docker', ...bridged)), /^already configured/);
  });

  for (const before of ['{"debug":true,  "dns":["192.0.2.1"]}', '\n', '{}\n', undefined]) {
    it(`integrate docker --undo restores daemon.json exactly if it was ${before === undefined ? 'missing' : JSON.stringify(before)}`, async () => {
      if (before !== undefined) await write(before);
      const original = await files();
      await succeeds(integrate('docker', ...bridged));
      await succeeds(integrate('docker', '--addr', '172.18.0.1:53'));
      const dns = JSON.parse((await files())[PATH] ?? '').dns;
      assert.deepEqual(
        dns.slice(0, 2),
        before?.includes('192') ? ['172.18.0.1', '192.0.2.1'] : ['172.18.0.1'],
      );
      await succeeds(integrate('docker', '--undo'));
      assert.deepEqual(await files(), original);
      assert.match(await succeeds(integrate('docker', '--undo')), /^nothing to undo/);
    });
  }

  it('integrate docker --undo keeps later changes by others', async () => {
    await write('{"dns":["192.0.2.1"]}');
    await succeeds(integrate('docker', ...bridged));
    await write('{"dns":["172.17.0.1","192.0.2.1","192.0.2.2"],"debug":true}');
    const stdout = await succeeds(integrate('docker', '--undo'));
    const note = `note: ${join(root, PATH)} has changed since, so only 172\\.17\\.0\\.1 is removed`;
    assert.match(stdout, new RegExp(note));
    const after = await files();
    assert.deepEqual(Object.keys(after), [PATH]);
    assert.deepEqual(JSON.parse(after[PATH] ?? ''), {
      dns: ['192.0.2.1', '192.0.2.2'],
      debug: true,
    });
  });

  it('integrate docker --undo does not change a daemon.json that an interrupted run did not write', async () => {
    const before = '{"debug":true }';
    await write(before);
    await succeeds(integrate('docker', ...bridged));
    await write(before);
    await succeeds(integrate('docker', '--undo'));
    assert.deepEqual(await files(), { [PATH]: before });
  });

  it('integrate docker --undo removes only the address that integrate added, even after other changes', async () => {
    await succeeds(integrate('docker', ...bridged));
    await write('{"dns":["172.17.0.1"],"debug":true}');
    await succeeds(integrate('docker', '--addr', '172.18.0.1:53'));
    await succeeds(integrate('docker', '--undo'));
    assert.deepEqual(JSON.parse((await files())[PATH] ?? ''), { debug: true });
  });

  it('integrate docker refuses an address that containers cannot reach and a file that it cannot parse', async () => {
    for (const [addr, reason] of [
      ['127.0.0.1:53', /the container itself \(give --addr 172\.17\.0\.1:53\)/],
      ['172.17.0.1:5300', /port 53 only/],
    ] as const) {
      const { code, stderr } = await integrate('docker', '--addr', addr);
      assert.equal(code, 2);
      assert.match(stderr, reason);
    }
    for (const text of ['{', '[]', '{"dns":"1.1.1.1"}']) {
      await write(text);
      const { code, stderr } = await integrate('docker', ...bridged);
      assert.equal(code, 7);
      assert.ok(stderr.includes(`json.tool ${join(root, PATH)}`), stderr);
      assert.equal((await files())[PATH], text);
    }
  });

  it('integrate docker keeps a symbolic link and the mode of its target', async () => {
    await write('{}');
    await mkdir(join(root, 'srv'));
    await writeFile(join(root, 'srv/daemon.json'), '{}', { mode: 0o600 });
    await chmod(join(root, 'srv/daemon.json'), 0o600);
    await removeDir(join(root, PATH));
    await symlink(join(root, 'srv/daemon.json'), join(root, PATH));
    await succeeds(integrate('docker', ...BRIDGE.slice(0, 1), '172.17.0.1:53'));
    assert.ok((await lstat(join(root, PATH))).isSymbolicLink());
    assert.equal((await stat(join(root, PATH))).mode & 0o777, 0o600);
    assert.match(await readFile(join(root, 'srv/daemon.json'), 'utf8'), /172\.17\.0\.1/);
  });
});

describe('output', () => {
  it('integrate --json prints the changed file and the command that activates it as JSON', async () => {
    const stdout = await succeeds(integrate('dnsmasq', ...ADDR, '--json'));
    assert.deepEqual(JSON.parse(stdout).changes, [
      { path: join(root, '/etc/dnsmasq.d/soradns.conf'), action: 'write' },
    ]);
    assert.equal(JSON.parse(stdout).reload, 'sudo systemctl restart dnsmasq');
  });

  it('integrate prints a note where the host’s configuration would not use the written file', async () => {
    assert.match(await succeeds(integrate('dnsmasq', ...ADDR)), /note: dnsmasq must read/);
    await writeFiles(root, { '/etc/dnsmasq.conf': 'conf-dir=/etc/dnsmasq.d/,*.conf\n' });
    assert.doesNotMatch(await succeeds(integrate('dnsmasq', ...ADDR)), /note:/);
    assert.match(await succeeds(integrate('networkmanager', ...ADDR)), /note: .*dns=dnsmasq/);
    const resolved = () => succeeds(integrate('systemd-resolved', ...ADDR));
    assert.match(await resolved(), new RegExp(`note: .*stub-resolv.* ${root}/etc/resolv.conf`));
    await writeFiles(root, {
      '/etc/nsswitch.conf': 'hosts: files resolve [!UNAVAIL=return] dns\n',
    });
    assert.doesNotMatch(await resolved(), /note:/);
  });

  it('integrate --reload refuses --root, and without --root it runs the command that activates the change', async (t) => {
    const bin = join(root, 'bin');
    await mkdir(bin);
    await writeFile(join(bin, 'systemctl'), `#!/bin/sh\necho "$@" >> ${root}/ran\n`, {
      mode: 0o755,
    });
    const { code, stderr } = await integrate('dnsmasq', ...ADDR, '--reload');
    assert.equal(code, 2);
    assert.match(stderr, /--reload: works on this host only/);
    // In a mount namespace with an empty /etc.
    if (spawnSync('unshare', ['--mount', 'true']).status !== 0)
      return t.skip('optional: this user may not have mounts of its own');
    const line = `mount -t tmpfs tmpfs /etc && exec "$0" "$@" integrate dnsmasq --reload --addr 127.0.0.1:5300`;
    const ran = await inOwnMounts(line, { PATH: `${bin}:${process.env.PATH}` });
    assert.match(ran, /^wrote \/etc\/dnsmasq\.d\/soradns\.conf$/m);
    assert.equal(await readFile(join(root, 'ran'), 'utf8'), 'restart dnsmasq\n');
  });

  it('integrate reports a missing permission with a remedy', async (t) => {
    if (process.getuid?.() === 0) return t.skip('optional: root may write everything');
    const { code, stderr } = await spawnCli(['integrate', 'dnsmasq']);
    assert.equal(code, 6);
    assert.match(stderr, /run it with sudo/);
  });
});

/** Runs a shell line, whose `"$0" "$@"` is soradns, in a new mount namespace; returns its output. */
async function inOwnMounts(line: string, env: Record<string, string>): Promise<string> {
  const soradns = [process.execPath, MAIN];
  const child = spawn('unshare', ['--mount', 'sh', '-c', line, ...soradns], {
    env: childEnv(env),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0, text);
  return text;
}

describe('a real dnsmasq', () => {
  it('A real dnsmasq with integrate’s file forwards the domain’s names to the server', async () => {
    const server = await startTestServer({});
    const { address = '', port = 0 } = server.http ?? {};
    const put = `http://${address}:${port}/v2/keys/skydns/local/skydns/web`;
    const body = new URLSearchParams({ value: '{"host":"10.1.2.3"}' });
    assert.equal((await fetch(put, { method: 'PUT', body })).status, 201);
    await succeeds(integrate('dnsmasq', '--addr', printSocketAddress(server.dns)));
    const at = { address: '127.0.0.1', port: await freePort() };
    const options = [
      ...['--keep-in-foreground', '--no-resolv', '--no-hosts', '--bind-interfaces'],
      ...[`--port=${at.port}`, '--listen-address=127.0.0.1', '--conf-file=/dev/null'],
      ...['--stop-dns-rebind', '--user=', '--pid-file=', `--conf-dir=${root}/etc/dnsmasq.d`],
    ];
    const dnsmasq = spawn('dnsmasq', options, { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = once(dnsmasq, 'exit');
    try {
      let answer: readonly string[] = [];
      await until('dnsmasq answers', async () => {
        assert.equal(dnsmasq.exitCode, null, 'dnsmasq runs');
        const reply = await dig(at, '+time=1', 'web.skydns.local').catch(() => undefined);
        answer = reply?.answer ?? [];
        return answer.length > 0;
      });
      assert.match(answer.join(), /^web\.skydns\.local\. \d+ IN A 10\.1\.2\.3$/);
    } finally {
      dnsmasq.kill('SIGKILL');
      await ended;
      await server.close();
    }
  });
});
