/** The real server keeps answering about names outside when its upstream is gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dig } from '../support/dig.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const SOA = 'example.com. 1 SOA ns.example.com. host.example.com. 1 2 3 4 1';

/** The workers answer the later questions, which count like the first one. */
async function metricsOf({ http }: TestServer): Promise<string> {
  return (await fetch(`http://127.0.0.1:${http?.port}/metrics`)).text();
}

test('A client gets the expired answer with EDE 3, or 19, while the upstream is gone, and a new one afterwards', async (t) => {
  const records = ['www.example.com. 1 A 192.0.2.1', SOA];
  const upstream = await startUpstream({ records });
  const { address, port } = upstream;
  const flags = { 'no-rec': false, nameservers: `${address}:${port}`, workers: '1' };
  const server = await startTestServer(flags);
  t.after(() => server.close());
  const ask = (name: string) => dig(server.dns, name, 'A');
  assert.deepEqual((await ask('www.example.com')).answer, ['www.example.com. 1 IN A 192.0.2.1']);
  assert.equal((await ask('no.example.com')).status, 'NXDOMAIN');
  await upstream.close();
  await sleep(1_100);
  const stale = await ask('www.example.com');
  assert.deepEqual(stale.answer, ['www.example.com. 30 IN A 192.0.2.1']);
  assert.match(stale.text, /EDE: 3 \(Stale Answer\)/);
  for (let i = 0; i < 3; i++) await ask('www.example.com');
  assert.match(await metricsOf(server), /^soradns_forward_stale_total 4$/m);
  assert.match(await metricsOf(server), /^soradns_forward_cache_hits_total 0$/m);
  const missing = await ask('no.example.com');
  assert.deepEqual([missing.status, missing.answer], ['NXDOMAIN', []]);
  assert.match(missing.text, /EDE: 19 \(Stale NXDOMAIN Answer\)/);

  const back = await startUpstream({ records: ['www.example.com. 60 A 192.0.2.2', SOA], port });
  t.after(() => back.close());
  await until('the new answer is there', async () => {
    const { answer, text } = await ask('www.example.com');
    // A question that was sent for an earlier client may have brought the answer.
    return /^www.example.com. (60|5.) IN A 192.0.2.2$/.test(answer.join()) && !text.includes('EDE');
  });
});
