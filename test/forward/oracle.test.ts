/**
 * Unbound as an oracle: it and soradns forward random questions to the same upstream, and give the same answers. Set
 * SORADNS_ORACLE_QUESTIONS to compare more.
 *
 * They differ by design where the upstream fails or its data is broken, and the random questions leave that out:
 * - A name that the upstream refuses is REFUSED from soradns, after which Docker's resolver asks its next server, and
 *   SERVFAIL from unbound.
 * - Aliases in a circle: soradns passes the upstream's answer on, and unbound says SERVFAIL.
 * - TTLs: soradns keeps negative answers for five minutes at most, unbound for an hour.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { SocketAddress } from '../../src/dns/address.ts';
import type { Message, Question } from '../../src/dns/message.ts';
import type { Rr } from '../../src/dns/rr.ts';
import { freePort } from '../support/freePort.ts';
import { printed, questionOf } from '../support/messages.ts';
import { query, startTestServer, type TestServer } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';

const QUESTIONS = Number(process.env.SORADNS_ORACLE_QUESTIONS ?? 2_000);
/** Questions at a time. */
const BATCH = 50;

const ZONES = ['example.com', 'sub.example.com', 'example.net'];
const LABELS = ['a', 'b', 'c', 'd', 'Www', '_tcp'];
const TYPES = ['A', 'AAAA', 'TXT', 'MX', 'SRV', 'PTR', 'CNAME', 'SOA', 'NS'];

const zone = fc.constantFrom(...ZONES);
const owner = fc
  .tuple(fc.array(fc.constantFrom(...LABELS), { maxLength: 3 }), zone)
  .map(([labels, apex]) => [...labels, apex].join('.'));
const ttl = fc.constantFrom(0, 1, 30, 3_600, 100_000);

/** The records of one name: an alias, or records of some types. */
const recordsOf = fc.oneof(
  fc.tuple(owner, ttl).map(([target, seconds]) => [`${seconds} CNAME ${target}.`]),
  fc
    .array(
      fc.tuple(
        ttl,
        fc.oneof(
          fc.nat(255).map((n) => `A 192.0.2.${n}`),
          fc.nat(255).map((n) => `AAAA 2001:db8::${n.toString(16)}`),
          fc.nat(9).map((n) => `TXT text-${n}`),
          owner.map((name) => `MX 10 ${name}`),
          owner.map((name) => `SRV 0 5 80 ${name}`),
          owner.map((name) => `PTR ${name}.`),
        ),
      ),
      { minLength: 1, maxLength: 6 },
    )
    .map((rrs) => rrs.map(([seconds, rest]) => `${seconds} ${rest}`)),
);

const zoneData = fc
  .uniqueArray(fc.tuple(owner, recordsOf), {
    minLength: 60,
    maxLength: 90,
    selector: ([name]) => name.toLowerCase(),
  })
  .map((names) => withoutCircles(names).flatMap(([name, rrs]) => uniformTtl(name, rrs)));

type Names = readonly (readonly [name: string, rrs: readonly string[]])[];

/** Leaves out the names whose aliases lead in a circle or through more than five names. */
function withoutCircles(names: Names): Names {
  const targets = new Map(
    names.flatMap(([name, [first = '']]) => {
      const target = / CNAME (.*)\.$/.exec(first)?.[1];
      return target === undefined ? [] : [[name.toLowerCase(), target.toLowerCase()] as const];
    }),
  );
  return names.filter(([name]) => {
    let at: string | undefined = name.toLowerCase();
    for (let links = 0; at !== undefined; links++) {
      if (links > 5) return false;
      at = targets.get(at);
    }
    return !ZONES.includes(name) || !targets.has(name);
  });
}

/** RFC 2181 §5.2: the records of one type have one TTL; each record once. */
function uniformTtl(name: string, rrs: readonly string[]): string[] {
  const seconds = new Map<string, string>();
  const lines = rrs.map((rr) => {
    const [own = '', type = '', ...rest] = rr.split(' ');
    if (!seconds.has(type)) seconds.set(type, own);
    return `${name}. ${seconds.get(type)} ${type} ${rest.join(' ')}`;
  });
  return [...new Set(lines)];
}

const SOAS = ZONES.map(
  (apex, i) => `${apex}. 60 SOA ns.${apex}. host.${apex}. ${i + 1} 3600 600 86400 30`,
);

let folder: string;
let upstream: TestUpstream;
let server: TestServer;
let unbound: { readonly address: SocketAddress; stop(): Promise<void> };

