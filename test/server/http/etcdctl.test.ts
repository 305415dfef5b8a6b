/** etcd's command line client, with API v2, against soradns's listener. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { until } from '../../support/until.ts';

let server: RunningHttp;
const children = new Set<ChildProcess>();

before(async () => {
  server = await startHttp();
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await server.stop();
});

const env = { ...process.env, ETCDCTL_API: '2' };

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function etcdctl(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const all = ['--endpoints', server.url, ...args];
    execFile('etcdctl', all, { env, timeout: 20_000 }, (error, out, err) => {
      resolve({ code: Number(error?.code ?? 0), out: out.trim(), err: err.trim() });
    });
  });
}

/** Runs etcdctl in the background and collects its output. */
function follow(...args: string[]): { text: () => string; end: () => void } {
  const child = spawn('etcdctl', ['--endpoints', server.url, ...args], { env });
  children.add(child);
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += String(chunk);
  });
  return { text: () => text, end: () => child.kill() };
}

test('etcdctl sets, gets, lists, updates and removes keys through the keys API', {
  timeout: 60_000,
}, async () => {
  const steps: [args: string, code: number, out: string | RegExp][] = [
    ['set /e/a 1', 0, '1'],
    ['get /e/a', 0, '1'],
    ['ls /e', 0, '/e/a'],
    ['ls -r -p /', 0, '/e/\n/e/a'],
    ['mk /e/a 2', 4, /105: Key already exists \(\/e\/a\)/],
    ['mk /e/b 2', 0, '2'],
    ['mk --in-order /queue x', 0, 'x'],
    ['mkdir /e/dir', 0, ''],
    ['mkdir /e/dir', 4, /105: Key already exists/],
    ['setdir /e/dir', 4, /102: Not a file/],
    ['setdir /e/other', 0, ''],
    ['setdir --ttl 5 /e/third', 4, /"ttl" of a directory is not supported/],
    ['updatedir /e/dir', 0, ''],
    ['update /e/a 5', 0, '5'],
    ['update /e/none 5', 4, /100: Key not found/],
    ['set --ttl 50 /e/t x', 0, 'x'],
    ['-o extended get /e/t', 0, /TTL: (50|49|48)\n/],
    ['set --swap-with-value 5 /e/a 6', 0, '6'],
    ['set --swap-with-value 5 /e/a 6', 4, /101: Compare failed \(\[5 != 6\]\)/],
    ['rmdir /e/dir', 0, ''],
    ['rm /e/a', 0, 'PrevNode.Value: 6'],
    ['rm /e', 4, /102: Not a file/],
    ['rm -r /e', 0, ''],
    ['get /e/t', 4, /100: Key not found/],
    ['cluster-health', 0, /cluster is healthy/],
    ['member list', 0, /isLeader=true/],
  ];
  for (const [line, code, out] of steps) {
    const ended = await etcdctl(...line.split(' '));
    assert.equal(ended.code, code, `${line}: ${ended.err}`);
    const text = code === 0 ? ended.out : ended.err;
    if (typeof out === 'string') assert.equal(text, out, line);
    else assert.match(`${text}\n`, out, line);
  }
});

test('etcdctl watch and exec-watch see sets, deletes and expiries through the keys API', {
  timeout: 60_000,
}, async () => {
  const watch = follow('watch', '--forever', '--recursive', '/w');
  const exec = follow(
    'exec-watch',
    '--recursive',
    '/w',
    '--',
    'sh',
    '-c',
    'env | grep WATCH_ACTION',
  );
  // Only their output shows that they are waiting, so the test writes until it arrives.
  await until('both watch', async () => {
    await etcdctl('set', '/w/knock', 'x');
    return watch.text().includes('[set] /w/knock') && exec.text().includes('ACTION=set');
  });
  await etcdctl('set', '/w/gone', 'x', '--ttl', '1');
  await until('the expiry shows', () => watch.text().includes('[expire] /w/gone'));
  await until('it was executed', () => exec.text().includes('ETCD_WATCH_ACTION=expire'));
  await etcdctl('rm', '/w/knock');
  await until('the deletion shows', () => watch.text().includes('[delete] /w/knock'));
  watch.end();
  exec.end();
});

test('etcdctl writes with the token as its password and not without it', {
  timeout: 60_000,
}, async () => {
  const guarded = await startHttp({ token: 'secret', trustedUsers: new Set() });
  const run = (...args: string[]) => etcdctl('--endpoints', guarded.url, ...args);
  try {
    assert.match((await run('set', '/a', '1')).err, /110|user authentication/);
    assert.equal((await run('-u', 'any:wrong', 'set', '/a', '1')).code === 0, false);
    assert.equal((await run('-u', 'any:secret', 'set', '/a', '1')).out, '1');
    assert.equal((await run('get', '/a')).out, '1');
  } finally {
    await guarded.stop();
  }
});
