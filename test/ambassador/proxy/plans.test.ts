/** Clients that the splicing thread connects by plans, while destinations change and the proxy's thread is often busy. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { loadStreamCalls } from '../../../src/kernel/streamCalls.ts';
import { compile } from '../../support/dockerImages.ts';
import type { Connects } from '../../support/flows.ts';
import { freePort } from '../../support/freePort.ts';
import { backend, blockThread, openProxy, setOf } from '../../support/proxyScene.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';

const loaded = loadStreamCalls();
const skip = loaded.kind === 'missing' ? loaded.reason : false;

const CLIENTS = 3;
const CONNECTS = 5_000;

test('No client is left waiting while destinations change and the thread of the proxy is often busy', {
  skip,
}, async (t) => {
  const folder = await newTempDir();
  t.after(() => removeDir(folder));
  const flow = compile(folder, 'musl-gcc', 'flow', 'flow.c', '-static');
  const [one, two] = [await serve(t, flow, 'one'), await serve(t, flow, 'two')];
  const dead = backend({ address: '127.0.0.1', port: await freePort() });
  const sets = [[one], [one, two], [two], [dead, one], [one, dead, two]];
  const { at, lead } = await openProxy(t, {
    carrierName: 'splice',
    destination: { backends: setOf(one) },
  });
  let hasEnded = false;
  const args = ['connects', at.address, `${at.port}`, `${CONNECTS}`, '0'];
  const clients = Array.from({ length: CLIENTS }, () => promisify(execFile)(flow, args));
  const all = Promise.all(clients).finally(() => {
    hasEnded = true;
  });
  let changes = 0;
  while (!hasEnded) {
    lead({ backends: setOf(...(sets[changes++ % sets.length] ?? [])) });
    blockThread(Math.random() * 10);
    await sleep(Math.random() * 10);
  }
  const replies = { one: 0, two: 0 };
  for (const { stdout } of await all) {
    const seen = JSON.parse(stdout) as Connects;
    assert.equal(seen.failed, 0, stdout);
    replies.one += seen.replies.one ?? 0;
    replies.two += seen.replies.two ?? 0;
  }
  console.log(`${changes} changes`, replies);
  assert.equal(replies.one + replies.two, CLIENTS * CONNECTS);
  assert.ok(replies.one > CONNECTS / 10 && replies.two > CONNECTS / 10, JSON.stringify(replies));
});

/** Starts a backend in a process of its own. */
async function serve(t: TestContext, flow: string, text: string) {
  const port = await freePort();
  const child: ChildProcess = spawn(flow, ['serve', text, `${port}`]);
  t.after(() => child.kill('SIGKILL'));
  if (child.stdout !== null) await once(child.stdout, 'data');
  return backend({ address: '127.0.0.1', port });
}
