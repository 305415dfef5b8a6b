/** `soradns cache`: what it prints about a server's cache, and flushing it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { callCli } from '../support/cli.ts';
import { query, startTestServer, type TestServer, WITH_TOKEN } from '../support/server.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';
import { question } from '../support/zone.ts';

let upstream: TestUpstream;
let server: TestServer;
let env: Record<string, string>;

before(async () => {
  upstream = await startUpstream({
    records: ['www.outside.test 300 A 192.0.2.1', 'ftp.outside.test 300 A 192.0.2.2'],
  });
  server = await startTestServer({
    nameservers: `127.0.0.1:${upstream.port}`,
    'no-rec': false,
  });
  env = {
    SORADNS_CACHE_URL: `http://127.0.0.1:${server.http?.port}`,
    SORADNS_TOKEN: WITH_TOKEN.Authorization.replace('Bearer ', ''),
  };
});
after(async () => {
  await server.close();
  await upstream.close();
});

async function warm(...names: readonly string[]): Promise<void> {
  for (const name of names)
    for (let i = 0; i < 3; i++) await query(server.dns, question(name, 'A'));
}

describe('soradns cache', () => {
  it('show prints the answers, the memory and the hits', async () => {
    await warm('www.outside.test');
    const { code, stdout, stderr } = await callCli(['cache', 'show'], { env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^answers: 1$/m);
    assert.match(stdout, /^questions answered from the cache: 2$/m);
    const json = await callCli(['cache', 'show', '--json'], { env });
    assert.equal(JSON.parse(json.stdout).answers, 1);
  });

  it('flush forgets the answers about a name, or all of them', async () => {
    await warm('www.outside.test', 'ftp.outside.test');
    const flush = async (...words: readonly string[]) =>
      (await callCli(['cache', 'flush', ...words], { env })).stdout;
    assert.equal(await flush('nothing.test'), 'flushed answers: 0\n');
    assert.equal(await flush('FTP.outside.test.'), 'flushed answers: 1\n');
    assert.equal(await flush('-q'), '1\n');
    assert.equal(await flush('--json'), '{"flushed":0}\n');
    await warm('www.outside.test');
    assert.equal(await flush('.'), 'flushed answers: 1\n');
    const before = upstream.queries.length;
    await warm('www.outside.test');
    assert.equal(upstream.queries.length, before + 1);
  });

  it('A mistake is named with the exit code of its kind', async () => {
    const cases: [string[], number, RegExp][] = [
      [['cache', 'flush', 'a..b'], 2, /is not a domain name/],
      [['cache', 'flush', ''], 2, /"": is not a domain name/],
      [['cache', 'show', 'www.outside.test'], 2, /unexpected argument/],
      [['cache', 'empty'], 2, /cache: empty is not one of show, flush/],
      [['cache', 'show', '--url', 'nonsense'], 2, /--url: .* is not a URL/],
      [['cache', 'show', '--url', 'http://127.0.0.1:1'], 4, /ECONNREFUSED.*--url/],
    ];
    for (const [args, expected, message] of cases) {
      const { code, stderr } = await callCli(args, { env });
      assert.equal(code, expected, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, message);
    }
    const stranger = { ...env, SORADNS_TOKEN: 'wrong' };
    const { code, stderr } = await callCli(['cache', 'flush'], { env: stranger });
    assert.equal(code, 6, stderr);
    assert.match(stderr, /the token is not this server's/);
  });

  it('A server without a cache says so', async (t) => {
    const bare = await startTestServer({ 'cache-memory': '0' });
    t.after(() => bare.close());
    const url = `http://127.0.0.1:${bare.http?.port}`;
    const { code, stderr } = await callCli(['cache', 'show', '--url', url], { env });
    assert.equal(code, 3);
    assert.match(stderr, /a server without a cache/);
  });
});
