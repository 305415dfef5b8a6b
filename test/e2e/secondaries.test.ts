/** BIND, Knot and NSD as secondaries of a soradns process: they follow its changes and give the same answers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SocketAddress } from '../../src/dns/address.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { Type } from '../../src/dns/rr.ts';
import { parseRecords } from '../../src/service/records.ts';
import { callCli } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { freePort } from '../support/freePort.ts';
import { shellBlocks } from '../support/pages.ts';
import { RECORD_TEXTS } from '../support/recordTexts.ts';
import {
  missingSecondaries,
  SECONDARIES,
  type Secondary,
  type SecondaryProgram,
  startSecondary,
} from '../support/secondaries.ts';
import { query } from '../support/server.ts';
import { until } from '../support/until.ts';
import { question } from '../support/zone.ts';

const DOMAIN = 'skydns.local';
const missing = missingSecondaries();

const FIRST: Readonly<Record<string, object>> = {
  'dns/ns/a': { host: '127.0.0.1' },
  'web/a': { host: '10.0.0.1', port: 80 },
  'web/b': { host: '10.0.0.2', port: 80, ttl: 30 },
  'web/six': { host: 'fd00::1', port: 80 },
  alias: { host: 'www.example.com' },
  inside: { host: 'web.skydns.local' },
  db: { host: 'db.example.com', port: 5432 },
  'both/x': { host: 'x.example.com', port: -1 },
  'both/y': { host: 'y.example.com', port: -1 },
  'both/z': { host: 'a.web.skydns.local', port: -1 },
  text: { text: 'hello "world"' },
  post: { host: '10.0.0.3', mail: true, priority: 5 },
  'deep/er/and/deep/er': { host: '10.0.0.4', port: 1 },
};

/** Arguments of `soradns set`: keys that are above others cannot be put over HTTP. */
const DELEGATION: readonly (readonly string[])[] = [
  ['team.dev', '--rr', 'NS ns1.team.dev.skydns.local.', '--rr', `DS 7 13 2 ${'5A'.repeat(32)}`],
  ['ns1.team.dev', '--host', '10.0.0.53'],
  ['x.team.dev', '--host', '10.0.0.5', '--port', '1'],
  ['a.ns2.later.dev', '--host', '10.0.0.54'],
  ['x.later.dev', '--host', '10.0.0.6', '--port', '1'],
];

/** The blocks of the page. */
const CONFIGS: Readonly<Record<SecondaryProgram, readonly string[]>> = {
  named: shellBlocks('docs/secondaries.md', 'BIND', 'named'),
  knotd: shellBlocks('docs/secondaries.md', 'Knot', 'knot'),
  nsd: shellBlocks('docs/secondaries.md', 'NSD', 'nsd'),
};

/** A word of the page's command, with the addresses of this test. */
function onLoopback(word: string, port: number, ports: readonly number[]): string {
  return word
    .replace('10.0.0.1:53', `127.0.0.1:${port}`)
    .replace('10.0.0.0/8', '127.0.0.0/8')
    .replace('tsig.key', join(folder, 'tsig.key'))
    .replace(/^10\.0\.0\.([234])/, (_, n) => `127.0.0.1:${ports[Number(n) - 2]}`);
}

const folder = mkdtempSync(join(tmpdir(), 'soradns-secondaries-'));

