/** The commands for the keys of signed domains, with BIND's tools as the other readers of the files. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import test from 'node:test';
import { childEnv, MAIN } from '../support/cli.ts';
import { withTempDir } from '../support/tempDir.ts';
import { lacking } from '../support/validators.ts';

/** No server answers at these addresses. */
const ALONE = [
  '--server',
  '127.0.0.1:1',
  '--nameservers',
  '127.0.0.1:1',
  '--url',
  'http://127.0.0.1:1',
];

function run(...args: readonly string[]): { code: number; stdout: string; stderr: string } {
  const options = { encoding: 'utf8', env: childEnv({}) } as const;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [MAIN, 'dnssec', ...args],
    options,
  );
  return { code: status ?? -1, stdout: stdout.trim(), stderr };
}

function soradns(...args: readonly string[]): string {
  const { code, stdout, stderr } = run(...args);
  assert.equal(code, 0, stderr);
  return stdout;
}

function settime(...args: readonly string[]): string {
  return execFileSync('dnssec-settime', args, { encoding: 'utf8', stdio: 'pipe' });
}

for (const algorithm of ['ecdsap256sha256', 'ed25519']) {
  test(
    `BIND reads a key of ${algorithm} that keygen makes, and prints the same DS`,
    { skip: lacking('dnssec-dsfromkey', 'dnssec-settime') },
    () =>
      withTempDir(async (folder) => {
        const keys = ['--keys', folder] as const;
        const base = soradns('keygen', 'Skydns.Local', ...keys, '--algorithm', algorithm);
        for (const ending of ['key', 'private'])
          assert.equal(statSync(`${base}.${ending}`).mode & 0o777, 0o600);
        const fields = (text: string): readonly string[] => text.trim().split(/\s+/);
        for (const [digest, option] of [
          ['sha256', '-2'],
          ['sha384', '-aSHA384'],
        ] as const) {
          const [ds] = soradns('ds', 'skydns.local', ...keys, '--digest', digest).split('\n');
          const args = [option, `${base}.key`];
          const theirs = execFileSync('dnssec-dsfromkey', args, { encoding: 'utf8' });
          assert.deepEqual(fields(ds ?? ''), fields(theirs));
        }
        settime('-I', '+30d', base);
        assert.match(readFileSync(`${base}.private`, 'utf8'), /^Inactive: \d{14}$/m);
        const served = spawnSync(process.execPath, [MAIN, 'check', '--dnssec', folder]);
        assert.equal(served.status, 0, String(served.stderr));
      }),
  );
}

test(
  'roll makes a successor, BIND reads the dates of both, and no line of the old files is lost',
  { skip: lacking('dnssec-settime', 'dnssec-keygen') },
  () =>
    withTempDir(async (folder) => {
      const args = ['-q', '-K', folder, '-a', 'ED25519'];
      execFileSync('dnssec-keygen', [...args, '-f', 'KSK', 'skydns.local']);
      const zsk = `${folder}/${execFileSync('dnssec-keygen', [...args, 'skydns.local'], { encoding: 'utf8' }).trim()}`;
      settime('-R', '+10y', zsk);
      chmodSync(`${zsk}.private`, 0o640);
      const times = ['--ttl', '60', '--longest-ttl', '120', ...ALONE];
      const roll = ['roll', 'skydns.local', '--keys', folder, '--zsk', ...times];
      const before = readdirSync(folder);
      const planned = soradns(...roll, '--dry-run', '--json');
      assert.deepEqual(readdirSync(folder), before);
      const { keys } = JSON.parse(soradns(...roll, '--json'));
      const [next, old] = keys;
      const names = (text: string) =>
        JSON.parse(text).keys.map(({ dates }: { dates: object }) => Object.keys(dates));
      assert.deepEqual(names(planned), [
        ['Publish', 'Activate'],
        ['Inactive', 'Delete'],
      ]);
      assert.equal(old.path, zsk);
      const dateIn = (base: string, name: string) =>
        Date.parse(
          `${new RegExp(`^${name}: (.*)$`, 'm').exec(settime('-p', 'all', base))?.[1]} UTC`,
        );
      assert.equal(dateIn(next.path, 'Activate'), Date.parse(next.dates.Activate));
      assert.equal(dateIn(zsk, 'Inactive'), Date.parse(next.dates.Activate));
      assert.equal(dateIn(zsk, 'Delete'), Date.parse(next.dates.Activate) + (120 + 3_600) * 1_000);
      assert.equal(
        Date.parse(next.dates.Activate) - Date.parse(next.dates.Publish),
        (60 + 3_600) * 1_000,
      );
      assert.ok(!Number.isNaN(dateIn(zsk, 'Revoke')));
      assert.equal(statSync(`${zsk}.private`).mode & 0o777, 0o640);
      const again = run(...roll);
      assert.equal(again.code, 5);
      assert.match(again.stderr, /^soradns: .*: the replacement has its dates already \(.*\)\n$/);
    }),
);

