/** A server whose upstreams are reached over TLS: unbound that ends under its questions, and one that is not trusted. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { dig } from '../support/dig.ts';
import { freePort } from '../support/freePort.ts';
import { printed, questionOf } from '../support/messages.ts';
import { Exposition } from '../support/prometheus.ts';
import { query, startTestServer, type TestServer } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { ScriptedTlsUpstream } from '../support/tlsUpstream.ts';
import { hasUnbound, startUnbound, type Unbound, type UnboundOptions } from '../support/unbound.ts';
import { until } from '../support/until.ts';

const QUESTIONS = 100;
const needsUnbound = hasUnbound() ? {} : { skip: 'unbound is not installed' };
const needsRoot = process.getuid?.() === 0 ? {} : { skip: 'optional: needs root' };

describe('a server with upstreams over TLS', () => {
  let certificates: Certificates;
  let folder: string;
  before(async () => {
    certificates = makeCertificates();
    folder = await newTempDir();
  });
  after(async () => {
    certificates?.remove();
    await removeDir(folder);
  });

  async function serverFor(t: TestContext, ca: string, nameservers: string): Promise<TestServer> {
    const server = await startTestServer({
      'no-rec': false,
      'upstream-ca': certificates.path(`${ca}.pem`),
      nameservers,
    });
    t.after(() => server.close());
    return server;
  }

  async function unboundFor(
    t: TestContext,
    options: Pick<UnboundOptions, 'server' | 'sections'>,
  ): Promise<Unbound> {
    const port = await freePort();
    const unbound = startUnbound({
      ...{ port, folder, ...options },
      server: [
        `tls-port: ${port}`,
        `tls-service-key: "${certificates.path('server-key.pem')}"`,
        `tls-service-pem: "${certificates.path('server.pem')}"`,
        ...options.server,
      ],
    });
    t.after(() => unbound.kill());
    return unbound;
  }

  it(
    'A hundred questions whose unbound is killed are answered by the second upstream within 4 s',
    needsUnbound,
    async (t) => {
      const blackHole = createSocket('udp4').bind(0, '127.0.0.1');
      t.after(() => blackHole.close());
      await once(blackHole, 'listening');
      let waiting = 0;
      blackHole.on('message', () => waiting++);
      const [silent, second] = await Promise.all([
        unboundFor(t, {
          server: [
            'local-zone: "ready.example." redirect',
            'local-data: "ready.example. A 192.0.2.1"',
          ],
          sections: [
            'forward-zone:',
            '  name: "."',
            `  forward-addr: 127.0.0.1@${blackHole.address().port}`,
          ],
        }),
        unboundFor(t, {
          server: ['local-zone: "example." redirect', 'local-data: "example. A 192.0.2.2"'],
        }),
      ]);
      const server = await serverFor(
        t,
        'ca',
        `tls://127.0.0.1:${silent.port},tls://127.0.0.1:${second.port}#localhost`,
      );
      let tries = 0;
      await until('unbound answers over TLS', async () => {
        const { answer } = await query(server.dns, questionOf(`x${tries++}.ready.example`));
        return answer.some((rr) => printed([rr]).join().endsWith('192.0.2.1'));
      });
      const asked = Array.from({ length: QUESTIONS }, async (_, i) => {
        const startedMs = performance.now();
        const reply = await query(server.dns, questionOf(`n${i}.example`));
        return { reply, tookMs: performance.now() - startedMs };
      });
      await until('unbound has the questions', () => waiting >= QUESTIONS / 2);
      await silent.kill();
      for (const [i, { reply, tookMs }] of (await Promise.all(asked)).entries()) {
        assert.deepEqual(printed(reply.answer), [`n${i}.example. 3600 IN A 192.0.2.2`]);
        assert.ok(tookMs < 4_000, `${tookMs} ms`);
      }
    },
  );

  it(
    'A server tells of an upstream without a trusted certificate once, and sends nothing to its port 53',
    needsRoot,
    async (t) => {
      const address = '127.77.85.3';
      const upstream = await ScriptedTlsUpstream.start(certificates, {}, address);
      const udp = createSocket('udp4').bind(53, address);
      const tcp = createServer().listen(53, address);
      await Promise.all([once(udp, 'listening'), once(tcp, 'listening')]);
      let plain = 0;
      udp.on('message', () => plain++);
      tcp.on('connection', () => plain++);
      t.after(async () => {
        udp.close();
        tcp.close();
        await upstream.close();
      });
      const server = await serverFor(t, 'stranger', `tls://${address}:${upstream.port}#localhost`);
      for (let i = 0; i < 10; i++) {
        const { status, text } = await dig(server.dns, `n${i}.example`);
        assert.equal(status, 'SERVFAIL');
        assert.match(text, /EDE: 22 /);
      }
      const warnings = server.lines.filter(
        ({ message }) => message === 'no TLS connection to upstream',
      );
      assert.equal(warnings.length, 1);
      assert.equal(warnings[0]?.fields.upstream, `tls://${address}:${upstream.port}#localhost`);
      assert.deepEqual([upstream.queries.length, upstream.plainPackets, plain], [0, 0, 0]);
    },
  );

  it('The metrics of a server show that no connection is opened for each question', async (t) => {
    const upstream = await ScriptedTlsUpstream.start(certificates);
    t.after(() => upstream.close());
    const server = await serverFor(t, 'ca', `tls://127.0.0.1:${upstream.port}`);
    for (let i = 0; i < 50; i++) {
      const reply = await query(server.dns, questionOf(`n${i}.example`));
      assert.equal(reply.rcode, 0);
    }
    const page = await fetch(`http://127.0.0.1:${server.http?.port}/metrics`);
    const metrics = new Exposition(await page.text());
    const opened = (result: string) =>
      metrics.value('soradns_forward_tls_connections_total', { result });
    assert.deepEqual(['new', 'resumed', 'failed'].map(opened), [1, 0, 0]);
  });
});
