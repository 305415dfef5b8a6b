/**
 * Stored wildcards beside BIND, Knot and NSD: random zones, whose few labels make closest enclosers collide, give the
 * same answers. `SORADNS_QUESTIONS` sets how many questions each server gets, `SORADNS_SEED` which zones there are.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { SocketAddress } from '../../src/dns/address.ts';
import type { Message, Question } from '../../src/dns/message.ts';
import { printName } from '../../src/dns/name.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { Type } from '../../src/dns/rr.ts';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { contentsAt, listingView, namesOf, soaOf } from '../../src/zone/contents.ts';
import { freePort } from '../support/freePort.ts';
import { askMany } from '../support/manyQuestions.ts';
import {
  missingSecondaries,
  SECONDARIES,
  type Secondary,
  type SecondaryProgram,
  startSecondary,
} from '../support/secondaries.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { catalogOf, name, question, type Services, viewOf } from '../support/zone.ts';

const QUESTIONS = Number(process.env.SORADNS_QUESTIONS ?? 2_000);
const SEED = Number(process.env.SORADNS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ZONES = 8;
const missing = missingSecondaries();

interface Zone {
  readonly apex: string;
  readonly services: Services;
  /** Zone-file text. */
  readonly text: string;
}

const labels = fc.constantFrom('a', 'b', 'c', '*', '*');
/** From the apex downwards. */
const path = fc.array(labels, { minLength: 1, maxLength: 4 });
const value = fc.record(
  {
    host: fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1'),
    text: fc.constantFrom('one', 'two'),
    ttl: fc.constantFrom(60, 300),
  },
  { requiredKeys: ['ttl'], noNullPrototype: true },
);
/** Small zones as well as full ones: the fewer names, the higher the closest enclosers are. */
const services = fc.array(fc.tuple(path, value), { minLength: 2, maxLength: 24 });

/** With SRV records, but not at wildcards: a record there cannot have the question's name as its target. */
function servicesOf(
  apex: string,
  given: typeof services extends fc.Arbitrary<infer T> ? T : never,
) {
  const base = apex.split('.').reverse().join('/');
  const entries = given
    .filter(([, { host, text }]) => host !== undefined || text !== undefined)
    .map(([at, each]) => {
      const port = at.includes('*') || each.host === undefined ? -1 : 80;
      return [`${base}/${at.join('/')}`, { ...each, port }] as const;
    });
  return { ...Object.fromEntries(entries), [`${base}/dns/ns/ns1`]: { host: '127.0.0.1', ttl: 60 } };
}

/** Zones without aggregates have the records of each key, and no others. */
function plainText(apex: string, values: Services): string {
  const lines = [`${apex}. 60 IN SOA ns.${apex}. hostmaster.${apex}. 1 7200 1800 86400 60`];
  for (const [key, each] of Object.entries(values)) {
    const { host, text, ttl, port } = each as Readonly<Record<string, string | number>>;
    const owner = `${key.split('/').reverse().join('.')}. ${ttl} IN`;
    if (key.includes('/dns/')) lines.push(`${apex}. ${ttl} IN NS ${owner.split(' ')[0]}`);
    if (host !== undefined) {
      lines.push(`${owner} ${String(host).includes(':') ? 'AAAA' : 'A'} ${host}`);
      if (port === 80) lines.push(`${owner} SRV 10 100 80 ${owner.split(' ')[0]}`);
    }
    if (text !== undefined) lines.push(`${owner} TXT "${text}"`);
  }
  return lines.join('\n');
}

/** The records that soradns gives to secondaries. */
function transferredText(apex: string, values: Services): string {
  const at = name(`${apex}.`);
  const view = listingView(viewOf(catalogOf(values), { settings: { apexes: [at] } }));
  const rrs = [...namesOf(view, at)].flatMap((each) => [
    ...contentsAt(view, each, { aggregates: true }).rrs,
  ]);
  return [soaOf(view, at, 1), ...rrs].map(printRr).join('\n');
}

const KINDS = [
  ['without aggregates', 'plain', { 'aggregate-depth': '0' }, plainText],
  ['with aggregates', 'whole', {}, transferredText],
] as const;