before(async () => {
  folder = await newTempDir();
  upstream = await startUpstream();
  const nameservers = `${upstream.address}:${upstream.port}`;
  server = await startTestServer({ 'no-rec': false, nameservers });
  unbound = await startUnbound(folder, upstream);
});
after(async () => {
  await unbound?.stop();
  await server?.close();
  await upstream?.close();
  if (folder !== undefined) await removeDir(folder);
});

test(`Unbound gives the same answers to ${QUESTIONS} random questions`, async () => {
  const seed = Number(process.env.SORADNS_ORACLE_SEED ?? Date.now() % 2 ** 31);
  const [records = []] = fc.sample(zoneData, { numRuns: 1, seed });
  upstream.serve([...records, ...SOAS]);
  const question = fc
    .tuple(owner, fc.constantFrom(...TYPES))
    .map(([name, type]) => questionOf(name, type));
  const asked = fc.sample(question, { numRuns: QUESTIONS, seed });
  const rcodes = new Set<string>();
  for (let at = 0; at < asked.length; at += BATCH) {
    await Promise.all(
      asked.slice(at, at + BATCH).map(async (each) => {
        const [ours, theirs] = await Promise.all([
          query(server.dns, each),
          query(unbound.address, each),
        ]);
        const about = `seed ${seed}: ${each.qname.join('.')} ${each.qtype}`;
        assert.deepEqual(contentOf(ours), contentOf(theirs), about);
        assertEchoed(each, ours);
        const isPositive = ours.answer.some(({ type }) => type === each.qtype);
        rcodes.add(`${ours.rcode} ${isPositive}`);
      }),
    );
  }
  assert.deepEqual([...rcodes].sort(), ['0 false', '0 true', '3 false']);
});

test('Unbound hides a refusal and a circle of aliases, and keeps negative answers longer', async () => {
  const soa = 'example.com. 9000 SOA ns.example.com. host.example.com. 9 3600 600 86400 9000';
  const circle = ['round1.example.com. 60 CNAME round2.example.com.'];
  circle.push('round2.example.com. 60 CNAME round1.example.com.');
  upstream.serve([...circle, soa]);
  upstream.behave(({ name }) => (/^refused/i.test(name) ? { rcode: 'REFUSED' } : {}));
  const both = async (name: string, type = 'A') => {
    const asked = questionOf(name, type);
    return [await query(server.dns, asked), await query(unbound.address, asked)] as const;
  };
  const rcodes = (replies: readonly Message[]) => replies.map(({ rcode }) => rcode);
  assert.deepEqual(rcodes(await both('refused.example.com')), [5, 2]);
  assert.deepEqual(rcodes(await both('round1.example.com')), [0, 2]);
  const negative = await both('not-there.example.com');
  assert.deepEqual(rcodes(negative), [3, 3]);
  const [ours = 0, theirs = 0] = negative.map(({ authority }) => authority[0]?.ttlSeconds);
  // A second may have passed since the upstream's reply.
  assert.ok(ours <= 300 && ours >= 298, `${ours}`);
  assert.ok(theirs <= 3_600 && theirs >= 3_598, `${theirs}`);
});

/** What clients see: the rcode, and the records without order, case and TTLs. */
function contentOf({ rcode, answer, authority }: Message) {
  const texts = (rrs: readonly Rr[]) =>
    printed(rrs)
      .map((line) => line.replace(/^(\S+) \d+ /, '$1 ').toLowerCase())
      .sort();
  return { rcode, answer: texts(answer), authority: texts(authority) };
}

function assertEchoed(question: Question, reply: Message): void {
  assert.deepEqual(reply.questions, [question]);
}

async function startUnbound(path: string, { address, port }: SocketAddress) {
  const own = { address: '127.0.0.1', port: await freePort() };
  const file = join(path, 'unbound.conf');
  await writeFile(
    file,
    `server:
  interface: ${own.address}@${own.port}
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  directory: "${path}"
  num-threads: 1
  do-not-query-localhost: no
  module-config: "iterator"
  minimal-responses: yes
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: ${address}@${port}
`,
  );
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const child = spawn('unbound', ['-d', '-c', file], { env, stdio: 'ignore' });
  const ended = once(child, 'exit');
  await until('unbound listens', () => isListening(own));
  return {
    address: own,
    async stop() {
      child.kill();
      await ended;
    },
  };
}

function isListening({ address, port }: SocketAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, address, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
