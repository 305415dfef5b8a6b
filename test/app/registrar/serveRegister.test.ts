/** `serve --register` as a process on a fake Docker: the server and the registrar on one store, without any other part. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isLockKey } from '../../../src/registrar/leadership/lock.ts';
import { callCli } from '../../support/cli.ts';
import {
  hostAt,
  KEY,
  readyz,
  recordAt,
  useFakeDocker,
  WEB,
} from '../../support/registrarProcesses.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';
import { until } from '../../support/until.ts';

const fixture = useFakeDocker();
const PATIENCE_MS = 20_000;

/** The place that the value of the store's only lock names. */
async function placeAt(http: string): Promise<unknown> {
  const { node } = (await (await fetch(`${http}/v2/keys/registrar?recursive=true`)).json()) as {
    readonly node: KeyNode;
  };
  const [holder, ...others] = leavesOf(node).filter(({ key }) => isLockKey(key));
  assert.deepEqual(others, []);
  return JSON.parse(holder?.value ?? '').place;
}

interface KeyNode {
  readonly key: string;
  readonly value?: string;
  readonly nodes?: readonly KeyNode[];
}

function leavesOf(node: KeyNode): readonly KeyNode[] {
  return node.nodes === undefined ? [node] : node.nodes.flatMap(leavesOf);
}

describe('serve --register', () => {
  let folder: string;
  before(async () => {
    folder = await newTempDir();
  });
  after(() => removeDir(folder));

  const serve = (...args: string[]) => {
    const addresses = ['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0', '--no-rec'];
    const register = ['--register', '--register-ip', '192.0.2.1'];
    const env = { SORADNS_HTTP_TOKEN: 's3cr3t' };
    return fixture.start(['serve', ...register, ...addresses, ...args], env);
  };

  it('serve --register answers for containers from a memory store, in its own domains', async () => {
    const names = { DNS_NAME: 'web.a.example,web' };
    fixture.docker.run({ ...WEB, env: names });
    const server = serve('--store', 'memory:', '--domain', 'b.example,a.example');
    const { dns, http } = await server.logged('serving');
    await until('it is ready', async () => (await readyz(`http://${http}`)) === '200 ok');
    const [address = ''] = dns as string[];
    for (const name of ['web.a.example', 'web.b.example']) {
      let found = '';
      const ask = async () => {
        found = (await callCli(['query', '-q', name, `@${address}`])).stdout;
        return found === '192.0.2.1\n';
      };
      await until(`${name} is answered`, ask, PATIENCE_MS);
    }
    assert.equal(await server.end('SIGTERM'), 0, server.stderr());
  });

  it('serve --register follows changes of its domains in the store and by SIGHUP and keeps unaffected names', async () => {
    fixture.docker.run({ ...WEB, env: { DNS_NAME: 'web.a.example,web' } });
    const file = join(folder, 'soradns.json');
    await writeFile(file, '{"domain": ["a.example", "b.example"]}');
    const first = serve('--store', 'memory:', '--config', file);
    const http = `http://${(await first.logged('serving')).http}`;
    const web = '/skydns/example/a/web';
    const isThere = (key: string) => async () => (await hostAt(http, key)) === '192.0.2.1';
    await until('it is registered', isThere(web), PATIENCE_MS);
    const written = await recordAt(http, web);

    await writeFile(file, '{"domain": ["c.example", "a.example"]}');
    process.kill(first.pid, 'SIGHUP');
    await until(
      'the short name is in the new domain',
      isThere('/skydns/example/c/web'),
      PATIENCE_MS,
    );
    assert.deepEqual(await recordAt(http, web), written);
    await first.end();

    const second = serve('--store', 'memory:');
    const other = `http://${(await second.logged('serving')).http}`;
    await second.logged('refused');
    const body = new URLSearchParams({ value: '{"domain": "a.example"}' });
    const headers = { Authorization: 'Bearer s3cr3t' };
    const put = await fetch(`${other}/v2/keys/skydns/config`, { method: 'PUT', body, headers });
    assert.ok(put.ok, await put.text());
    await until(
      'what was refused is there',
      async () => {
        return (await hostAt(other, web)) === '192.0.2.1';
      },
      PATIENCE_MS,
    );
    const isGone = async () => (await hostAt(other, KEY)) === undefined;
    await until('what it had before is gone', isGone, PATIENCE_MS);
    await second.end();
  });

  it('serve --register adopts its names in a file store after a restart without a write', async () => {
    fixture.docker.run(WEB);
    const options = ['--store', `file:${folder}`];
    const first = serve(...options);
    const firstHttp = `http://${(await first.logged('serving')).http}`;
    await first.logged('registered');
    const written = await recordAt(firstHttp);
    const place = await placeAt(firstHttp);
    assert.match(String(place), /^[0-9a-f-]{36} .+ unix:\/\/.+/);
    await first.end('SIGKILL');
    const second = serve(...options);
    const secondHttp = `http://${(await second.logged('serving')).http}`;
    await second.logged('following docker');
    await until('it is ready', async () => (await readyz(secondHttp)) === '200 ok');
    assert.deepEqual(await recordAt(secondHttp), written);
    assert.equal(await placeAt(secondHttp), place);
    assert.equal(await second.end('SIGINT'), 0, second.stderr());
  });

  it('serve --register reports in /readyz why its registrar is not ready and has its status page', async () => {
    await fixture.docker.kill();
    const server = serve('--store', 'memory:', '--register-dry-run');
    const http = `http://${(await server.logged('serving')).http}`;
    await until('docker is missed', async () => {
      return /^503 registrar: docker: /.test(await readyz(http));
    });
    fixture.docker.run(WEB);
    await fixture.docker.listen();
    await server.logged('would register');
    await until('it is ready', async () => (await readyz(http)) === '200 ok');
    assert.equal(await hostAt(http), undefined);
    const { stdout } = await callCli(['registrar', 'status', '--json', '--registrar', http]);
    assert.equal(JSON.parse(stdout).role, 'dry-run');
    await server.end();
  });

  it('serve --register reads registrator’s metadata in compat mode', async () => {
    const labels = { SERVICE_NAME: 'shop' };
    fixture.docker.run({ name: 'a', labels, publish: ['80:80'] });
    const server = serve('--store', 'memory:', '--register-compat', 'registrator');
    const { key } = await server.logged('registered');
    assert.equal(key, '/skydns/local/skydns/shop/fakehost-a-80');
    await server.end();
  });

  it('serve without --register runs no registrar', async () => {
    const options = ['--store', 'memory:', '--addr', '127.0.0.1:0', '--http', '127.0.0.1:0'];
    const server = fixture.start(['serve', ...options]);
    const http = `http://${(await server.logged('serving')).http}`;
    const { code, stderr } = await callCli(['registrar', 'status', '--registrar', http]);
    assert.equal(code, 4);
    assert.match(stderr, /a server without --register/);
    assert.equal(fixture.docker.requests.length, 0);
    await server.end();
  });
});
