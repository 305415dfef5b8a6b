/** A server whose data volume accepts no writes keeps answering from memory and reports that it is degraded. */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { parseSocketAddress } from '../../src/dns/address.ts';
import { ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import { readyz } from '../support/registrarProcesses.ts';
import { mountSmall, type SmallVolume } from '../support/smallVolume.ts';
import { until } from '../support/until.ts';

let volume: SmallVolume | string;
before(async () => {
  volume = await mountSmall(3);
});
after(() => typeof volume !== 'string' && volume.unmount());

/** lmdb reports the second error after a partial write of a page. */
const REASON = /No space left on device|Input\/output error/;

async function serveOn(dir: string) {
  const child = startCli(['serve', '--store', `file:${join(dir, 'db')}`, ...ON_FREE_PORTS]);
  const { dns, http } = await child.logged('serving');
  const [address = ''] = dns as string[];
  const base = `http://${http}`;
  const put = async (name: string) => {
    const body = new URLSearchParams({ value: '{"host":"192.0.2.1"}' });
    const url = `${base}/v2/keys/skydns/local/skydns/${name}`;
    const response = await fetch(url, { method: 'PUT', body });
    return `${response.status} ${await response.text()}`;
  };
  const ask = async (name: string) =>
    (await dig(parseSocketAddress(address) ?? assert.fail(), `${name}.skydns.local`)).answer.length;
  return { child, put, ask, ready: () => readyz(base) };
}

/** Fills the volume: writes to the file until even the smallest block fails. */
async function fill(path: string): Promise<void> {
  for (const octets of [1 << 20, 1 << 16, 1 << 12]) {
    while (await append(path, octets));
  }
}

function append(path: string, octets: number): Promise<boolean> {
  return writeFile(path, Buffer.alloc(octets, 'x'), { flag: 'a' }).then(
    () => true,
    () => false,
  );
}

it('A server on a full volume refuses writes, is not ready, keeps answering, and recovers when space is free', {
  timeout: 120_000,
}, async (t) => {
  if (typeof volume === 'string') return t.skip(volume);
  const filler = join(volume.dir, 'filler');
  const first = await serveOn(volume.dir);
  assert.match(await first.put('a'), /^201 /);
  await fill(filler);
  await until('writes are refused', async () => !(await first.put('b')).startsWith('2'));
  assert.match(await first.put('c'), REASON);
  const ready = await first.ready();
  assert.match(ready, /^503 store: degraded, writing to .*; answers continue from memory$/);
  assert.match(ready, REASON);
  assert.equal(await first.ask('a'), 1);
  // lmdb prints a stack trace for each failed commit; the log must stay JSON.
  const printed = first.child.lines().filter(({ msg }) => msg === 'a library printed a message');
  assert.ok(printed.length >= 1 && printed.length <= 3, JSON.stringify(printed));
  assert.match(String(printed[0]?.text), REASON);
  assert.equal(await first.child.end('SIGTERM'), 0, first.child.stderr());
  assert.doesNotMatch(first.child.stderr(), /\n/);

  const second = await serveOn(volume.dir);
  await until('the server answers the stored name', async () => (await second.ask('a')) === 1);
  await until(
    'the second server refuses writes',
    async () => !(await second.put('d')).startsWith('2'),
  );
  assert.match(await second.ready(), /^503 store: degraded/);
  await rm(filler);
  await until(
    'the server is ready again without a restart',
    async () => (await second.ready()) === '200 ok',
    40_000,
  );
  assert.match(await second.put('e'), /^201 /);
  assert.equal(await second.child.end('SIGTERM'), 0, second.child.stderr());
});

it('A server on a read-only volume answers the stored names, refuses writes and is not ready', {
  timeout: 60_000,
}, async (t) => {
  const volume = await mountSmall(8);
  if (typeof volume === 'string') return t.skip(volume);
  try {
    const before = await serveOn(volume.dir);
    assert.match(await before.put('a'), /^201 /);
    assert.equal(await before.child.end('SIGTERM'), 0, before.child.stderr());
    volume.makeReadOnly();
    const server = await serveOn(volume.dir);
    await until('the server answers the stored name', async () => (await server.ask('a')) === 1);
    assert.match(await server.put('b'), /^5.*its volume is read-only/);
    assert.match(
      await server.ready(),
      /^503 store: degraded, .*its volume is read-only; answers continue/,
    );
    assert.equal(server.child.stderr(), '');
    assert.equal(await server.child.end('SIGTERM'), 0, server.child.stderr());
    const nothing = startCli(['serve', '--store', `file:${volume.dir}/none`, ...ON_FREE_PORTS]);
    await assert.rejects(
      nothing.logged('serving'),
      /cannot be opened: its volume is read-only .*--store memory:/,
    );
    assert.equal(await nothing.end(), 4);
  } finally {
    await volume.unmount();
  }
});
