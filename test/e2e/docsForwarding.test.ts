/**
 * The blocks of docs/forwarding.md: two servers, a domain that one has for the other, a stub zone, a delegation, and a
 * hosts file.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { projectRoot } from '../meta/sources.ts';
import { startCli } from '../support/cliProcess.ts';
import { freePort } from '../support/freePort.ts';
import { shellBlocks } from '../support/pages.ts';
import { shellIn } from '../support/session.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const noDig = spawnSync('dig', ['-v']).status === 0 ? false : 'dig is not installed';
const domainBlocks = shellBlocks('docs/forwarding.md', 'Servers for one domain');
const [corp = '', main = '', corpCommands = ''] = domainBlocks;
const [stubCommands = ''] = shellBlocks('docs/forwarding.md', 'Stub zones');
const [delegationCommands = ''] = shellBlocks('docs/forwarding.md', 'Delegation');
const [hostsCommands = ''] = shellBlocks('docs/forwarding.md', 'Hosts files');

test('The commands of docs/forwarding.md print what the page says', { skip: noDig }, async (t) => {
  await withTempDir(async (folder) => {
    const ports = new Map<string, number>();
    for (const port of ['5300', '5353', '4001', '4002']) ports.set(port, await freePort());
    const here = (text: string): string =>
      text
        .replace(/\b(5300|5353|4001|4002)\b/g, (port) => String(ports.get(port)))
        .replace('./hosts', join(folder, 'hosts'));
    const program = join(projectRoot, 'dist/main.js');
    const script = `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`;
    await writeFile(join(folder, 'soradns'), script);
    await chmod(join(folder, 'soradns'), 0o755);
    for (const line of [corp, main]) {
      const [, ...words] = here(line).replace(/\\\n/g, ' ').trim().split(/\s+/);
      const server = startCli([...words, '--lame-duck', '0', '--workers', '0']);
      t.after(() => server.end('SIGKILL'));
      await server.logged('serving');
    }
    const env = {
      ...process.env,
      PATH: `${folder}:${process.env.PATH}`,
      SORADNS_STORE: here('http://127.0.0.1:4001'),
    };
    const run = shellIn({ folder, env, timeoutMs: 20_000 });
    const blocks = [corpCommands, stubCommands, delegationCommands, hostsCommands];
    for (const line of blocks.join('').trim().split('\n')) {
      const [command = '', expected] = line.split(/ {2,}# /);
      if (expected === undefined) {
        if (command.startsWith('sleep')) continue; // The question below is repeated instead.
        const { code, printed } = await run(here(command));
        assert.equal(code, 0, `${command}: ${printed}`);
      } else {
        await until(`${command} prints ${expected}`, async () => {
          const { printed } = await run(here(command));
          return printed.trim() === expected;
        });
      }
    }
  });
});
