/** Worker threads that die, and that cannot start. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MainChannel, newChannelMemory } from '../../../src/dataplane/listeners/controlChannel.ts';
import {
  WorkerThreads,
  type WorkerThreadsOptions,
} from '../../../src/dataplane/listeners/threads.ts';
import { until } from '../../support/until.ts';

const DYING = new URL('data:text/javascript,process.exit(3)');

/** With a function in its start data no thread starts, as at the system's limit of threads. */
const UNSTARTABLE: unknown = { start: () => {} };

test('A thread that cannot start is reported, and started again later', async () => {
  const starts: unknown[] = [UNSTARTABLE, {}, UNSTARTABLE, UNSTARTABLE, {}];
  const gone: string[] = [];
  const threads = new WorkerThreads({
    workers: 1,
    entry: DYING,
    channel: new MainChannel(newChannelMemory(1)),
    start: () => (starts.shift() ?? {}) as ReturnType<WorkerThreadsOptions['start']>,
    onReport: () => {},
    onGone: (thread, { message }) => void gone.push(`${thread} ${message}`),
  });
  await threads.assign([[]]);
  await until('all starts are over', () => gone.length >= 5);
  await threads.stop();
  const failed = /^1 it did not start: DataCloneError/;
  const died = /^1 exit code 3$/;
  for (const [i, pattern] of [failed, died, failed, failed, died].entries())
    assert.match(gone[i] ?? '', pattern);
});
