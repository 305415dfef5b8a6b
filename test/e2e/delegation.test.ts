/**
 * Delegated names in a server with workers that signs: unbound and BIND follow its referrals to Knot, and clients that
 * follow none get Knot's answers. In a network of its own, where name servers have port 53.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { projectRoot } from '../meta/sources.ts';
import { callCli } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { type DigReply, dig } from '../support/dig.ts';
import { environment } from '../support/hostCleaner.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';
import {
  anchorsIn,
  lacking,
  makeKeys,
  startUnbound,
  type Validator,
} from '../support/validators.ts';

const ZONE = 'skydns.local.';
const SERVER = { address: '127.0.0.1', port: 53 };
const HTTP = 'http://127.0.0.1:4001';
const KNOT = '10.9.0.2';
/** Of `SERVER`, of another soradns, and of no server. */
const OWN = '10.9.0.1';
const OTHER = '10.9.0.4';
const DEAD = '10.9.0.77';
const BIND = { address: '127.0.0.3', port: 53 };

const tools = lacking('unbound', 'named', 'delv', 'knotd', 'dnssec-signzone', 'dnssec-dsfromkey');

describe('Delegated names', { skip: noOwnNetwork ?? tools, concurrency: 1 }, () => {
  let folder = '';
  let soradns: CliProcess;
  let general: TestUpstream;
  let unbound: Validator;
  const stops: (() => Promise<unknown>)[] = [];

  before(async () => {
    enterOwnNetwork();
    // Name servers on loopback are not asked.
    for (const address of [KNOT, OWN, OTHER, DEAD])
      command('ip', 'address', 'add', address, 'dev', 'lo');
    // BIND listens on addresses of interfaces only.
    command('ip', 'address', 'add', `${BIND.address}/8`, 'dev', 'lo');
    folder = await newTempDir();
    const keys = join(folder, 'keys');
    makeKeys(keys, ZONE);
    general = await startUpstream({ records: ['ns.example.net 60 A 10.9.0.2'] });
    soradns = startCli([
      ...['serve', '--addr', '127.0.0.1:53', '--addr', `${OWN}:53`, '--http', '127.0.0.1:4001'],
      ...['--store', 'memory:'],
      ...['--workers', '1', '--lame-duck', '0', '--dnssec', keys],
      ...['--nameservers', `127.0.0.1:${general.port}`, '--recursion-allow', '127.0.0.1'],
    ]);
    await soradns.logged('serving');
    const ds = startChild();
    await set('web', '--host', '10.0.0.1');
    await set('old.team', '--host', '10.0.0.9');
    await set('team', '--rr', 'NS ns1.team.skydns.local.', '--rr', ds);
    await set('ns1.team', '--host', KNOT);
    await set('plain', '--rr', 'NS ns.plain.skydns.local.');
    await set('ns.plain', '--host', KNOT);
    await set('far', '--rr', 'NS ns.example.net.');
    await set('alias', '--host', 'x.team.skydns.local');
    const anchors = anchorsIn(keys);
    unbound = await startUnbound({ folder, zones: [ZONE], server: SERVER, anchors });
    stops.push(() => unbound.stop());
    startBind(anchors);
    await until('Knot answers', () =>
      isAnswered({ address: KNOT, port: 53 }, 'x.team.skydns.local'),
    );
    await until('BIND answers', () => isAnswered(BIND, 'web.skydns.local'));
  });

  after(async () => {
    for (const stop of stops) await stop();
    await soradns?.end('SIGKILL');
    await general?.close();
    await removeDir(folder);
  });

  it('unbound and BIND follow a referral, and validate the answers of the delegated domains', async () => {
    for (const resolver of [unbound.address, BIND]) {
      const secure = await dig(resolver, '+dnssec', 'x.team.skydns.local');
      assert.match(
        secure.answer.join(),
        /^x\.team\.skydns\.local\. \d+ IN A 192\.0\.2\.7,.* RRSIG /,
      );
      assert.ok(secure.flags.includes('ad'), secure.text);
      const missing = await dig(resolver, '+dnssec', 'none.team.skydns.local');
      assert.deepEqual([missing.status, missing.flags.includes('ad')], ['NXDOMAIN', true]);
      // The NSEC at the cut proves that the domain is unsigned.
      const plain = await dig(resolver, '+dnssec', 'x.plain.skydns.local');
      assert.match(plain.answer.join(), /^x\.plain\.skydns\.local\. \d+ IN A 192\.0\.2\.8$/);
      assert.ok(!plain.flags.includes('ad'), plain.text);
      for (const name of ['plain', 'team'])
        assert.ok(
          (await dig(resolver, '+dnssec', 'DS', `${name}.${ZONE}`)).flags.includes('ad'),
          name,
        );
    }
  });

  it('A client that asks without RD, or that may not have others asked, gets a signed referral', async () => {
    for (const args of [['+norec'], ['-b', '127.0.0.9']]) {
      const team = await dig(SERVER, ...args, '+dnssec', 'a.b.team.skydns.local');
      assert.deepEqual(
        [team.status, team.answer, team.flags.includes('aa')],
        ['NOERROR', [], false],
      );
      assert.deepEqual(typesOf(team.authority), ['NS', 'DS', 'RRSIG DS']);
      assert.deepEqual(typesOf(team.additional), ['A']);
      const plain = await dig(SERVER, ...args, '+dnssec', 'plain.skydns.local', 'NS');
      assert.deepEqual(typesOf(plain.authority), ['NS', 'NSEC', 'RRSIG NSEC']);
      assert.match(plain.authority[1] ?? '', / NS RRSIG NSEC$/);
      assert.deepEqual(typesOf((await dig(SERVER, ...args, 'x.team.skydns.local')).authority), [
        'NS',
      ]);
    }
  });

  it('A client that follows no referral gets the name servers’ answer, and one of these from the cache', async () => {
    for (const name of ['x.team.skydns.local', 'x.far.skydns.local', 'alias.skydns.local'])
      for (let i = 0; i < 3; i++) {
        const reply = await dig(SERVER, name);
        assert.match(reply.answer.at(-1) ?? '', / IN A 192\.0\.2\.[78]$/, reply.text);
        assert.equal(reply.flags.includes('ra'), true);
        assert.equal(reply.flags.includes('aa'), name.startsWith('alias'));
      }
    assert.equal((await dig(SERVER, 'old.team.skydns.local')).status, 'NXDOMAIN');
    assert.equal((await dig(SERVER, 'skydns.local')).answer.join().includes('10.0.0.9'), false);
    const anchor = join(folder, 'delv.anchor');
    const [[, flags, protocol, algorithm, key] = []] = anchorsIn(join(folder, 'keys'));
    const text = `${ZONE} static-key ${flags} ${protocol} ${algorithm} "${key}"`;
    writeFileSync(anchor, `trust-anchors { ${text}; };`);
    const delv = ['@127.0.0.1', '-a', anchor, `+root=${ZONE}`, 'x.team.skydns.local'];
    assert.match(command('delv', ...delv), /^; fully validated$/m);
    const ds = await dig(SERVER, 'DS', 'team.skydns.local');
    assert.deepEqual([ds.answer.length, ds.flags.includes('aa')], [1, true]);
    const namesAsked = new Set(general.queries.map(({ name }) => name.toLowerCase()));
    assert.deepEqual([...namesAsked], ['ns.example.net']);
  });

  it("glibc's and musl's resolvers, which follow no referral, find a delegated name", {
    skip: lacking('musl-gcc', 'unshare'),
  }, () => {
    const resolvConf = join(folder, 'resolv.conf');
    writeFileSync(resolvConf, `nameserver ${SERVER.address}\n`);
    const program = join(folder, 'gai');
    command('musl-gcc', '-static', '-o', program, join(projectRoot, 'test/support/gai.c'));
    const name = 'x.team.skydns.local';
    const resolve = `${program} ${name} && getent ahostsv4 ${name}`;
    const script = `mount --bind ${resolvConf} /etc/resolv.conf && ${resolve}`;
    const found = command('unshare', '--mount', 'sh', '-c', script);
    assert.match(found, /^1\n192\.0\.2\.7 +STREAM x\.team\.skydns\.local\n/);
  });

  it('Without a name server that answers, the client gets SERVFAIL with the domain, and no other server the question', async () => {
    await set('dead', '--rr', 'NS ns.dead.skydns.local.');
    await set('ns.dead', '--host', DEAD);
    await set('bare', '--rr', 'NS ns.bare.skydns.local.');
    await set('own', '--rr', 'NS web.skydns.local.', '--rr', 'NS ns.own.skydns.local.');
    await set('ns.own', '--host', OWN);
    await set('near', '--rr', 'NS ns.near.skydns.local.');
    await set('ns.near', '--host', BIND.address);
    await set('a', '--rr', 'NS ns.b.skydns.local.');
    await set('b', '--rr', 'NS ns.a.skydns.local.');
    await call('rm', 'web.skydns.local');
    // Another server with the same delegation, which leads from each of the two to the other.
    const other = startCli([
      ...['serve', '--addr', `${OTHER}:53`, '--http', '127.0.0.1:4002', '--store', 'memory:'],
      ...['--nameservers', `127.0.0.1:${general.port}`, '--lame-duck', '0', '--workers', '0'],
    ]);
    stops.push(() => other.end('SIGKILL'));
    await other.logged('serving');
    for (const [at, address] of [
      [HTTP, OTHER],
      ['http://127.0.0.1:4002', OWN],
    ] as const) {
      const ring = ['set', 'ring.skydns.local', '--rr', 'NS ns.ring.skydns.local.'];
      await callCli([...ring, '--store', at]);
      await callCli(['set', 'ns.ring.skydns.local', '--host', address, '--store', at]);
    }
    for (const [name, text] of [
      ['x.dead', /EDE: 22 .*\(dead\.skydns\.local\.: /],
      [
        'x.bare',
        /EDE: 22 .*\(bare\.skydns\.local\.: no address is known for its name servers ns\.bare/,
      ],
      [
        'x.ring',
        /EDE: 22 .*\(ring\.skydns\.local\.: 10\.9\.0\.4:53 has no authority for the name\)/,
      ],
      ['x.own', /EDE: 22 .*\(own\.skydns\.local\.: its name servers are this server, or are/],
      ['x.near', /EDE: 22 .* are at addresses that are not asked: 127\.0\.0\.3\)/],
      ['x.a', /EDE: 22 .*\(a\.skydns\.local\.: no address is known/],
    ] as const) {
      const begin = performance.now();
      const reply = await dig(SERVER, `${name}.${ZONE}`);
      assert.equal(reply.status, 'SERVFAIL', name);
      assert.ok(performance.now() - begin < 1_000, name);
      assert.match(reply.text, text);
    }
    assert.deepEqual(
      general.queries.filter(({ name }) => /skydns/i.test(name)),
      [],
    );
  });

  it('A delegation that goes brings the store’s names back, and one that comes hides them at once', async () => {
    const ofStore = async () => (await dig(SERVER, 'old.team.skydns.local')).answer.join();
    await call('rm', 'team.skydns.local');
    await until('the store answers', async () => (await ofStore()).endsWith(' IN A 10.0.0.9'));
    assert.equal((await dig(SERVER, 'x.team.skydns.local')).flags.includes('aa'), true);
    await set('team', '--rr', 'NS ns1.team.skydns.local.');
    await until('Knot answers', async () => (await ofStore()) === '');
    for (let i = 0; i < 3; i++)
      assert.match((await dig(SERVER, 'x.team.skydns.local')).answer.join(), / IN A 192\.0\.2\.7$/);
  });

  /** Starts Knot with two domains, and returns the DS of the signed one. */
  function startChild(): string {
    const keys = join(folder, 'childKeys');
    makeKeys(keys, 'team.skydns.local.');
    const zone = join(folder, 'team.zone');
    writeFileSync(zone, zoneFile('team.skydns.local.', '192.0.2.7'));
    const signed = join(folder, 'team.signed');
    const env = environment();
    const sign = ['-S', '-K', keys, '-o', 'team.skydns.local.', '-f', signed, zone];
    execFileSync('dnssec-signzone', sign, { env, cwd: folder, stdio: 'ignore' });
    const unsigned = ['plain', 'far'].map((label) => {
      const file = join(folder, `${label}.zone`);
      writeFileSync(file, zoneFile(`${label}.${ZONE}`, '192.0.2.8'));
      return [`${label}.${ZONE}`, file] as const;
    });
    const domains = [['team.skydns.local.', signed] as const, ...unsigned].map(
      ([domain, file]) => `  - domain: ${domain}\n    file: "${file}"\n`,
    );
    const config = join(folder, 'knot.conf');
    const server = `server:\n  rundir: "${folder}"\n  listen: ${KNOT}@53\n`;
    writeFileSync(config, `${server}database:\n  storage: "${folder}"\nzone:\n${domains.join('')}`);
    start('knotd', '-c', config);
    const key = readdirSync(keys).find(
      (file) => file.endsWith('.key') && readFileSync(join(keys, file), 'utf8').includes(' 257 '),
    );
    const ds = execFileSync('dnssec-dsfromkey', ['-2', join(keys, key ?? '')], { env });
    return `DS ${/ DS (.+)/.exec(ds.toString())?.[1]}`;
  }

  function startBind(anchors: readonly (readonly string[])[]): void {
    const config = join(folder, 'named.conf');
    const keys = anchors.map(
      ([zone, flags, protocol, algorithm, key]) =>
        `${zone} static-key ${flags} ${protocol} ${algorithm} "${key}";`,
    );
    writeFileSync(
      config,
      `options { directory "${folder}"; pid-file none; session-keyfile none; recursion yes;
         listen-on port 53 { ${BIND.address}; }; listen-on-v6 { none; };
         dnssec-validation yes; empty-zones-enable no; };
       controls { };
       trust-anchors { ${keys.join(' ')} };
       zone "${ZONE}" { type static-stub; server-addresses { ${SERVER.address}; }; };`,
    );
    start('named', '-g', '-c', config, '-n', '1');
  }

  function start(program: string, ...args: readonly string[]): void {
    const child = spawn(program, args, { stdio: 'ignore', env: environment() });
    const exited = once(child, 'exit');
    const kill = () => void child.kill('SIGKILL');
    process.on('exit', kill);
    stops.push(async () => {
      kill();
      await exited;
      process.off('exit', kill);
    });
  }

  async function set(name: string, ...words: readonly string[]): Promise<void> {
    await call('set', `${name}.${ZONE}`, ...words);
  }

  async function call(...words: readonly string[]): Promise<void> {
    const { code, stderr } = await callCli([...words, '--store', HTTP]);
    assert.equal(code, 0, stderr);
  }
});

function zoneFile(zone: string, address: string): string {
  const head = `$ORIGIN ${zone}\n$TTL 60\n@ SOA ns1 host 1 3600 600 86400 30\n@ NS ns1\n`;
  return `${head}ns1 A ${KNOT}\nx A ${address}\n`;
}

async function isAnswered(at: typeof SERVER, name: string): Promise<boolean> {
  const reply = await dig(at, '+time=1', name).catch(() => undefined);
  return reply !== undefined && reply.answer.length > 0;
}

/** The types of the records, with the covered type of signatures. */
function typesOf(records: DigReply['answer']): readonly string[] {
  return records.map((record) => {
    const [, , , type = '', covered = ''] = record.split(' ');
    return type === 'RRSIG' ? `${type} ${covered}` : type;
  });
}
