/** TLS to a real etcd: which certificates are valid for which endpoint, and what the client sends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer, type TLSSocket } from 'node:tls';
import { serverNameOf } from '../../src/store/etcd/pacedConnection.ts';
import { StoreError, type StoreErrorCode } from '../../src/store/store.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { type Etcd, startEtcd, withEtcdStore } from '../support/etcd.ts';
import { ETCD_VERSIONS } from '../support/etcdVersions.ts';
import { startProxy } from '../support/proxy.ts';
import { assertCode, firstBatch } from '../support/storeCalls.ts';
import { until } from '../support/until.ts';

const PREFIX = '/skydns/';
const KEY = `${PREFIX}local/a`;

const isCode = (code: StoreErrorCode) => (error: unknown) => assertCode(error, code);

let certificates: Certificates;
before(() => {
  certificates = makeCertificates();
});
after(() => certificates.remove());

describe('etcd versions', { concurrency: 3 }, () => {
  for (const { title, options, command } of ETCD_VERSIONS)
    describe(title, options, () => overTls(command));
});

function overTls(command: string): void {
  let etcd: Etcd;
  let strict: Etcd;
  before(async () => {
    const { path } = certificates;
    const tls = { ca: path('ca.pem'), cert: path('server.pem'), key: path('server-key.pem') };
    etcd = await startEtcd({ command, tls });
    strict = await startEtcd({ command, tls: { ...tls, clientAuth: true } });
  });
  after(() => Promise.all([etcd.stop(), strict.stop()]));

  it('The etcd store reads, writes and watches over TLS', async () => {
    const options = { endpoints: [etcd.endpoint], tls: { ca: certificates.pem('ca.pem') } };
    await withEtcdStore(options, async (store) => {
      assert.ok((await store.put(KEY, Buffer.from('1'))).done);
      assert.notEqual(await firstBatch(store, PREFIX), undefined);
      assert.match(store.label, /^etcds:/);
    });
  });

  it('The etcd store refuses a member whose CA is another or unknown to the system', async () => {
    const stranger = { endpoints: [etcd.endpoint], tls: { ca: certificates.pem('stranger.pem') } };
    const system = { endpoints: [`https://${etcd.endpoint}`] };
    for (const options of [stranger, system]) {
      await withEtcdStore(options, async (store) => {
        await assert.rejects(store.get(KEY), isCode('denied'));
        await assert.rejects(firstBatch(store, PREFIX), isCode('denied'));
      });
    }
  });

  it('A member that requires a client certificate gets it and refuses a store without one', async () => {
    const ca = certificates.pem('ca.pem');
    const client = {
      cert: certificates.pem('client.pem'),
      key: certificates.pem('client-key.pem'),
    };
    const { endpoint } = strict;
    await withEtcdStore({ endpoints: [endpoint], tls: { ca, ...client } }, async (store) => {
      assert.ok((await store.put(KEY, Buffer.from('1'))).done);
    });
    await withEtcdStore({ endpoints: [endpoint], tls: { ca } }, (store) =>
      assert.rejects(store.get(KEY), (error) => {
        assert.ok(error instanceof StoreError);
        // The error of a refusal after the handshake depends on whether the client reads the alert or the close first.
        assert.match(error.code, /denied|unavailable/);
        return true;
      }),
    );
  });

  it('The etcd store reports a TLS port that it reaches in plain text as unavailable', () =>
    withEtcdStore({ endpoints: [`http://${etcd.endpoint}`], callTimeoutMs: 2_000 }, (store) =>
      assert.rejects(store.get(KEY), isCode('unavailable')),
    ));
}

describe('certificates of members', () => {
  /** Certificate -> host -> the refusal; undefined: the certificate is valid for that host. */
  const TABLE: Readonly<Record<string, Readonly<Record<string, RegExp | undefined>>>> = {
    server: { '127.0.0.1': undefined, '[::1]': undefined, localhost: undefined },
    addressed: {
      '127.0.0.1': undefined,
      '[::1]': /its certificate is not for ::1: its subjectAltName does not list IP:::1$/,
      localhost: /its certificate is not for localhost: .* does not list DNS:localhost$/,
    },
    named: {
      '127.0.0.1': /its certificate is not for 127\.0\.0\.1: .* does not list IP:127\.0\.0\.1$/,
      '[::1]': /its certificate is not for ::1: .* does not list IP:::1$/,
      localhost: undefined,
    },
    // A common name is never valid for an address.
    bare: { '127.0.0.1': /is not for 127\.0\.0\.1: .* does not list IP:127\.0\.0\.1$/ },
    elsewhere: {
      '127.0.0.1': /is not for 127\.0\.0\.1: .* does not list IP:127\.0\.0\.1$/,
      localhost: /is not for localhost: .* does not list DNS:localhost$/,
      // A form of an address that only the system's resolver accepts.
      '127.1': /its certificate is not for (?:127\.1: .*|an address in this form: .*)$/,
    },
    nameless: { localhost: /is not for this host: its subjectAltName lists no DNS name$/ },
  };

  let etcd: Etcd;
  let shown: string;
  before(async () => {
    shown = certificates.path('shown.pem');
    show('server');
    const tls = { ca: certificates.path('ca.pem'), cert: shown, key: shown };
    etcd = await startEtcd({ tls, alsoIpv6: true });
  });
  after(() => etcd.stop());

  /** etcd reads its certificate for each connection, and uses this one from now on. */
  function show(name: string): void {
    const pem = [certificates.pem(`${name}.pem`), certificates.pem(`${name}-key.pem`)];
    writeFileSync(`${shown}.new`, Buffer.concat(pem));
    renameSync(`${shown}.new`, shown);
  }

  for (const [name, hosts] of Object.entries(TABLE)) {
    for (const [host, refusal] of Object.entries(hosts)) {
      const verdict = refusal === undefined ? 'taken' : 'refused';
      it(`The member at ${host} with the certificate ${name} is ${verdict}`, async () => {
        show(name);
        const endpoint = etcd.endpoint.replace('127.0.0.1', host);
        const options = { endpoints: [endpoint], tls: { ca: certificates.pem('ca.pem') } };
        await withEtcdStore(options, async (store) => {
          if (refusal === undefined) {
            await store.get(KEY);
            assert.notEqual(await firstBatch(store, PREFIX), undefined);
            return;
          }
          for (const attempt of [store.get(KEY), firstBatch(store, PREFIX)]) {
            await assert.rejects(attempt, (error) => {
              assertCode(error, 'denied');
              assert.match(String(error), refusal);
              return true;
            });
          }
        });
      });
    }
  }
});

