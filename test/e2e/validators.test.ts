/** Validating resolvers in front of a server that signs: unbound, BIND, delv and drill. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Message } from '../../src/dns/message.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { Rcode, type Rr, Type } from '../../src/dns/rr.ts';
import { startForger } from '../support/forger.ts';
import { putServices, query, startTestServer, type TestServer } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import {
  anchorsIn,
  lacking,
  makeKeys,
  startNamed,
  startUnbound,
  type Validator,
} from '../support/validators.ts';
import { question } from '../support/zone.ts';

const ZONE = 'skydns.local.';
const CHILD = 'sub.skydns.local.';
const OTHER = 'other.example.';

const SERVICES: Readonly<Record<string, unknown>> = {
  'local/skydns/dns/ns/ns1': { host: '127.0.0.1' },
  'local/skydns/web/a': { host: '10.0.0.1', port: 80, ttl: 30 },
  'local/skydns/web/b': { host: '10.0.0.2', port: 80, ttl: 300 },
  'local/skydns/v6': { host: '2001:db8::1' },
  'local/skydns/text': { host: '10.0.0.3', text: 'Hello World' },
  'local/skydns/mail': { host: '10.0.0.4', mail: true, port: 25 },
  'local/skydns/empty/non/terminal': { host: '10.0.0.5' },
  'local/skydns/alias': { host: 'web.skydns.local' },
  'local/skydns/chain': { host: 'alias.skydns.local' },
  'local/skydns/dead': { host: 'nothing.skydns.local' },
  'local/skydns/both/a': { host: 'v6.skydns.local' },
  'local/skydns/both/b': { host: 'text.skydns.local' },
  'local/skydns/Mixed-CASE': { host: 'Web.SkyDNS.local', port: 8080 },
  'local/skydns/sub/x': { host: '10.0.1.1' },
  'local/skydns/to-apex': { host: 'skydns.local' },
  'local/skydns/to-child': { host: 'sub.skydns.local' },
  'example/other/y': { host: '10.0.2.1' },
  'local/skydns/across': { host: 'y.other.example' },
  'local/skydns/flat': { host: 'web.skydns.local', alias: true },
  'local/skydns/flat-across': { host: 'y.other.example', alias: true },
  'local/skydns/dns/apex/web': { host: 'web.skydns.local' },
  'local/skydns/records': {
    host: '10.0.0.6',
    rr: ['CAA 0 issue "ca.example"', 'SSHFP 1 1 123456789abcdef67890123456789abcdef67890'],
  },
  'local/skydns/star': { host: '*.web.skydns.local' },
  'local/skydns/srv/star': { host: '*.web.skydns.local', port: 80 },
};

const NAMES = [
  ...['', 'web', 'a.web', 'v6', 'text', 'mail', 'alias', 'chain', 'dead', 'both', 'mixed-case'],
  ...['empty', 'non.empty', 'terminal.non.empty', 'dns', 'ns.dns', 'ns1.ns.dns', 'across'],
  ...['nothing', 'nothing.web', 'x.nothing.at.all', 'any', 'any.web', 'WeB', 'x.sub', 'sub'],
  ...['flat', 'flat-across', 'records', 'to-apex', 'to-child'],
].map((labels) => (labels === '' ? ZONE : `${labels}.${ZONE}`));

// NODATA before positive answers, so that a wrong NSEC hides the records of a later question.
const TYPES = [
  ...['CAA', 'HTTPS', 'DS', 'NAPTR', 'TLSA', 'SSHFP', 'HINFO', 'LOC', 'SVCB', 'TYPE65400'],
  ...['MX', 'TXT', 'AAAA', 'A', 'SRV', 'CNAME', 'PTR', 'NS', 'SOA', 'DNSKEY', 'CDS', 'CDNSKEY'],
];

const run = promisify(execFile);

describe('validators', {
  skip: lacking('unbound', 'named', 'delv', 'drill', 'dnssec-keygen'),
}, () => {
  let folder: string;
  let server: TestServer;
  const validators: Validator[] = [];

  before(async () => {
    folder = await newTempDir();
    const keys = join(folder, 'keys');
    makeKeys(keys, ZONE);
    makeKeys(keys, CHILD, [['-f', 'KSK']], 'ED25519');
    server = await startTestServer({
      domain: [ZONE, CHILD, OTHER],
      dnssec: keys,
      'dnssec-sign-rate': '100000',
      ttl: '600',
    });
    await putServices(server, SERVICES);
    const options = {
      ...{ folder, zones: [ZONE, CHILD, OTHER], server: server.dns },
      anchors: anchorsIn(keys).filter(([zone]) => zone === ZONE),
    };
    validators.push(await startUnbound(options), await startNamed(options));
  });

  after(async () => {
    for (const validator of validators) await validator.stop();
    await server?.close();
    await removeDir(folder);
  });

  for (const at of [0, 1]) {
    const program = at === 0 ? 'unbound' : 'BIND';
    it(`Every answer of every name and type validates in ${program} and has the server's records`, async () => {
      const validator = validators[at];
      assert.ok(validator !== undefined);
      const faults: string[] = [];
      for (const name of NAMES) {
        for (const type of TYPES) {
          // The zone above is not ours.
          if ((name === ZONE || name === `to-apex.${ZONE}`) && type === 'DS') continue;
          const asked = question(name, type);
          const direct = await query(server.dns, asked, { transport: 'tcp' });
          const edns = { udpSize: 1232, dnssecOk: true };
          const reply = await query(validator.address, asked, { edns }).catch(() => undefined);
          const fault = reply === undefined ? 'no reply' : faultOf(direct, reply, asked.qtype);
          if (fault !== undefined) faults.push(`${name} ${type}: ${fault}`);
        }
      }
      assert.deepEqual(faults, []);
    });
  }

  it('delv and drill validate answers and denials from the server itself', async () => {
    const [[, ...anchor] = []] = anchorsIn(join(folder, 'keys')).filter(([zone]) => zone === ZONE);
    const [flags, protocol, algorithm, key] = anchor;
    const anchorFile = join(folder, 'delv.anchor');
    const text = `${ZONE} static-key ${flags} ${protocol} ${algorithm} "${key}"`;
    writeFileSync(anchorFile, `trust-anchors { ${text}; };`);
    const { address, port } = server.dns;
    for (const [name, type, expected] of [
      ['web.skydns.local', 'A', '; fully validated'],
      ['web.skydns.local', 'TXT', '; negative response, fully validated'],
      ['nothing.skydns.local', 'A', '; negative response, fully validated'],
      ['chain.skydns.local', 'A', '; fully validated'],
    ] as const) {
      const args = [`@${address}`, '-p', String(port), '-a', anchorFile, `+root=${ZONE}`];
      const { stdout, stderr } = await run('delv', [...args, name, type]);
      assert.ok(`${stdout}${stderr}`.includes(expected), `${name} ${type}: ${stdout}${stderr}`);
    }
    const drill = ['-D', '-p', String(port), `@${address}`, 'web.skydns.local', 'A'];
    const { stdout } = await run('drill', drill);
    assert.match(stdout, /RRSIG\tA 13/);
  });

  it('The server answers DS and DNSKEY of a signed zone at an alias of its apex, with signatures', async () => {
    const edns = { udpSize: 1232, dnssecOk: true };
    for (const type of ['DS', 'DNSKEY']) {
      const asked = question('to-child.skydns.local.', type);
      const { answer, authority } = await query(server.dns, asked, { edns });
      const types = new Set(answer.map((rr) => rr.type));
      assert.deepEqual(types, new Set([Type.CNAME, asked.qtype, Type.RRSIG]), type);
      assert.equal(answer.filter((rr) => rr.type === Type.RRSIG).length, 2);
      assert.deepEqual(authority, []);
    }
  });

  it('Forged answers end in SERVFAIL: an unsigned address, and the signed address of another name', async () => {
    const edns = { udpSize: 1232, dnssecOk: true };
    const any = await query(server.dns, question('any.web.skydns.local.', 'A'), { edns });
    assert.ok(any.answer.some(({ type }) => type === Type.RRSIG));
    const forger = await startForger(server.dns, (reply) => {
      const [asked] = reply.questions;
      if (asked?.qtype !== Type.A) return reply;
      if (asked.qname[0] === 'replayed') {
        const answer = any.answer.map((rr) => ({ ...rr, owner: asked.qname }));
        return { ...reply, rcode: Rcode.NOERROR, answer, authority: [] };
      }
      const answer = reply.answer.flatMap((rr): Rr[] =>
        rr.type === Type.A ? [{ ...rr, rdata: { kind: 'address', address: '6.6.6.6' } }] : [],
      );
      return { ...reply, answer, authority: [] };
    });
    const beside = await newTempDir();
    const anchors = anchorsIn(join(folder, 'keys')).filter(([zone]) => zone === ZONE);
    const options = { folder: beside, zones: [ZONE], server: forger.address, anchors };
    let validator: Validator | undefined;
    try {
      validator = await startUnbound(options);
      for (const name of ['web', 'a.web', 'replayed.web', 'replayed']) {
        const reply = await query(validator.address, question(`${name}.${ZONE}`, 'A'));
        assert.equal(reply.rcode, Rcode.SERVFAIL, name);
      }
    } finally {
      await validator?.stop();
      forger.close();
      await removeDir(beside);
    }
  });

  it('While a name changes each 10 ms, a validator that caches nothing accepts every answer', async () => {
    const beside = await newTempDir();
    const anchors = anchorsIn(join(folder, 'keys')).filter(([zone]) => zone === ZONE);
    const lines = ['cache-max-ttl: 0', 'cache-max-negative-ttl: 0', 'num-queries-per-thread: 512'];
    const options = { folder: beside, zones: [ZONE], server: server.dns, anchors, lines };
    const validator = await startUnbound(options);
    try {
      const seconds = Number(process.env.SIGNED_CHANGE_SECONDS ?? 5);
      const endMs = performance.now() + seconds * 1_000;
      let changes = 0;
      let answers = 0;
      const seen = new Set<string>();
      const write = async (): Promise<void> => {
        while (performance.now() < endMs) {
          changes++;
          const host = `10.1.${(changes >> 8) & 255}.${changes & 255}`;
          // Each second change is that of the types at the name.
          const text = changes % 4 < 2 ? 'here' : '';
          await Promise.all([
            putServices(server, { 'local/skydns/busy/a': { host, text, ttl: 60 } }),
            sleep(10),
          ]);
        }
      };
      const ask = async (type: string): Promise<void> => {
        const edns = { udpSize: 1232, dnssecOk: true };
        while (performance.now() < endMs) {
          const reply = await query(validator.address, question('busy.skydns.local.', type), {
            edns,
          });
          assert.ok(reply.authenticData && reply.rcode === Rcode.NOERROR, `${type} ${reply.rcode}`);
          answers++;
          if (type === 'A') seen.add(recordsOf(reply.answer, Type.A));
        }
      };
      await putServices(server, { 'local/skydns/busy/a': { host: '10.1.0.0', ttl: 60 } });
      await Promise.all([write(), ask('A'), ask('TXT'), ask('MX')]);
      assert.ok(changes > 10 * seconds && answers > 10 * seconds, `${changes}, ${answers}`);
      assert.ok(seen.size > 2 * seconds, `${seen.size} addresses seen`);
    } finally {
      await validator.stop();
      await removeDir(beside);
    }
  });

  it('dnsviz finds no error and no warning', { skip: lacking('dnsviz') }, async () => {
    // Debian's dnsviz asks pygraphviz for its version by a name that Debian's pygraphviz does not have.
    const shim = ['import types, pygraphviz', 'pygraphviz.release = types.SimpleNamespace('];
    const version = 'version=pygraphviz.__version__)';
    writeFileSync(join(folder, 'sitecustomize.py'), `${shim.join('\n')}${version}\n`);
    const env = { ...process.env, PYTHONPATH: folder };
    const keys = readdirSync(join(folder, 'keys')).filter((file) => /^Kskydns.*\.key$/.test(file));
    const ksk = keys
      .map((file) => join(folder, 'keys', file))
      .find((path) => readFileSync(path, 'utf8').includes('DNSKEY 257'));
    assert.ok(ksk !== undefined);
    const trusted = join(folder, 'dnsviz.key');
    writeFileSync(trusted, readFileSync(ksk, 'utf8').replace(/^;.*\n/gm, ''));
    const { stdout: ds } = await run('dnssec-dsfromkey', ['-2', ksk]);
    const at = `skydns.local:ns1.ns.dns.skydns.local=${server.dns.address}:${server.dns.port}`;
    const names = ['', 'web.', 'alias.', 'nothing.'];
    const probed = join(folder, 'dnsviz.json');
    await run('dnsviz', [
      ...['probe', '-4', '-A', '-t', '8', '-a', 'skydns.local', '-o', probed, '-R', 'A,TXT,MX'],
      ...['-x', at.replace(':', '+:'), '-N', at, '-D', `skydns.local:${ds.replace(/^.* DS /, '')}`],
      ...names.map((labels) => `${labels}skydns.local`),
    ]);
    const grok = ['grok', '-P', '-t', trusted, '-r', probed];
    const { stdout: all } = await run('dnsviz', grok, { env, maxBuffer: 16 * 1024 * 1024 });
    assert.match(all, /"status": "SECURE"/);
    assert.doesNotMatch(all, /"status": "(?:BOGUS|INVALID|INDETERMINATE|EXPIRED)"/);
    const { stdout: faults } = await run('dnsviz', [...grok, '-l', 'warning'], { env });
    assert.equal(faults, '');
  });

  it('No RRSIG has an owner name that begins with a wildcard', async () => {
    for (const name of ['*.web.skydns.local.', '*.skydns.local.', 'star.skydns.local.']) {
      const edns = { udpSize: 1232, dnssecOk: true };
      const reply = await query(server.dns, question(name, 'A'), { edns });
      assert.equal(reply.rcode, Rcode.REFUSED);
      assert.deepEqual(reply.answer, []);
      assert.equal((await query(server.dns, question(name, 'A'))).rcode, Rcode.NOERROR);
    }
    const edns = { udpSize: 1232, dnssecOk: true };
    const srv = await query(server.dns, question('srv.skydns.local.', 'SRV'), { edns });
    const owners = [...srv.answer, ...srv.authority, ...srv.additional].map(({ owner }) => owner);
    assert.ok(owners.length > 0 && owners.every(([label]) => label !== '*'));
  });
});

/** What is wrong with a validator's reply, compared with the server's own. */
function faultOf(direct: Message, reply: Message, qtype: number): string | undefined {
  const isPositive = direct.rcode === Rcode.NOERROR && direct.answer.length > 0;
  if (reply.rcode !== Rcode.NOERROR && reply.rcode !== Rcode.NXDOMAIN)
    return `rcode ${reply.rcode}`;
  // The answer from an unsigned zone, to which an alias leads, is not authentic.
  const isInside = direct.questions[0]?.qname[0] !== 'across';
  if (isInside && !reply.authenticData) return 'not authentic';
  // A resolver that knows the CNAME follows it for every type.
  if (reply.answer[0]?.type === Type.CNAME) return undefined;
  if (!isPositive) return undefined;
  const [expected, got] = [direct, reply].map(({ answer }) => recordsOf(answer, qtype));
  return expected === got ? undefined : `${got} instead of ${expected}`;
}

function recordsOf(rrs: readonly Rr[], qtype: number): string {
  return rrs
    .filter(({ type }) => type === qtype)
    .map((rr) => printRr({ ...rr, ttlSeconds: 0 }).toLowerCase())
    .sort()
    .join(' | ');
}
