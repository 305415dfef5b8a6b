/** Two servers that forward to each other because of a mistake in --nameservers. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
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

test('Servers whose stub zones lead to each other answer with SERVFAIL after one question between them', async (t) => {
  const ports = [await freePort(), await freePort()] as const;
  const https = [await freePort(), await freePort()] as const;
  const servers = [0, 1].map((i) =>
    startCli([
      'serve',
      ...['--addr', `127.0.0.1:${ports[i]}`, '--http', `127.0.0.1:${https[i]}`],
      ...['--stubzones', '--no-rec', '--store', 'memory:', '--lame-duck', '0', '--workers', '1'],
    ]),
  );
  t.after(() => Promise.all(servers.map((server) => server.end('SIGKILL'))));
  for (const server of servers) await server.logged('serving');
  for (const i of [0, 1] as const) {
    const key = `http://127.0.0.1:${https[i]}/v2/keys/skydns/local/skydns/dns/stub/example/lab/a`;
    const value = JSON.stringify({ host: '127.0.0.1', port: ports[1 - i] });
    const put = await fetch(key, { method: 'PUT', body: new URLSearchParams({ value }) });
    assert.equal(put.status, 201);
  }
  const address = { address: '127.0.0.1', port: ports[0] };
  const startedMs = performance.now();
  const reply = await dig(address, 'www.lab.example');
  assert.ok(performance.now() - startedMs < 1_000, 'the question waited for a deadline');
  assert.equal(reply.status, 'SERVFAIL');
  assert.match(reply.text, /EDE: 22 /);
  const counts = https.map(async (port) => {
    const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return Number(/^soradns_forward_requests_total (\d+)/m.exec(page)?.[1]);
  });
  assert.deepEqual(await Promise.all(counts), [1, 1]);
  const marked = await dig(address, 'x.lab.example', '+ednsopt=65011:01');
  assert.deepEqual([marked.status, /EDE: 24 /.test(marked.text)], ['SERVFAIL', true]);
});
