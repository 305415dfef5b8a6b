/** An ACME server validates names of soradns: the records come from lego's requests, and from certbot's hook of the page. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { type AcmeClient, createAcmeClient, type DnsChallenge } from '../support/acmeClient.ts';
import { makeCertificates } from '../support/certificates.ts';
import { shellBlocks } from '../support/pages.ts';
import { startPebble } from '../support/pebble.ts';
import { startTestServer, type TestServer, WITH_TOKEN } from '../support/server.ts';
import { withTempDir } from '../support/tempDir.ts';

const run = promisify(execFile);
const isMissing = spawnSync('pebble', ['-h']).error !== undefined;
const skip = isMissing ? 'not installed: pebble' : false;
const TOKEN = WITH_TOKEN.Authorization.replace('Bearer ', '');

interface Scene {
  readonly server: TestServer;
  readonly client: AcmeClient;
  readonly folder: string;
  /** Runs a block of the page with this server's address and token. */
  adapted(block: string): string;
}

/** A server for example.org, and an ACME server that asks it. */
async function withScene(body: (scene: Scene) => Promise<void>): Promise<void> {
  const certificates = makeCertificates();
  const server = await startTestServer({ domain: 'example.org' });
  try {
    await withTempDir(async (folder) => {
      const files = {
        certificate: certificates.path('addressed.pem'),
        key: certificates.path('addressed-key.pem'),
        ca: certificates.path('ca.pem'),
      };
      const pebble = await startPebble(server.dns, folder, files);
      try {
        const client = await createAcmeClient(pebble.directory, pebble.ca);
        const tokenFile = join(folder, 'token');
        writeFileSync(tokenFile, `${TOKEN}\n`);
        const adapted = (block: string): string =>
          block
            .replaceAll('http://127.0.0.1:4001', `http://127.0.0.1:${server.http?.port}`)
            .replaceAll('/run/secrets/soradns-token', tokenFile);
        await body({ server, client, folder, adapted });
      } finally {
        await pebble.stop();
      }
    });
  } finally {
    await server.close();
    certificates.remove();
  }
}

const [variables = '', hook = ''] = shellBlocks('docs/http.md', 'ACME challenges');

/** Sends what lego's provider `httpreq` sends, configured by its variables. */
async function httpreq(
  action: 'present' | 'cleanup',
  { fqdn, value }: DnsChallenge,
  settings: string,
): Promise<void> {
  const { stdout } = await run('sh', ['-ec', `set -a\n${settings}\nexec env`]);
  const text = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
  const { stdout: file } = await run('cat', [text('HTTPREQ_PASSWORD_FILE')]);
  const userAndPassword = `${text('HTTPREQ_USERNAME')}:${file.replace(/\n$/, '')}`;
  const response = await fetch(`${text('HTTPREQ_ENDPOINT')}/${action}`, {
    method: 'POST',
    headers: {
      Accept: 'application/json',
      'Content-Type': 'application/json',
      Authorization: `Basic ${Buffer.from(userAndPassword).toString('base64')}`,
    },
    body: JSON.stringify({ fqdn, value }),
  });
  assert.equal(Math.floor(response.status / 100), 2, await response.text());
}

test('An ACME server validates a name and its wildcard by the records that lego’s provider httpreq stores', {
  skip,
}, async () => {
  await withScene(async ({ client, adapted }) => {
    const settings = adapted(variables);
    const challenges = await client.order(['web.example.org', '*.web.example.org']);
    assert.deepEqual(new Set(challenges.map(({ fqdn }) => fqdn)).size, 1);
    for (const challenge of challenges) await httpreq('present', challenge, settings);
    for (const challenge of challenges) assert.equal(await challenge.validate(), 'valid');
    for (const challenge of challenges) await httpreq('cleanup', challenge, settings);
    const [unset] = await client.order(['other.example.org']);
    assert.equal(await unset?.validate(), 'invalid', 'the ACME server looks at the records');
  });
});

test('An ACME server validates a name by the record that the page’s hook for certbot stores', {
  skip,
}, async () => {
  await withScene(async ({ client, folder, adapted }) => {
    const path = join(folder, 'soradns-hook');
    writeFileSync(path, adapted(hook));
    chmodSync(path, 0o755);
    const [challenge] = await client.order(['example.org']);
    assert.ok(challenge);
    const env = {
      ...process.env,
      CERTBOT_DOMAIN: 'example.org',
      CERTBOT_VALIDATION: challenge.value,
    };
    await run(path, ['present'], { env });
    assert.equal(await challenge.validate(), 'valid');
    await run(path, ['cleanup'], { env });
    await assert.rejects(run(path, ['present'], { env: { ...env, CERTBOT_DOMAIN: 'other.org' } }));
  });
});