/** A server that finishes the handshake and then stays silent. */
class SilentServer {
  /** The server name of each connection, or false. */
  readonly serverNames: (string | false)[] = [];
  readonly #sockets = new Set<TLSSocket>();
  readonly #server = createServer({
    cert: certificates.pem('server.pem'),
    key: certificates.pem('server-key.pem'),
  });

  /** `host:port` for clients. */
  async listen(host: string): Promise<string> {
    this.#server.on('secureConnection', (socket: TLSSocket & { servername: string | false }) => {
      this.serverNames.push(socket.servername);
      this.#sockets.add(socket);
      socket.resume().on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(0, host.replace(/[[\]]/g, ''));
    await once(this.#server, 'listening');
    return `${host}:${(this.#server.address() as AddressInfo).port}`;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

describe('TLS server name', () => {
  async function told(host: string): Promise<string | false | undefined> {
    const server = new SilentServer();
    const endpoints = [await server.listen(host)];
    const tls = { ca: certificates.pem('ca.pem') };
    try {
      await withEtcdStore({ endpoints, tls, callTimeoutMs: 1_000 }, (store) =>
        assert.rejects(store.get(KEY), isCode('unavailable')),
      );
      return server.serverNames[0];
    } finally {
      server.close();
    }
  }

  it('The TLS server name is the host name of the endpoint and is omitted for an IP address', async () => {
    assert.equal(await told('localhost'), 'localhost');
    assert.equal(await told('127.0.0.1'), false);
    assert.equal(await told('[::1]'), false);
  });

  it('The TLS server name has no trailing dot, which etcd does not accept', () => {
    assert.equal(serverNameOf('etcd.example.'), 'etcd.example');
    assert.equal(serverNameOf('etcd.example'), 'etcd.example');
    for (const address of ['10.0.0.1', '10.0.0.1.', '2001:db8::1', '::ffff:10.0.0.1'])
      assert.equal(serverNameOf(address), '', address);
  });
});

describe('a connection over TLS', () => {
  it('The etcd store closes its connections to a member that completes TLS and then sends nothing', {
    timeout: 60_000,
  }, async () => {
    const server = new SilentServer();
    const endpoints = [await server.listen('127.0.0.1')];
    const options = { endpoints, tls: { ca: certificates.pem('ca.pem') }, callTimeoutMs: 500 };
    try {
      await withEtcdStore(options, async (store) => {
        for (let i = 0; i < 3; i++) await assert.rejects(store.get(KEY), isCode('unavailable'));
        assert.ok(server.serverNames.length >= 3);
      });
      await until('all its connections are ended', () => server.connections === 0);
    } finally {
      server.close();
    }
  });

  it('A watch over TLS continues beyond the connection timeout', { timeout: 60_000 }, async () => {
    const { path } = certificates;
    const files = { ca: path('ca.pem'), cert: path('server.pem'), key: path('server-key.pem') };
    const etcd = await startEtcd({ tls: files });
    const proxy = await startProxy(etcd.endpoint);
    const tls = { ca: certificates.pem('ca.pem') };
    try {
      await withEtcdStore(
        { endpoints: [proxy.endpoint], tls, callTimeoutMs: 1_000 },
        async (store) => {
          const watch = store.watch(PREFIX, 1, new AbortController().signal);
          const batches = watch[Symbol.asyncIterator]();
          await batches.next();
          const connections = proxy.connections();
          await sleep(3_000);
          assert.equal(proxy.connections(), connections);
          assert.ok((await store.put(KEY, Buffer.from('1'))).done);
          const { value } = await batches.next();
          assert.equal(value?.changes.length, 1);
          await batches.return?.();
        },
      );
    } finally {
      await proxy.close();
      await etcd.stop();
    }
  });
});
