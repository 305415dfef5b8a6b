/** Validating resolvers in front of a server that signs: unbound, BIND, delv and drill. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
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
  'example/other/y': { host: '10.0.2.1' },
  'local/skydns/across': { host: 'y.other.example' },
  'local/skydns/star': { host: '*.web.skydns.local' },
  'local/skydns/srv/star': { host: '*.web.skydns.local', port: 80 },
};

const NAMES = [
  ...['', 'web', 'a.web', 'v6', 'text', 'mail', 'alias', 'chain', 'dead', 'both', 'mixed-case'],
  ...['empty', 'non.empty', 'terminal.non.empty', 'dns', 'ns.dns', 'ns1.ns.dns', 'across'],
  ...['nothing', 'nothing.web', 'x.nothing.at.all', 'any', 'any.web', 'WeB', 'x.sub', 'sub'],
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
          if (name === ZONE && type === 'DS') continue;
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

  it('A forged unsigned address, with a denial of a DS that would make it an unsigned zone, ends in SERVFAIL', async () => {
    const forger = await startForger(server.dns, (reply) => {
      const isAddress = reply.questions[0]?.qtype === Type.A;
      if (!isAddress) return reply;
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
      for (const name of ['web.skydns.local.', 'a.web.skydns.local.']) {
        const reply = await query(validator.address, question(name, 'A'));
        assert.equal(reply.rcode, Rcode.SERVFAIL, name);
      }
    } finally {
      await validator?.stop();
      forger.close();
      await removeDir(beside);
    }
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
