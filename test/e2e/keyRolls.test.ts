/**
 * Keys of each kind are replaced while a validating resolver asks two servers in turns, which share the keys and the
 * store. All of them, and the commands, have a clock that the test sets (libfaketime).
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SocketAddress } from '../../src/dns/address.ts';
import { Rcode, Type } from '../../src/dns/rr.ts';
import { spawnCli } from '../support/cli.ts';
import { type CliProcess, ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { Exposition } from '../support/prometheus.ts';
import { query } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import {
  anchorsIn,
  lacking,
  makeKeys,
  startUnbound,
  type Validator,
} from '../support/validators.ts';
import { question } from '../support/zone.ts';

const LIBRARY =
  readdirSync('/usr/lib')
    .map((folder) => `/usr/lib/${folder}/faketime/libfaketimeMT.so.1`)
    .find((path) => existsSync(path)) ?? '';
const missing =
  lacking('unbound', 'dnssec-keygen', 'faketime') ||
  (LIBRARY === '' ? 'optional: needs libfaketime' : false);

/** Its DS records of the domains below it follow their CDS at once. */
const PARENT = 'skydns.local';
const ROLLED = ['zsk', 'ksk', 'csk', 'alg'].map((label) => `${label}.${PARENT}`);
const TTL = 3_600;
const HOUR = 3_600;
const EDNS = { udpSize: 1232, dnssecOk: true };

interface RunningServer {
  readonly process: CliProcess;
  readonly dns: SocketAddress;
  readonly http: string;
  /** Questions that the test had sent to each server before this one started. */
  readonly directBefore: number;
}

