/** `soradns query-alias` against a server with Consul's names. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { EXIT_CODES } from '../../src/app/process/failure.ts';
import { type CliResult, callCli } from '../support/cli.ts';
import { clientEnv, query, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';
import { question, text } from '../support/zone.ts';

describe('query-alias', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      'consul-domain': 'consul',
      'consul-base': 'east.skydns.local',
      'consul-dc': ['west=west.skydns.local'],
    });
  });
  after(() => server.close());

  const run = (...args: readonly string[]): Promise<CliResult> =>
    callCli(['query-alias', ...args], { env: clientEnv(server) });
  const set = (name: string, host: string): Promise<CliResult> =>
    callCli(['set', name, '--host', host], { env: clientEnv(server) });

  it('An alias that is set is listed and answered, until it is deleted', async () => {
    await set('1.redis.west.skydns.local', '10.0.0.1');
    const done = await run('set', 'Cache', '--service', 'redis', '--then', 'east,west');
    assert.deepEqual([done.code, done.stdout], [0, 'set cache\n']);
    const listed = await run('ls');
    assert.match(listed.stdout, /^ID +SERVICE +TAG +THEN\ncache +redis +- +east, west\n$/);
    const answered = async (): Promise<string> => {
      const { answer } = await query(server.dns, question('cache.query.consul.', 'A'));
      return text(answer).join();
    };
    const expected = 'cache.query.consul. 3600 IN A 10.0.0.1';
    await until('it is answered', async () => (await answered()) === expected);
    const rm = await run('rm', 'CACHE', '--json');
    assert.deepEqual([rm.code, rm.stdout], [0, '{"id":"cache"}\n']);
    await until('it is gone', async () => (await answered()) === '');
    assert.equal((await run('ls')).stdout, '');
  });

  it('JSON has the alias with its key, and a listed alias with its fields', async () => {
    const done = await run('set', 'a', '--service', 'x.y', '--tag', 'v1', '--json');
    assert.deepEqual(JSON.parse(done.stdout), {
      id: 'a',
      key: '/skydns-query/a',
      service: 'x.y',
      tag: 'v1',
    });
    const listed = JSON.parse((await run('ls', '--json')).stdout);
    assert.deepEqual(listed, { id: 'a', service: 'x.y', tag: 'v1', datacenters: [] });
    assert.equal((await run('ls', '--quiet')).stdout, 'a\n');
    assert.equal((await run('rm', 'a', '--quiet')).stdout, '');
  });

  const MISTAKES: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [['set'], /set: needs an id/],
    [['set', 'a'], /set: needs --service/],
    [['set', 'a.b', '--service', 'x'], /a\.b: must be one label/],
    [['set', 'a', '--service', 'x..y'], /--service: must be a name/],
    [['set', 'a', '--service', 'x', '--tag', ''], /--tag: must be a text/],
    [['set', 'a', '--service', 'x', '--then', 'a.b'], /--then: must be a list/],
    [['ls', 'a'], /a: unexpected argument/],
    [['rm'], /rm: needs an id/],
    [['rm', 'a', '--tag', 'x'], /--tag: is an option of set/],
  ];
  for (const [args, message] of MISTAKES) {
    it(`A wrong use of query-alias is refused (${args.join(' ')})`, async () => {
      const { code, stderr } = await run(...args);
      assert.equal(code, EXIT_CODES.usage);
      assert.match(stderr, message);
    });
  }

  it('An alias that does not exist cannot be deleted', async () => {
    const { code, stderr } = await run('rm', 'nothing');
    assert.equal(code, EXIT_CODES.not_found);
    assert.match(stderr, /nothing: does not exist/);
  });
});
