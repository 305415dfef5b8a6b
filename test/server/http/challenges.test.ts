/** ACME's challenges over HTTP: what lego's `httpreq` sends, what is refused, and what the store then has. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Type } from '../../../src/dns/rr.ts';
import { delegateStore } from '../../../src/store/delegate.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { StoreError } from '../../../src/store/store.ts';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { type Received, send } from '../../support/httpRequest.ts';
import { query, startTestServer, WITH_TOKEN } from '../../support/server.ts';

const DIGEST = 'LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM';
const OTHER_DIGEST = 'gfj9Xq-Rg85nM_yVHdWcWpN9Nbq2KQoNhe7kZzC0dcE';
const WEB = '_acme-challenge.web.skydns.local.';

const DOMAINS = [
  ['skydns', 'local'],
  ['example', 'org'],
];

type HttpOptions = NonNullable<Parameters<typeof startHttp>[0]>;

async function withHttp(
  body: (server: RunningHttp) => Promise<void>,
  options: HttpOptions = {},
): Promise<void> {
  const challenges = { prefix: '/skydns/', domains: () => DOMAINS };
  const server = await startHttp({ challenges, token: 'secret', ...options });
  try {
    await body(server);
  } finally {
    await server.stop();
  }
}

function post(
  { url }: Pick<RunningHttp, 'url'>,
  action: string,
  body: unknown,
  headers: Record<string, string> = { Authorization: 'Bearer secret' },
): Promise<Received> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const json = {
    'content-type': 'application/json',
    'content-length': `${Buffer.byteLength(text)}`,
  };
  return send(url, {
    method: 'POST',
    path: `/acme/${action}`,
    body: text,
    headers: { ...json, ...headers },
  });
}

async function keysOf({ store }: RunningHttp): Promise<string[]> {
  const keys: string[] = [];
  for await (const { entries } of store.snapshot('/')) keys.push(...entries.map(({ key }) => key));
  return keys;
}

const messageOf = ({ json }: Received): string =>
  (json as { error: { message: string } }).error.message;

test('Two challenges of one name are TXT records of that name until each is cleaned up', async () => {
  const server = await startTestServer({ domain: 'skydns.local' });
  const url = `http://127.0.0.1:${server.http?.port}`;
  const texts = async (): Promise<string[]> => {
    const qname = ['_acme-challenge', 'web', 'skydns', 'local'];
    const reply = await query(server.dns, { qname, qtype: Type.TXT, qclass: 1 });
    assert.ok(reply.answer.every(({ ttlSeconds }) => ttlSeconds === 5));
    return reply.answer
      .map(({ rdata }) => (rdata.kind === 'txt' ? rdata.strings.join('') : rdata.kind))
      .sort();
  };
  try {
    for (const value of [DIGEST, OTHER_DIGEST, DIGEST]) {
      const { status } = await post({ url }, 'present', { fqdn: WEB, value }, WITH_TOKEN);
      assert.equal(status, 200);
    }
    assert.deepEqual(await texts(), [DIGEST, OTHER_DIGEST]);
    await post({ url }, 'cleanup', { fqdn: WEB, value: DIGEST }, WITH_TOKEN);
    assert.deepEqual(await texts(), [OTHER_DIGEST]);
    await post({ url }, 'cleanup', { fqdn: WEB, value: OTHER_DIGEST }, WITH_TOKEN);
    assert.deepEqual(await texts(), []);
  } finally {
    await server.close();
  }
});

test('A challenge neither hides the service of the name above it nor counts in its answers', async () => {
  const server = await startTestServer({ domain: 'skydns.local' });
  const url = `http://127.0.0.1:${server.http?.port}`;
  const ask = async (qtype: number): Promise<number> => {
    const qname = ['web', 'skydns', 'local'];
    return (await query(server.dns, { qname, qtype, qclass: 1 })).answer.length;
  };
  try {
    await send(url, {
      method: 'PUT',
      path: '/v2/keys/skydns/local/skydns/web',
      body: 'value={"host":"192.0.2.1"}',
      headers: WITH_TOKEN,
    });
    await post({ url }, 'present', { fqdn: WEB, value: DIGEST }, WITH_TOKEN);
    assert.deepEqual([await ask(Type.A), await ask(Type.TXT)], [1, 0]);
  } finally {
    await server.close();
  }
});

test('A challenge is a value of its own with a lease of an hour', async () => {
  await withHttp(async (server) => {
    const { status, json } = await post(server, 'present', { fqdn: WEB, value: DIGEST });
    assert.equal(status, 200);
    const { key, fqdn } = json as { key: string; fqdn: string };
    assert.equal(fqdn, WEB);
    assert.match(key, /^\/skydns\/local\/skydns\/web\/_acme-challenge\/acme-[0-9a-f]{16}$/);
    const { entry } = await server.store.get(key);
    assert.deepEqual(JSON.parse(Buffer.from(entry?.value ?? '').toString('utf8')), {
      rr: [`TXT "${DIGEST}"`],
      ttl: 5,
    });
    const left = (entry?.lease?.expiresAtMs ?? 0) - performance.now();
    assert.ok(left > 3_500_000 && left <= 3_600_000, `${left} ms`);
  });
});

test('Removing a challenge that the store does not have succeeds', async () => {
  await withHttp(async (server) => {
    const { status } = await post(server, 'cleanup', { fqdn: WEB, value: DIGEST });
    assert.equal(status, 200);
  });
});

test('A challenge needs the token, as Bearer or as the password of Basic under any user name', async () => {
  const basic = (text: string) => ({
    Authorization: `Basic ${Buffer.from(text).toString('base64')}`,
  });
  await withHttp(
    async (server) => {
      const challenge = { fqdn: WEB, value: DIGEST };
      for (const headers of [{}, basic('lego:wrong'), { Authorization: 'Bearer wrong' }]) {
        const { status } = await post(server, 'present', challenge, headers);
        assert.equal(status, 401, JSON.stringify(headers));
      }
      assert.deepEqual(await keysOf(server), []);
      const { status } = await post(server, 'present', challenge, basic('lego:secret'));
      assert.equal(status, 200);
      assert.equal((await keysOf(server)).length, 1);
    },
    { trustedUsers: new Set() },
  );
});

test('A challenge outside the names that ACME uses is refused with the reason, and nothing is stored', async () => {
  const refused: readonly [fqdn: string, status: number, reason: RegExp][] = [
    ['web.skydns.local.', 403, /does not begin with _acme-challenge/],
    ['x._acme-challenge.web.skydns.local.', 403, /does not begin/],
    ['_acme-challenge.example.com.', 403, /none of the served domains/],
    ['_acme-challenge.local.', 403, /none of the served domains/],
    ['_acme-challenge.', 403, /none of the served domains/],
    ['_acme-challenge.dns.skydns.local.', 403, /dns\.skydns\.local\. .*reserved/],
    ['_acme-challenge.a.ns.dns.example.org.', 403, /dns\.example\.org\. .*reserved/],
    ['_acme-challenge.*.skydns.local.', 400, /without wildcards/],
    ['_acme-challenge.ANY.skydns.local.', 400, /without wildcards/],
    ['_acme-challenge..skydns.local.', 400, /domain name/],
    ['', 403, /does not begin/],
    ['_acme-challenge.a/b.skydns.local.', 400, /slash/],
    [
      `_acme-challenge.${`${'b'.repeat(60)}.`.repeat(3)}${'c'.repeat(30)}.skydns.local.`,
      400,
      /too long/,
    ],
  ];
  await withHttp(async (server) => {
    for (const [fqdn, status, reason] of refused) {
      const reply = await post(server, 'present', { fqdn, value: DIGEST });
      assert.equal(reply.status, status, fqdn);
      assert.match(messageOf(reply), reason, fqdn);
    }
    assert.deepEqual(await keysOf(server), []);
  });
});

test('A challenge may be at a domain itself, in any case, and without the final dot', async () => {
  const fqdns = ['_ACME-challenge.Example.ORG', '_acme-challenge.skydns.local.'];
  await withHttp(async (server) => {
    for (const fqdn of fqdns) {
      assert.equal((await post(server, 'present', { fqdn, value: DIGEST })).status, 200, fqdn);
    }
    const keys = (await keysOf(server)).map((key) => key.replace(/-[0-9a-f]{16}$/, ''));
    assert.deepEqual(keys.sort(), [
      '/skydns/local/skydns/_acme-challenge/acme',
      '/skydns/org/example/_acme-challenge/acme',
    ]);
  });
});

test('A body that is no challenge is refused with what is wrong with it', async () => {
  const bodies: readonly [body: unknown, status: number, reason: RegExp][] = [
    ['', 400, /not JSON/],
    ['[]', 400, /object/],
    ['{"fqdn":1,"value":2}', 400, /texts/],
    [{ domain: 'web.skydns.local', token: 't', keyAuth: 't.k' }, 400, /HTTPREQ_MODE=RAW/],
    [{ fqdn: WEB, value: 'token.thumbprint' }, 400, /43 characters/],
    [{ fqdn: WEB, value: `${DIGEST}"` }, 400, /43 characters/],
    ['x'.repeat(5000), 413, /4096 octets/],
  ];
  await withHttp(async (server) => {
    for (const [body, status, reason] of bodies) {
      const reply = await post(server, 'present', body);
      assert.equal(reply.status, status, `${reply.status} ${reply.body}`);
      assert.match(messageOf(reply), reason);
    }
    const read = await send(server.url, { path: '/acme/present' });
    assert.deepEqual([read.status, read.headers.allow], [405, 'POST']);
    assert.equal((await post(server, 'renew', { fqdn: WEB, value: DIGEST })).status, 404);
    assert.deepEqual(await keysOf(server), []);
  });
});

test('Any body gets a reply and stores nothing outside the names of challenges', async () => {
  await withHttp(async (server) => {
    const label = fc.constantFrom(
      '_acme-challenge',
      'dns',
      'ns',
      '*',
      '..',
      '/',
      'é',
      '\\046',
      'web',
    );
    const zone = fc.constantFrom('skydns.local.', 'example.org', 'config', '');
    const name = fc
      .tuple(fc.array(label, { maxLength: 4 }), zone)
      .map(([labels, apex]) => [...labels, apex].join('.'));
    const value = fc.oneof(fc.string(), fc.constant(DIGEST));
    const bodies = fc.oneof(fc.record({ fqdn: fc.oneof(fc.string(), name), value }), fc.json());
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        const { status } = await post(server, 'present', body);
        assert.ok([200, 400, 403].includes(status), String(status));
      }),
      { numRuns: 300 },
    );
    for (const key of await keysOf(server))
      assert.match(
        key,
        /^\/skydns\/(local\/skydns|org\/example)(?!\/dns)\/(.+\/)?_acme-challenge\/acme-[0-9a-f]{16}$/,
      );
  });
});

test('A store that does not answer or refuses the write makes the request fail, so that the client does not go on', async () => {
  const errors: readonly [StoreError, number][] = [
    [new StoreError('unavailable', 'etcd does not answer'), 503],
    [new StoreError('denied', 'no permission'), 403],
  ];
  for (const [error, status] of errors) {
    const fail = () => Promise.reject(error);
    const store = delegateStore(createMemoryStore(), { put: fail, delete: fail });
    await withHttp(
      async (server) => {
        for (const action of ['present', 'cleanup']) {
          const reply = await post(server, action, { fqdn: WEB, value: DIGEST });
          assert.equal(reply.status, status);
          assert.equal(messageOf(reply), error.message);
        }
      },
      { store },
    );
  }
});

test('A client without the token cannot reach the configuration through a domain named config', async () => {
  const challenges = { prefix: '/skydns/', domains: () => [['config']] };
  const configKey = '/skydns/config';
  const options = { challenges, configKey, trustedUsers: new Set([process.getuid?.() ?? 0]) };
  await withHttp(async (server) => {
    const body = { fqdn: '_acme-challenge.config.', value: DIGEST };
    assert.equal((await post(server, 'present', body, {})).status, 401);
    assert.equal((await post(server, 'present', body)).status, 200);
  }, options);
});
