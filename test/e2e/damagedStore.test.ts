/**
 * A server with a damaged store exits after it has printed one line that names the file and the repair option, and the
 * repair works.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { spawnCli } from '../support/cli.ts';
import { ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { readyz } from '../support/registrarProcesses.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const PAGE = 4096;

it(
  'serve with a damaged store names the file, the damage and --store-repair, which recovers the keys',
  {
    timeout: 120_000,
  },
  () =>
    withTempDir(async (dir) => {
      const options = ['serve', '--store', `file:${dir}`, ...ON_FREE_PORTS];
      const first = startCli(options);
      const { http } = await first.logged('serving');
      const put = (n: number) =>
        fetch(`http://${http}/v2/keys/skydns/local/skydns/n${n}`, {
          method: 'PUT',
          body: new URLSearchParams({ value: `{"host":"192.0.2.1","text":"${'t'.repeat(200)}"}` }),
        });
      for (let n = 0; n < 200; n++) assert.equal((await put(n)).status, 201);
      assert.equal(await first.end('SIGTERM'), 0);
      const path = join(dir, 'data.mdb');
      const file = readFileSync(path);
      const page = Math.floor(file.indexOf('/skydns/local/skydns/n5') / PAGE);
      for (let at = 2; at < file.length / PAGE; at++) {
        const isOfNames = file
          .subarray(at * PAGE, (at + 1) * PAGE)
          .includes('/skydns/local/skydns/n');
        if (isOfNames && at !== page) file.fill(0, at * PAGE, at * PAGE + 100);
      }
      writeFileSync(path, file);

      for (const command of [options, ['ls', '--store', `file:${dir}`]]) {
        const { code, stdout, stderr } = await spawnCli(command);
        assert.equal(code, 4, stderr);
        assert.equal(stdout, '');
        const line =
          /^soradns: file:\S+ cannot be opened: data\.mdb is damaged: page \d+ [^\n]*\n$/;
        assert.match(stderr, line);
        assert.match(stderr, /--store-repair: it keeps the damaged file/);
      }

      const repaired = startCli([...options, '--store-repair']);
      const { http: repairedHttp } = await repaired.logged('serving');
      await until(
        'the repaired server is ready',
        async () => (await readyz(`http://${repairedHttp}`)) === '200 ok',
      );
      const logged = repaired
        .lines()
        .find(({ msg }) => String(msg).startsWith('data.mdb was damaged'));
      assert.match(String(logged?.msg), /: moved to \S+; \d+ keys recovered$/);
      assert.ok(readdirSync(dir).some((name) => name.startsWith('data.mdb.damaged-')));
      assert.equal(await repaired.end('SIGTERM'), 0);
    }),
);
