import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { fetchAmbassadorReport } from '../../src/app/ambassador/ambassadorReport.ts';
import { fetchPage } from '../../src/app/process/fetchPage.ts';
import { fetchReport } from '../../src/app/registrar/registrarReport.ts';

const BODIES: Readonly<Record<string, readonly [status: number, body: string]>> = {
  '/page': [200, '{"a":1}'],
  '/text': [200, '<html>'],
  '/broken': [500, 'oops'],
};

test('A page is its JSON, or the reason why there is none', async (context) => {
  const server = createServer((request, response) => {
    const [status, body] = BODIES[request.url ?? ''] ?? [404, ''];
    response.writeHead(status, { connection: 'close' }).end(body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const fetched = async (path: string) => {
    const page = await fetchPage(url, path, '--register');
    return page.kind === 'page' ? page.value : page.problem;
  };
  assert.deepEqual(await fetched('/page'), { a: 1 });
  assert.equal(await fetched('/text'), undefined);
  assert.equal(await fetched('/broken'), 'HTTP 500');
  assert.equal(await fetched('/other'), 'a server without --register');
  server.close();
  await once(server, 'close');
  assert.equal(await fetched('/page'), 'ECONNREFUSED');
});

test('A server whose page is another is named as such', async (context) => {
  let body = 'null';
  const server = createServer((_, response) => void response.end(body)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (body of ['null', '<html>', '{"routes":1}']) {
    await assert.rejects(fetchAmbassadorReport(url), /the answer is not an ambassador's/);
    await assert.rejects(fetchReport([url]), /the answer is not a registrar's/);
  }
});