describe('Secondaries', {
  skip: missing.length > 0 && `${missing.join(', ')} not installed`,
}, () => {
  const secondaries: Secondary[] = [];
  let soradns: CliProcess;
  let primary: SocketAddress;
  let httpPort = 0;
  let args: readonly string[] = [];
  let markers = 0;

  before(async () => {
    const port = await freePort();
    httpPort = await freePort();
    primary = { address: '127.0.0.1', port };
    const ports = [await freePort(), await freePort(), await freePort()];
    const [makeKey = '', serve = ''] = shellBlocks('docs/secondaries.md', 'Set up');
    execFileSync('sh', ['-c', makeKey], { cwd: folder });
    const words = serve.replaceAll('\\\n', ' ').trim().split(/\s+/).slice(1);
    args = [
      ...words.map((word) => onLoopback(word, port, ports)),
      ...['--http', `127.0.0.1:${httpPort}`, '--store', `file:${folder}/store`],
      ...['--no-rec', '--lame-duck', '0'],
    ];
    soradns = startCli(args);
    await soradns.logged('loaded the store');
    for (const [key, value] of Object.entries(FIRST)) await put(key, value);
    for (const words of DELEGATION) await set(...words);
    const keyFile = join(folder, 'tsig.key');
    const secret = /secret "(.*)"/.exec(readFileSync(keyFile, 'utf8'))?.[1] as string;
    for (const [i, program] of SECONDARIES.entries()) {
      const config = (CONFIGS[program][0] as string)
        .replace('/etc/bind/tsig.key', keyFile)
        .replace('SECRET', secret)
        .replace('primaries { 10.0.0.1', `primaries port ${port} { 127.0.0.1`)
        .replace(/(remote:[\s\S]*?|request-xfr: )10\.0\.0\.1/, `$1127.0.0.1@${port}`)
        .replaceAll('10.0.0.1', '127.0.0.1');
      secondaries.push(startSecondary(program, { port: ports[i] as number, folder, config }));
    }
  });

  after(async () => {
    await Promise.all(secondaries.map((each) => each.kill()));
    await soradns?.end('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('BIND, Knot and NSD load the domain by AXFR and answer every question as soradns does', async () => {
    await everybodyIsCurrent();
    await assertSameAnswers(await namesOfZone());
  });

  it('BIND, Knot and NSD load records of every type that a value may have, and answer them as soradns does', async () => {
    // A name with NS or DS is a delegation, which has no answers of its own.
    const kept = RECORD_TEXTS.filter(
      (text) => !/^(NS|DS) /.test(text) && parseRecords([text]).kind === 'records',
    ).map((text) => text.replace('Web.Example', 'web.example')); // Knot and NSD keep no case.
    for (const [i, text] of kept.entries()) await put(`type${i}`, { rr: [text] });
    await everybodyIsCurrent();
    const differences: string[] = [];
    for (const [i, text] of kept.entries()) {
      const type = /^\S+/.exec(text)?.[0] as string;
      const [own, ...others] = await Promise.all(
        [primary, ...secondaries.map(({ address }) => address)].map((server) =>
          answerOf(server, `type${i}.skydns.local.`, type),
        ),
      );
      assert.match(own as string, /^(0|alias) ./, text);
      others.forEach((other, k) => {
        if (other !== own) differences.push(`${text}: ${own} | ${SECONDARIES[k]}: ${other}`);
      });
    }
    assert.deepEqual(differences, []);
    for (const i of kept.keys()) await remove(`type${i}`);
  });

  it('After 300 puts and deletes, and then a few, BIND, Knot and NSD have the same answers, the few by IXFR', async () => {
    for (let i = 0; i < 300; i++) {
      const key = `s${i % 40}/${['a', 'b', 'c'][i % 3]}`;
      if (i % 7 === 3) await remove(key);
      else await put(key, { host: `10.1.0.${i % 200}`, port: 1_000 + (i % 5), ttl: 10 + (i % 3) });
    }
    await everybodyIsCurrent();
    // Differences that are longer than the zone are sent as the zone.
    const before = transfers('axfr');
    await remove('web/six');
    await put('alias', { host: 'ftp.example.com' });
    // One delegation comes, one goes, and one gets another name server.
    await set('later.dev', '--rr', 'NS ns2.later.dev.skydns.local.');
    const servers = ['ns1', 'x'].map((label) => `NS ${label}.team.dev.skydns.local.`);
    await set('team.dev', ...servers.flatMap((record) => ['--rr', record]));
    await everybodyIsCurrent();
    const delegated = (name: string) => name.endsWith('dev.skydns.local.');
    await assertSameAnswers((await namesOfZone()).filter(delegated));
    await call('rm', 'team.dev.skydns.local');
    await everybodyIsCurrent();
    assert.ok(transfers('ixfr') >= SECONDARIES.length);
    assert.equal(transfers('axfr'), before);
    await assertSameAnswers(await namesOfZone());
  });

  it('Secondaries that were killed meanwhile, and a soradns that was, agree again', async () => {
    await Promise.all(secondaries.map((each) => each.kill()));
    await put('late', { host: '10.0.0.77', port: 7 });
    await soradns.end('SIGKILL');
    soradns = startCli(args);
    await soradns.logged('loaded the store');
    for (const each of secondaries) each.restart();
    await put('later', { host: '10.0.0.78', port: 7 });
    await everybodyIsCurrent();
    await assertSameAnswers(['late.skydns.local.', 'later.skydns.local.', 'skydns.local.']);
  });

  /** How many transfers of that kind soradns has logged. */
  function transfers(kind: 'axfr' | 'ixfr'): number {
    const lines = soradns.lines().filter(({ msg }) => msg === 'transferred a domain');
    return lines.filter((line) => line.kind === kind).length;
  }

  async function put(key: string, value: object): Promise<void> {
    const body = new URLSearchParams({ value: JSON.stringify(value) });
    const reply = await fetch(urlOf(key), { method: 'PUT', body });
    assert.ok(reply.ok, await reply.text());
  }

  async function set(name = '', ...words: readonly string[]): Promise<void> {
    await call('set', `${name}.${DOMAIN}`, ...words);
  }

  async function call(...words: readonly string[]): Promise<void> {
    const store = ['--store', `http://127.0.0.1:${httpPort}`];
    const { code, stderr } = await callCli([...words, ...store]);
    assert.equal(code, 0, stderr);
  }

  async function remove(key: string): Promise<void> {
    await (await fetch(urlOf(key), { method: 'DELETE' })).arrayBuffer();
  }

  function urlOf(key: string): string {
    return `http://127.0.0.1:${httpPort}/v2/keys/skydns/local/skydns/${key}`;
  }

  /** Waits until all secondaries have a version with everything that was put before. */
  async function everybodyIsCurrent(): Promise<void> {
    markers++;
    await put('marker', { host: '10.9.9.9', port: markers });
    const expected = `10 100 ${markers} marker.skydns.local.`;
    for (const { program, address, log } of secondaries) {
      const isCurrent = async () => {
        const answer = await answerOf(address, 'marker.skydns.local.', 'SRV').catch(() => '');
        return answer.includes(expected);
      };
      await until(`${program} has the newest version`, isCurrent, 30_000).catch((error) => {
        throw new Error(`${error}\n${log()}`);
      });
    }
  }

  async function namesOfZone(): Promise<readonly string[]> {
    const listed = await fetch(`${urlOf('')}?recursive=true`);
    const names = new Set([`${DOMAIN}.`]);
    const visit = (node: { key: string; dir?: boolean; nodes?: (typeof node)[] }): void => {
      const labels = node.key.split('/').slice(2).reverse();
      if (labels.length > 1 && labels.at(-3) !== 'dns') names.add(`${labels.join('.')}.`);
      for (const each of node.nodes ?? []) visit(each);
    };
    visit(((await listed.json()) as { node: Parameters<typeof visit>[0] }).node);
    names.add('ns.dns.skydns.local.');
    names.add('a.ns.dns.skydns.local.');
    names.add('missing.skydns.local.');
    return [...names];
  }

  async function assertSameAnswers(names: readonly string[]): Promise<void> {
    const types = ['A', 'AAAA', 'SRV', 'TXT', 'MX', 'CNAME', 'PTR', 'NS', 'DS'];
    const differences: string[] = [];
    const outside = new Set(['db.skydns.local.']);
    for (const name of names) {
      for (const type of types) {
        const [own, ...others] = await Promise.all(
          [primary, ...secondaries.map(({ address }) => address)].map((server) =>
            answerOf(server, name, type),
          ),
        );
        // An alias has no other records in a zone; soradns answers SRV and PTR for it all the same.
        const isAlias = others[0]?.includes('CNAME') === true;
        if (isAlias && (type === 'SRV' || type === 'PTR')) continue;
        // A zone cannot have the CNAME that soradns gives for an outside host beside its SRV record.
        if (outside.has(name) && type !== 'SRV') continue;
        // Of the name servers a zone has the addresses only.
        if (name.endsWith('.dns.skydns.local.') && type !== 'A' && type !== 'AAAA') continue;
        others.forEach((other, i) => {
          if (other !== own)
            differences.push(`${name} ${type}: ${own} | ${secondaries[i]?.program}: ${other}`);
        });
      }
    }
    assert.deepEqual(differences, []);
  }
});

/** The answer section, sorted, and the rcode; of a referral all sections. */
async function answerOf(server: SocketAddress, name: string, type: string): Promise<string> {
  const options = { recursionDesired: false, transport: 'tcp' } as const;
  const reply = await query(server, question(name, type), options);
  const { rcode, answer, authority, additional, authoritative } = reply;
  if (authority.some((rr) => rr.type === Type.NS) && answer.length === 0)
    return `refers ${authoritative} ${[...authority, ...additional].map(printRr).sort().join(' ; ')}`;
  const isAlias = answer.some((rr) => rr.type === Type.CNAME);
  return `${isAlias ? 'alias' : rcode} ${answer.map(printRr).sort().join(' ; ')}`;
}
