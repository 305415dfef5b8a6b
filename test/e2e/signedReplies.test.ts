/** What clients with DO get besides signatures, as dig shows it: flags, codes, and the limits on work. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Rcode } from '../../src/dns/rr.ts';
import { dig } from '../support/dig.ts';
import { putServices, query, startTestServer, type TestServer } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { lacking, makeKeys } from '../support/validators.ts';
import { question } from '../support/zone.ts';

const EDNS = { udpSize: 1232, dnssecOk: true };

async function serve(t: TestContext, options: Record<string, string> = {}): Promise<TestServer> {
  const folder = await newTempDir();
  t.after(() => removeDir(folder));
  makeKeys(folder, 'skydns.local');
  const domain = ['skydns.local.', 'plain.example.'];
  const server = await startTestServer({ domain, dnssec: folder, ...options });
  t.after(() => server.close());
  await putServices(server, {
    'local/skydns/web': { host: '10.0.0.1' },
    'example/plain/web': { host: '10.0.0.2' },
  });
  return server;
}

/** What dig prints about a reply to a client with DO. */
async function digged({ dns }: TestServer, ...words: string[]): Promise<string> {
  return (await dig(dns, '+norecurse', '+dnssec', ...words)).text;
}

/** The numbers of the signer in /metrics. */
async function signaturesOf({ http }: TestServer): Promise<Record<string, number>> {
  const page = await (await fetch(`http://${http?.address}:${http?.port}/metrics`)).text();
  const samples = page.matchAll(/^soradns_dnssec_signatures_total\{result="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...samples].map(([, result = '', count]) => [result, Number(count)]));
}

describe('replies to clients with DO', { skip: lacking('dig', 'dnssec-keygen') }, () => {
  it('CO gets NXDOMAIN for a missing name, and is echoed by every reply about a signed zone alone', async (t) => {
    const server = await serve(t);
    const co = '+coflag';
    const missing = await digged(server, 'gone.skydns.local', co);
    assert.match(missing, /status: NXDOMAIN/);
    assert.match(missing, /flags: do co; udp/);
    assert.match(missing, /NSEC\t\\000\.gone\.skydns\.local\. RRSIG NSEC TYPE128/);
    const without = await digged(server, 'gone.skydns.local');
    assert.match(without, /status: NOERROR/);
    assert.match(without, /flags: do; udp/);
    // The second answer comes from the table.
    for (const type of ['A', 'A', 'TXT', 'TXT']) {
      const reply = await digged(server, 'web.skydns.local', type, co);
      assert.match(reply, /status: NOERROR[\s\S]*flags: do co; udp/);
      assert.match(reply, /\tRRSIG\t/);
    }
    for (const name of ['web.plain.example', 'web.plain.example', 'gone.plain.example'])
      assert.match(await digged(server, name, co), /flags: do; udp/);
  });

  it('NXNAME is no type to ask for, and a question with * gets no signature', async (t) => {
    const server = await serve(t);
    assert.match(await digged(server, 'web.skydns.local', 'TYPE128'), /FORMERR[\s\S]*EDE: 30/);
    const wildcard = await digged(server, '*.skydns.local');
    assert.match(wildcard, /REFUSED[\s\S]*EDE: 10 \(RRSIGs Missing\)/);
    assert.doesNotMatch(wildcard, /\tRRSIG\t/);
    assert.match(await digged(server, 'any.skydns.local'), /\tRRSIG\tA 13 3 /);
  });

  it('Over the rate of signatures a client over UDP gets TC alone, and over TCP an answer or SERVFAIL within about a second', async (t) => {
    const server = await serve(t, { 'dnssec-sign-rate': '1' });
    const ask = (i: number, transport: 'udp' | 'tcp') =>
      query(server.dns, question(`gone${i}.skydns.local.`, 'A'), { edns: EDNS, transport });
    const overUdp = await Promise.all(Array.from({ length: 30 }, (_, i) => ask(i, 'udp')));
    const truncated = overUdp.filter(({ truncated }) => truncated);
    assert.ok(truncated.length >= 25, String(truncated.length));
    assert.ok(truncated.every(({ rcode, authority }) => rcode === 0 && authority.length === 0));
    const startMs = performance.now();
    const asked = Promise.all(Array.from({ length: 10 }, (_, i) => ask(100 + i, 'tcp')));
    // Those of `asked` have the turns of the next second.
    const late = await digged(server, 'late.skydns.local', '+tcp');
    const overTcp = await asked;
    const tookMs = performance.now() - startMs;
    assert.ok(tookMs < 2_500, String(tookMs));
    assert.match(late, /SERVFAIL[\s\S]*EDE: 0 /);
    const failed = overTcp.filter(({ rcode }) => rcode === Rcode.SERVFAIL);
    const denied = overTcp.filter(({ rcode }) => rcode === Rcode.NOERROR);
    assert.ok(failed.length >= 5 && denied.length >= 1, `${failed.length} and ${denied.length}`);
    assert.equal(failed.length + denied.length, 10);
    const { made = 0, refused = 0 } = await signaturesOf(server);
    assert.ok(made >= 3 && refused >= truncated.length + failed.length, `${made}, ${refused}`);
    // Plain questions wait for nothing.
    const plain = await query(server.dns, question('gone.skydns.local.', 'A'));
    assert.equal(plain.rcode, Rcode.NXDOMAIN);
  });

  it('The rate limit counts the signed denials of all missing names of a zone together', async (t) => {
    const server = await serve(t, { rrl: '10', 'rrl-slip': '1', 'rrl-exempt': '192.0.2.0/24' });
    const asked = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        query(server.dns, question(`gone${i}.skydns.local.`, 'A'), { edns: EDNS }),
      ),
    );
    const withheld = asked.filter(({ truncated }) => truncated);
    assert.ok(withheld.length >= 40 && withheld.length < 60, String(withheld.length));
    // An existing name has a limit of its own.
    const there = await query(server.dns, question('web.skydns.local.', 'A'), { edns: EDNS });
    assert.equal(there.truncated, false);
  });
});
