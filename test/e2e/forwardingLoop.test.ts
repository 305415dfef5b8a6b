/** Two servers that forward to each other because of a mistake in --nameservers. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCli } from '../support/cliProcess.ts';
import { freePort } from '../support/freePort.ts';
import { questionOf } from '../support/messages.ts';
import { query } from '../support/server.ts';
import { until } from '../support/until.ts';

test('Servers that forward to each other answer a query with REFUSED or SERVFAIL at once, after a few packets', async (t) => {
  const ports = [await freePort(), await freePort()] as const;
  const https = [await freePort(), await freePort()] as const;
  const servers = [0, 1].map((i) =>
    startCli([
      'serve',
      ...['--addr', `127.0.0.1:${ports[i]}`, '--http', `127.0.0.1:${https[i]}`],
      ...['--nameservers', `127.0.0.1:${ports[1 - i]}`, '--store', 'memory:'],
      ...['--lame-duck', '0', '--workers', '0'],
    ]),
  );
  t.after(() => Promise.all(servers.map((server) => server.end('SIGKILL'))));
  for (const server of servers) await server.logged('serving');
  const forwarded = async (): Promise<number> => {
    const pages = await Promise.all(
      https.map(async (port) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()),
    );
    const counts = pages.map((page) => /^soradns_forward_requests_total (\d+)/m.exec(page)?.[1]);
    return counts.reduce((sum, count) => sum + Number(count ?? 0), 0);
  };
  await until('both servers count forwarded queries', async () =>
    Number.isInteger(await forwarded()),
  );
  const before = await forwarded();
  const startedMs = performance.now();
  // The first names have few letters, so the random case of two upstream queries can match by chance.
  for (const name of ['a.b', 'x1.example', 'www.example.com']) {
    const reply = await query({ address: '127.0.0.1', port: ports[0] }, questionOf(name));
    assert.ok(reply.rcode === 5 || reply.rcode === 2, `${name}: rcode ${reply.rcode}`);
  }
  assert.ok(performance.now() - startedMs < 1_500, 'a query waited for a deadline');
  await sleep(300);
  const packets = (await forwarded()) - before;
  assert.ok(packets <= 12, `${packets} queries were forwarded for 3`);
});