describe('Stored wildcards beside other servers', {
  skip: missing.length > 0 && `${missing.join(', ')} not installed`,
}, () => {
  const zones = new Map<string, readonly Zone[]>();
  const servers = new Map<string, TestServer>();
  const peers: Secondary[] = [];
  let folder = '';

  before(async () => {
    folder = await newTempDir();
    for (const [, word, flags, textOf] of KINDS) {
      const made = fc.sample(services, { seed: SEED, numRuns: ZONES }).map((given, i): Zone => {
        const apex = `${word}${i}.test`;
        const values = servicesOf(apex, given);
        return { apex, services: values, text: textOf(apex, values) };
      });
      zones.set(word, made);
      const domain = made.map(({ apex }) => apex).join(',');
      const store = join(folder, word);
      await fill(store, made);
      const options = { domain, store: `file:${store}`, 'question-wildcards': 'none', ...flags };
      servers.set(word, await startTestServer(options));
    }
    const all = [...zones.values()].flat();
    for (const { apex, text } of all) writeFileSync(join(folder, `${apex}.zone`), `${text}\n`);
    for (const program of SECONDARIES) {
      const config = CONFIGS[program](all, folder);
      peers.push(startSecondary(program, { port: await freePort(), folder, config }));
    }
    const apexes = all.map(({ apex }) => question(`${apex}.`, 'SOA'));
    for (const { program, address, log } of peers) {
      const isReady = () => answersAll(address, apexes);
      await until(`${program} serves the zones`, isReady).catch((error) => {
        throw new Error(`${error}\n${log()}`);
      });
    }
  });

  after(async () => {
    await Promise.all(peers.map((peer) => peer.kill()));
    await Promise.all([...servers.values()].map((server) => server.close()));
    await removeDir(folder);
  });

  for (const [what, word] of KINDS) {
    it(`Random zones ${what} answer as BIND, Knot and NSD do (seed ${SEED})`, async () => {
      const asked = questionsTo(zones.get(word) ?? []);
      const { dns } = servers.get(word) as TestServer;
      const ours = await askMany(dns, asked);
      // Now the answer table has the answers.
      const again = await askMany(dns, asked);
      let synthesized = 0;
      for (const { program, address } of peers) {
        const theirs = await askMany(address, asked);
        for (const [i, each] of asked.entries()) {
          const zone = zones.get(word)?.find(({ apex }) => printName(each.qname).includes(apex));
          const expected = outcome(theirs[i] as Message);
          const text = `${program}: ${printName(each.qname)} ${each.qtype}\n${zone?.text}`;
          assert.deepEqual(outcome(ours[i] as Message), expected, text);
          assert.deepEqual(outcome(again[i] as Message), expected, `again, ${text}`);
          const owner = expected[1]?.split(' ')[0];
          if (owner !== undefined && !zone?.text.includes(`\n${owner}`)) synthesized++;
        }
      }
      assert.ok(synthesized > QUESTIONS / 20, `only ${synthesized} answers came from wildcards`);
    });
  }
});

/** Keys with a value and children, which the API of etcd 2 refuses, need the store itself. */
async function fill(folder: string, zones: readonly Zone[]): Promise<void> {
  const store = await openFileStore(folder);
  for (const [key, each] of zones.flatMap((zone) => Object.entries(zone.services)))
    await store.put(`/skydns/${key}`, Buffer.from(JSON.stringify(each)));
  await store.close();
}

async function answersAll(server: SocketAddress, asked: readonly Question[]): Promise<boolean> {
  const replies = await askMany(server, asked);
  return replies.every(({ answer }) => answer.length > 0);
}

const TYPES = ['A', 'A', 'AAAA', 'TXT', 'SRV', 'MX', 'CNAME', 'ANY_OTHER'] as const;

function questionsTo(among: readonly Zone[]): readonly Question[] {
  const qname = fc.array(fc.constantFrom('a', 'b', 'c', 'x', '*'), { minLength: 1, maxLength: 6 });
  const asked = fc
    .tuple(fc.constantFrom(...among), qname, fc.constantFrom(...TYPES))
    .map(([{ apex }, first, type]) =>
      question(`${first.join('.')}.${apex}.`, type === 'ANY_OTHER' ? 'TYPE65280' : type),
    );
  return fc.sample(asked, { seed: SEED, numRuns: QUESTIONS });
}

/** The status, the answer's records, and for answers without records the owner of the SOA. */
function outcome({ rcode, authoritative, answer, authority }: Message): readonly string[] {
  const records = answer.map((rr) => printRr(rr).replaceAll('\t', ' ')).sort();
  const soa = authority.find(({ type }) => type === Type.SOA);
  const denied = records.length === 0 ? [`SOA ${soa && printName(soa.owner)}`] : [];
  return [`rcode ${rcode}, AA ${authoritative}`, ...records, ...denied];
}

const CONFIGS: Readonly<
  Record<SecondaryProgram, (zones: readonly Zone[], folder: string) => string>
> = {
  named: (zones, folder) =>
    zones
      .map(
        ({ apex }) =>
          `zone "${apex}" { type primary; check-names ignore; file "${folder}/${apex}.zone"; };`,
      )
      .join('\n'),
  knotd: (zones, folder) =>
    `zone:\n${zones
      .map(({ apex }) => `  - domain: ${apex}\n    file: "${folder}/${apex}.zone"`)
      .join('\n')}`,
  nsd: (zones, folder) =>
    zones
      .map(({ apex }) => `zone:\n  name: ${apex}\n  zonefile: "${folder}/${apex}.zone"`)
      .join('\n'),
};
