/** `watch` while its store is unreachable for some time. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { runCli } from '../../src/cli/cli.ts';
import { COMMAND_TABLE } from '../../src/cli/commands/commands.ts';
import { callCli } from '../support/cli.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/until.ts';

const directory = mkdtempSync(join(tmpdir(), 'soradns-watch-'));
after(() => rmSync(directory, { recursive: true }));

it('watch waits for a lost store and continues where it stopped', async () => {
  const store = `file:${directory}`;
  let server = await startTestServer({ store });
  after(() => server.close());
  const http = `127.0.0.1:${server.http?.port}`;
  const env = { SORADNS_STORE: `http://${http}` };
  const set = async (id: string) => {
    const { code, stderr } = await callCli(['set', `${id}.skydns.local`, '--host', '10.0.0.1'], {
      env,
    });
    assert.equal(code, 0, stderr);
  };

  const texts = { stdout: '', stderr: '' };
  const output = (name: keyof typeof texts) => ({
    isTty: false,
    colour: false,
    write: (text: string) => {
      texts[name] += text;
    },
  });
  const stop = new AbortController();
  const watching = runCli(COMMAND_TABLE, ['watch', '--json'], {
    stdout: output('stdout'),
    stderr: output('stderr'),
    env,
    readFile: () => ({ problem: 'ENOENT' }),
    stateDirectory: '/nonexistent',
    stop: stop.signal,
    handleSignals: () => {},
    onReload: () => {},
    outliveReaders: () => {},
  });
  const printed = () =>
    texts.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => String(JSON.parse(line).name).split('.')[0]);

  await until('it watches', () => texts.stderr.includes('watching /skydns from revision 0'));
  await set('a');
  await until('a is printed', () => printed().length === 1);
  await server.close();
  await until('it waits', () => texts.stderr.includes('retrying'), 20_000);
  server = await startTestServer({ store, http });
  await set('b');
  await set('c');
  await until('all is printed', () => printed().length === 3, 20_000);
  stop.abort('SIGINT');
  assert.equal(await watching, 130);
  assert.deepEqual(printed(), ['a', 'b', 'c']);
});
