/** Signed answers in the answer table: when they are used, and when they leave. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Message } from '../../src/dns/message.ts';
import { Rcode, Type } from '../../src/dns/rr.ts';
import { putServices, query, startTestServer, type TestServer } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { lacking, makeKeys } from '../support/validators.ts';
import { question } from '../support/zone.ts';

const EDNS = { udpSize: 1232, dnssecOk: true };

describe('signed answers in the table', { skip: lacking('dnssec-keygen') }, () => {
  let folder: string;
  let server: TestServer;

  before(async () => {
    folder = await newTempDir();
    makeKeys(join(folder, 'keys'), 'skydns.local');
    server = await startTestServer({ dnssec: join(folder, 'keys') });
    await putServices(server, { 'local/skydns/web/a': { host: '10.0.0.1' } });
  });
  after(async () => {
    await server?.close();
    await removeDir(folder);
  });

  const ask = (name: string, type: string): Promise<Message> =>
    query(server.dns, question(name, type), { edns: EDNS });

  /** How often the signer was asked: it is not for an answer from the table. */
  async function signings(): Promise<number> {
    const { address, port } = server.http ?? { address: '', port: 0 };
    const page = await (await fetch(`http://${address}:${port}/metrics`)).text();
    const samples = [...page.matchAll(/^soradns_dnssec_signatures_total\{.*\} (\d+)$/gm)];
    return samples.reduce((sum, [, count]) => sum + Number(count), 0);
  }

  for (const [what, type, section] of [
    ['An answer', 'A', 'answer'],
    ['A denial of a type', 'TXT', 'authority'],
  ] as const) {
    it(`${what} that was signed once comes from the table, until the name changes`, async () => {
      const first = await ask('web.skydns.local', type);
      const before = await signings();
      const second = await ask('web.skydns.local', type);
      assert.deepEqual(second[section], first[section]);
      assert.ok(second[section].some((rr) => rr.type === Type.RRSIG));
      assert.equal(await signings(), before);
      const host = type === 'A' ? '10.0.0.2' : '10.0.0.3';
      const text = type === 'A' ? '' : 'now there';
      await putServices(server, { 'local/skydns/web/b': { host, text } });
      const third = await ask('web.skydns.local', type);
      assert.ok((await signings()) > before);
      assert.ok(third.answer.some((rr) => rr.type === Type.RRSIG));
    });
  }

  it('Without DO an answer has no signatures, and a missing name is NXDOMAIN', async () => {
    await ask('web.skydns.local', 'A');
    const plain = await query(server.dns, question('web.skydns.local', 'A'));
    assert.ok(plain.answer.length > 0 && plain.answer.every(({ type }) => type === Type.A));
    const missing = await query(server.dns, question('gone.skydns.local', 'A'));
    assert.equal(missing.rcode, Rcode.NXDOMAIN);
    const denied = await ask('gone.skydns.local', 'A');
    assert.equal(denied.rcode, Rcode.NOERROR);
    assert.equal((await ask('gone.skydns.local', 'TYPE128')).rcode, Rcode.FORMERR);
  });
});
