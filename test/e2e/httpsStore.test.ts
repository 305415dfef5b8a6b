/** A soradns server as the store, behind a proxy that terminates TLS: which certificates match which URL. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, it } from 'node:test';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { spawnCli } from '../support/cli.ts';
import { type RunningHttp, startHttp } from '../support/http.ts';

let certificates: Certificates;
let soradns: RunningHttp;
before(async () => {
  certificates = makeCertificates();
  soradns = await startHttp();
  await soradns.store.put('/skydns/local/skydns/a', Buffer.from('{"host":"192.0.2.1"}'));
});
after(async () => {
  await soradns?.stop();
  certificates?.remove();
});

/** Starts a proxy with the certificate on both loopback addresses. */
async function startTlsProxy(certificate: string): Promise<Server> {
  const pem = (name: string): Buffer => certificates.pem(`${name}.pem`);
  const tls = { cert: pem(certificate), key: pem(`${certificate}-key`) };
  const proxy = createServer(tls, (incoming, response) => {
    const { method, url = '/' } = incoming;
    const headers = { ...incoming.headers, host: new URL(soradns.url).host };
    const passed = request(new URL(url, soradns.url), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    incoming.pipe(passed);
  });
  proxy.listen(0, '::');
  await once(proxy, 'listening');
  return proxy;
}

it('soradns accepts an https:// store only if its certificate matches the host of the URL', async () => {
  const table = [
    ['server', '127.0.0.1', undefined],
    ['server', '[::1]', undefined],
    ['server', 'localhost', undefined],
    ['addressed', '[::1]', /IP: ::1 is not in the cert's list/],
    ['named', '127.0.0.1', /IP: 127\.0\.0\.1 is not in the cert's list/],
    ['elsewhere', 'localhost', /Host: localhost\. is not in the cert's altnames/],
  ] as const;
  for (const [certificate, host, refusal] of table) {
    const proxy = await startTlsProxy(certificate);
    const { port } = proxy.address() as AddressInfo;
    const args = ['ls', '--store', `https://${host}:${port}`];
    try {
      const ran = await spawnCli(args, { NODE_EXTRA_CA_CERTS: certificates.path('ca.pem') });
      const what = `${certificate} at ${host}: ${ran.stdout}${ran.stderr}`;
      if (refusal === undefined) {
        assert.equal(ran.code, 0, what);
        assert.match(ran.stdout, /^a\.skydns\.local\. +192\.0\.2\.1/m, what);
        // Older Node versions warn about a server name here and refuse it later.
        assert.equal(ran.stderr, '', what);
      } else {
        assert.notEqual(ran.code, 0, what);
        assert.match(ran.stderr, refusal, what);
      }
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  }
});