describe('roll-overs', { skip: missing }, () => {
  let folder: string;
  let keys: string;
  let env: Record<string, string>;
  let validator: Validator;
  const servers: RunningServer[] = [];
  let seconds = 0;
  let asked = 0;
  let direct = 0;
  let isUnsigning = false;
  const faults: string[] = [];

  before(async () => {
    folder = await newTempDir();
    keys = join(folder, 'keys');
    setClock(0);
    env = {
      LD_PRELOAD: LIBRARY,
      FAKETIME_TIMESTAMP_FILE: join(folder, 'clock'),
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      FAKETIME_NO_CACHE: '1',
    };
    makeKeys(keys, PARENT, [['-f', 'KSK']]);
    for (const domain of ROLLED)
      makeKeys(keys, domain, domain.startsWith('csk') ? [['-f', 'KSK']] : undefined);
    const first = await serve('memory:');
    await serve(`http://${first}`);
    for (const domain of ROLLED) {
      const key = `/v2/keys/skydns/${`www.${domain}`.split('.').reverse().join('/')}`;
      const body = new URLSearchParams({ value: '{"host":"10.0.0.1"}' });
      assert.ok((await fetch(`http://${first}${key}`, { method: 'PUT', body })).ok);
    }
    const [{ dns: server }, { dns: other }] = servers as [RunningServer, RunningServer];
    const asks = (dns: SocketAddress) => query(dns, question(`www.${ROLLED[3]}.`, 'A'));
    await until('both have the names', async () => (await asks(other)).rcode === Rcode.NOERROR);
    validator = await startUnbound({
      ...{ folder, zones: [`${PARENT}.`], server, others: [other] },
      anchors: anchorsIn(keys).filter(([zone]) => zone === `${PARENT}.`),
      prefix: ['env', ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
    });
  });

  after(async () => {
    await validator?.stop();
    for (const { process } of servers.reverse()) await process.end('SIGKILL');
    await removeDir(folder);
  });

  function setClock(to: number): void {
    seconds = to;
    writeFileSync(join(folder, 'clock'), `+${to}`);
  }

  /** Starts a server; returns its HTTP address. */
  async function serve(store: string): Promise<string> {
    const server = await started(store, ON_FREE_PORTS);
    servers.push(server);
    return server.http.slice('http://'.length);
  }

  async function started(store: string, ports: readonly string[]): Promise<RunningServer> {
    const domains = [PARENT, ...ROLLED].flatMap((domain) => ['--domain', domain]);
    const options = ['--ttl', String(TTL), '--dnssec', keys, '--store', store, ...domains];
    const process = startCli(['serve', ...ports, ...options], env);
    const { dns, http } = await process.logged('serving');
    const [address = '', port] = String((dns as string[])[0]).split(':');
    return {
      ...{ process, dns: { address, port: Number(port) }, http: `http://${http}` },
      directBefore: direct,
    };
  }

  /** Kills the server that follows the other one, and starts it again at its address. */
  async function restartSecond(): Promise<void> {
    const [first, second] = servers as [RunningServer, RunningServer];
    await second.process.end('SIGKILL');
    const at = `${second.dns.address}:${second.dns.port}`;
    servers[1] = await started(first.http, ['--addr', at, '--http', '127.0.0.1:0']);
  }

  async function dnssec(...words: readonly string[]): Promise<string> {
    const [server] = servers;
    const at = ({ address, port }: SocketAddress) => `${address}:${port}`;
    const places = ['--nameservers', at(validator.address), '--server', at(server?.dns ?? NOWHERE)];
    const line = ['dnssec', ...words, '--keys', keys, '--longest-ttl', String(TTL), ...places];
    const { code, stdout, stderr } = await spawnCli(line, env);
    assert.equal(code, 0, `at ${seconds}: ${words.join(' ')}: ${stderr}`);
    return stdout;
  }

  async function reload(): Promise<void> {
    const applied = ({ process: { lines } }: RunningServer) =>
      lines().filter(({ msg }) => msg === 'applied the configuration that was read again').length;
    const counts = servers.map(applied);
    for (const {
      process: { pid },
    } of servers)
      process.kill(pid, 'SIGHUP');
    await until('the keys are read again', () =>
      servers.every((server, i) => applied(server) > (counts[i] ?? 0)),
    );
  }

  /** Asks until this time, each 20 minutes. */
  async function askUntil(end: number): Promise<void> {
    for (let now = seconds + 1_200; now <= end; now += 1_200) {
      setClock(now);
      const names = ROLLED.flatMap((domain) => [
        ...[
          [`www.${domain}.`, 'A'],
          [`www.${domain}.`, 'TXT'],
        ],
        ...[
          [`no${now}.${domain}.`, 'A'],
          [`${domain}.`, 'DNSKEY'],
        ],
      ]) as [string, string][];
      // A server looks at the dates each minute, and before an answer that the table lacks.
      direct += ROLLED.length;
      for (const { dns } of servers)
        for (const domain of ROLLED)
          await query(dns, question(`other${now}.${domain}.`, 'A'), { edns: EDNS });
      for (const [name, type] of names) {
        asked++;
        const { rcode, authenticData } = await query(validator.address, question(name, type), {
          edns: EDNS,
        });
        const isUnsigned = name.endsWith(`csk.${PARENT}.`) && isUnsigning;
        if (rcode === Rcode.SERVFAIL || !(authenticData || isUnsigned))
          faults.push(`${name} ${type} at ${now}: rcode ${rcode}`);
      }
    }
  }

  /** The key tags that a server publishes. */
  async function tagsOf(domain: string): Promise<readonly number[]> {
    const report = JSON.parse(await dnssec('status', domain, '--json'));
    return report.keys
      .filter(({ state }: { state: string }) => state !== 'deleted' && state !== 'waiting')
      .map(({ tag }: { tag: number }) => tag);
  }

  it('A validator accepts every answer while a ZSK, a KSK, a CSK and an algorithm are replaced, a server restarts, and a domain becomes unsigned', async () => {
    const before = await Promise.all(ROLLED.map(tagsOf));
    await askUntil(1_200);
    const start = seconds;
    const [zsk = '', ksk = '', csk = '', alg = ''] = ROLLED;
    await dnssec('roll', zsk, '--zsk');
    await dnssec('roll', ksk, '--ksk');
    await dnssec('roll', csk);
    await dnssec('roll', alg, '--ksk', '--algorithm', 'ed25519');
    await reload();
    await askUntil(start + 3 * HOUR + 1_200);
    for (const domain of [ksk, csk]) await dnssec('roll', domain, '--ksk');
    await reload();
    await askUntil(start + 5 * HOUR + 1_200);
    await dnssec('roll', alg, '--ksk');
    await reload();
    await restartSecond();
    await askUntil(start + 7 * HOUR);
    await dnssec('unsign', csk);
    isUnsigning = true;
    await reload();
    const edns = EDNS;
    for (const { dns } of servers) {
      const { answer } = await query(dns, question(`${csk}.`, 'CDS'), { edns });
      const data = answer.flatMap(({ type, rdata }) =>
        type === Type.CDS && rdata.kind === 'unknown'
          ? [Buffer.from(rdata.octets).toString('hex')]
          : [],
      );
      assert.deepEqual(data, ['0000000000']);
    }
    await askUntil(start + 9 * HOUR + 2_400);
    assert.deepEqual(faults, []);
    assert.ok(asked > 400, String(asked));
    const ended = await query(validator.address, question(`www.${csk}.`, 'A'), { edns });
    assert.equal(ended.authenticData, false);
    const now = await Promise.all(ROLLED.map(tagsOf));
    const kept = now.map((tags, i) => tags.filter((tag) => before[i]?.includes(tag)).length);
    assert.deepEqual(kept, [1, 1, 0, 0]);
    assert.deepEqual(
      now.map(({ length }) => length),
      [2, 2, 1, 2],
    );
    const algorithms = readdirSync(keys).filter((file) => /^Kalg.*\+015\+.*\.private$/.test(file));
    assert.equal(algorithms.length, 2);
    const status = JSON.parse(await dnssec('status', ksk, '--json'));
    const old = status.keys.find(({ state }: { state: string }) => state === 'deleted');
    assert.deepEqual([old.removable, old.next.step], [true, 'remove its files']);
    for (const { http, directBefore } of servers) {
      const metrics = new Exposition(await (await fetch(`${http}/metrics`)).text());
      // Besides the questions that the test itself sends to each.
      const fromValidator =
        metrics.value('soradns_dns_do_requests_total') - (direct - directBefore);
      assert.ok(fromValidator > 20, `${fromValidator} questions of the validator`);
    }
    const log = readFileSync(join(folder, 'unbound.log'), 'utf8');
    assert.ok(!/validation failure/.test(log), log.slice(-2_000));
  });
});

const NOWHERE: SocketAddress = { address: '127.0.0.1', port: 1 };