test('roll of a KSK waits for its DNSKEY and for the parent, and status says so', () =>
  withTempDir(async (folder) => {
    const keys = ['skydns.local', '--keys', folder] as const;
    const old = soradns('keygen', ...keys);
    const roll = ['roll', ...keys, '--ttl', '60', '--longest-ttl', '60', ...ALONE];
    soradns(...roll);
    const early = run(...roll);
    assert.equal(early.code, 5);
    assert.match(early.stderr, /: caches may lack key \d+ until 2\d{3}-.*Z \(/);
    const status = ['status', ...keys.slice(1), ...ALONE];
    const { keys: reports, parent } = JSON.parse(soradns(...status, '--json'));
    assert.equal(typeof parent.problem, 'string');
    const states = reports.map(({ state, removable }: { state: string; removable: boolean }) => [
      state,
      removable,
    ]);
    assert.deepEqual(states, [
      ['active', false],
      ['active', false],
    ]);
    // The parent is asked only once the new DNSKEY is in all caches.
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.private')))
      if (!old.endsWith(file.slice(0, -'.private'.length)))
        settime('-P', 'sync', 'now-1h', '-P', 'now-3h', '-A', 'now-3h', `${folder}/${file}`);
    const unknown = run(...roll);
    assert.equal(unknown.code, 4);
    assert.match(
      unknown.stderr,
      /the parent of skydns\.local\. is not known: .* \(--parent-ready /,
    );
    const { keys: finished } = JSON.parse(soradns(...roll, '--parent-ready', '--json'));
    assert.deepEqual(Object.keys(finished[0].dates).sort(), ['Delete', 'Inactive']);
    assert.equal(finished[0].path, old);
    // A key that has left stays while the parent is not known.
    settime('-I', 'now-3d', '-D', 'now-3d', old);
    assert.match(soradns(...status), /deleted .* no: the parent is not known +\//);
  }));

test('Keys are made without end while the garbage collector runs', () => {
  const module = new URL('../../src/cli/signing/keygen.ts', import.meta.url);
  // The collector has to run in the midst of a call, which it does within 4,000.
  const script = `const { newPair } = await import('${module}');
    for (let i = 0; i < 4_000; i++) newPair(13);`;
  const flags = ['--max-semi-space-size=1', '--import', 'tsx', '--input-type=module', '-e', script];
  const { status, stderr } = spawnSync(process.execPath, flags, { timeout: 30_000 });
  assert.equal(status, 0, stderr.toString());
});

test('unsign writes a file beside each key, which BIND leaves alone, and takes it back', () =>
  withTempDir(async (folder) => {
    const keys = ['skydns.local', '--keys', folder] as const;
    const file = `${soradns('keygen', ...keys)}.unsign`;
    soradns('unsign', ...keys, '--dry-run');
    assert.ok(!existsSync(file));
    assert.match(soradns('unsign', ...keys), /^write .*\.unsign\n/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    settime('-I', '+30d', file.slice(0, -'.unsign'.length));
    assert.match(soradns('status', ...keys, ...ALONE), /^unsigning skydns\.local\.: CDS asks/m);
    soradns('unsign', ...keys, '--undo');
    assert.ok(!existsSync(file));
  }));

test('check warns that secondaries get no signatures, and of keys that sign nothing', () =>
  withTempDir(async (folder) => {
    const idle = soradns('keygen', 'skydns.local', '--keys', folder);
    settime('-A', '+1d', idle);
    soradns('keygen', 'other.example', '--keys', folder);
    const args = [MAIN, 'check', '--dnssec', folder, '--transfer-allow', '192.0.2.0/24'];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /--dnssec: transfers have no signatures/);
    assert.match(stderr, /--dnssec: no key of skydns\.local\. is active now/);
    assert.match(stderr, /--dnssec: --domain does not name other\.example\., which has keys/);
  }));

test('keygen warns of a key that takes over from one that has signed everything for long', () =>
  withTempDir(async (folder) => {
    const keys = ['skydns.local', '--keys', folder] as const;
    const first = soradns('keygen', ...keys);
    assert.equal(run('keygen', ...keys, '--zsk').stderr, '');
    for (const file of readdirSync(folder))
      if (!first.endsWith(file.replace(/\.\w+$/, ''))) rmSync(`${folder}/${file}`);
    settime('-P', 'now-2d', '-A', 'now-2d', first);
    assert.match(
      run('keygen', ...keys, '--zsk').stderr,
      /^note: key \d+ signs from now on what key/,
    );
  }));

test('Each mistake is one line with its exit code', () =>
  withTempDir(async (folder) => {
    const none = run('ds', 'skydns.local', '--keys', folder);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /the folder has no \.private file of a key/);
    soradns('keygen', 'skydns.local', '--keys', folder);
    soradns('keygen', 'skydns.local', '--keys', folder, '--zsk');
    for (const [words, code, line] of [
      [['ds', 'other.local'], 3, /has no key of other\.local\./],
      [['roll', 'skydns.local'], 2, /has keys of both kinds \(give --zsk or --ksk\)/],
      [['roll', 'skydns.local', '--csk'], 2, /--csk: skydns\.local\. has no such key/],
      [['roll', 'skydns.local', '--zsk', '--ksk'], 2, /--ksk and --zsk exclude each other/],
      [['roll', 'skydns.local', '--zsk', '--algorithm', 'ed25519'], 2, /a ZSK has its KSK's/],
      [['roll', 'skydns.local', '--ksk', '--ttl', 'x'], 2, /--ttl: "x" is not whole seconds/],
      [['status', 'skydns.local', '--url', 'x'], 2, /--url: "x" is not a URL/],
      [['roll'], 2, /roll needs a domain/],
    ] as const) {
      const { code: found, stderr } = run(
        ...words,
        '--keys',
        folder,
        ...(words[0] === 'roll' ? ALONE.slice(0, 2) : []),
      );
      assert.equal(found, code, stderr);
      assert.match(stderr, line);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    }
  }));
