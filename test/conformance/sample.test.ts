/**
 * Published requests and responses of SkyDNS and of CoreDNS's etcd plugin (`sample.json`), run with a real etcd over
 * real UDP and TCP. Each group has its own services and settings. A case asserts only the fields that it has.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { printSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import { printName } from '../../src/dns/name.ts';
import { typeCode, typeName } from '../../src/dns/presentation/mnemonic.ts';
import { printRdata } from '../../src/dns/presentation/presentation.ts';
import { Class, Rcode, type Rr } from '../../src/dns/rr.ts';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import type { Store } from '../../src/store/store.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { ETCD_VERSIONS } from '../support/etcdVersions.ts';
import { freePort } from '../support/freePort.ts';
import { query, startTestServer, type TestServer } from '../support/server.ts';
import { inGroups } from '../support/storeCalls.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';
import { lacking, makeKeys } from '../support/validators.ts';
import { name } from '../support/zone.ts';

/** Cases in which soradns deviates from the published answer, with the reason. */
const DEVIATIONS: Readonly<Record<string, { readonly rcode: string; readonly why: string }>> = {
  'skydns/forward-norec/00': {
    rcode: 'REFUSED',
    why: "Docker's resolver tries its next server after REFUSED and after SERVFAIL; only REFUSED describes the case",
  },
  'skydns/dns/41-local-dns-skydns-test-a-ch': {
    rcode: 'REFUSED',
    why: 'a resolver repeats a question elsewhere after SERVFAIL, and no server has such names in class CH',
  },
  ...Object.fromEntries(
    ['35-doesnotexist-a', '36-doesnotexist-a-again'].map((id) => [
      `skydns/dnssec/${id}`,
      { rcode: 'NOERROR', why: 'compact denial says so of a missing name (RFC 9824 §3)' },
    ]),
  ),
  'skydns/stub-forward/02-loop': {
    rcode: 'SERVFAIL',
    why: 'a reply spares the client its timeout',
  },
};

interface Record_ {
  readonly name: string;
  readonly type: string;
  readonly ttl: number | null;
  readonly data: string;
  readonly strict?: string;
}

interface Case {
  readonly id: string;
  readonly qname: string;
  readonly qtype: string;
  readonly qclass?: string;
  readonly proto?: 'tcp';
  readonly rcode: string;
  readonly answerMin?: number;
  readonly answer?: readonly Record_[];
  readonly ns?: readonly Record_[];
  readonly extra?: readonly Record_[];
  readonly optional?: boolean;
}

type Section = 'answer' | 'ns' | 'extra';

interface Group {
  readonly suite: string;
  readonly group: string;
  readonly zones: readonly string[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly compare: Readonly<Partial<Record<Section, readonly string[]>>>;
  readonly upstream?: { readonly records: readonly Record_[] };
  /** A stub zone whose server has these records. */
  readonly stub?: { readonly key: string; readonly records: readonly Record_[] };
  /** The domain is signed, and clients ask for signatures. */
  readonly dnssec?: boolean;
  /** The key of a stub zone whose server is the server itself. */
  readonly ownStub?: string;
  readonly services: readonly { key: string; value: unknown; ttl?: number }[];
  readonly generate?: readonly { from: number; to: number; key: string; value: unknown }[];
  readonly cases: readonly Case[];
}

const sample = JSON.parse(readFileSync(new URL('./sample.json', import.meta.url), 'utf8')) as {
  readonly groups: readonly Group[];
};

describe('etcd versions', { concurrency: 1 }, () => {
  for (const { title, options, command } of ETCD_VERSIONS)
    describe(title, options, () => published(command));
});

function published(command: string): void {
  describe('published cases', () => {
    let etcd: Etcd;
    let store: Store;
    before(async () => {
      etcd = await startEtcd({ command });
      store = new EtcdStore({ endpoints: [`http://${etcd.endpoint}`] });
    });
    after(async () => {
      await store?.close();
      await etcd?.stop();
    });

    for (const group of sample.groups) {
      const skip = group.dnssec === true && lacking('dnssec-keygen');
      describe(`${group.suite} ${group.group}`, { skip }, () => {
        const folder = mkdtempSync(join(tmpdir(), 'soradns-published-'));
        let upstream: TestUpstream | undefined;
        let stub: TestUpstream | undefined;
        let server: TestServer;
        before(async () => {
          await fill(store, group);
          upstream = await upstreamOf(group.upstream);
          stub = await upstreamOf(group.stub);
          const address = { address: '127.0.0.1', port: await freePort() };
          await putStub(store, group.stub?.key, stub);
          await putStub(store, group.ownStub, address);
          const addr = printSocketAddress(address);
          const keys = group.dnssec === true ? { dnssec: keysIn(folder, group.zones) } : {};
          server = await startTestServer({ ...flagsOf(group, etcd, upstream), ...keys, addr });
        });
        after(async () => {
          await server?.close();
          await upstream?.close();
          await stub?.close();
          rmSync(folder, { recursive: true });
        });
        for (const published of group.cases) {
          it(`The server gives the published answer to ${published.id}`, () =>
            run(server, group, published));
        }
      });
    }
  });
}

/** One key for each domain, which signs everything, as in SkyDNS. */
function keysIn(folder: string, zones: readonly string[]): string {
  for (const zone of zones) makeKeys(folder, zone, [[]]);
  return folder;
}

async function fill(store: Store, group: Group): Promise<void> {
  await store.deleteTree('/skydns/');
  const put = (key: string, value: unknown, ttlSeconds?: number) =>
    store.put(key, Buffer.from(JSON.stringify(value)), { ttlSeconds });
  for (const { key, value, ttl } of group.services) await put(key, value, ttl);
  for (const { from, to, key, value } of group.generate ?? []) {
    const numbers = Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
    await inGroups(numbers, 100, (i) => {
      const text = JSON.stringify(value).replaceAll('{i}', i);
      return put(key.replaceAll('{i}', i), JSON.parse(text));
    });
  }
}

async function putStub(
  store: Store,
  key: string | undefined,
  server: SocketAddress | undefined,
): Promise<void> {
  if (key === undefined || server === undefined) return;
  const { address: host, port } = server;
  await store.put(key, Buffer.from(JSON.stringify({ host, port })), {});
}

async function upstreamOf(
  given: { readonly records: readonly Record_[] } | undefined,
): Promise<TestUpstream | undefined> {
  if (given === undefined) return undefined;
  const records = given.records.map((r) => `${r.name} ${r.ttl} ${r.type} ${r.data}`);
  return startUpstream({ records });
}

function flagsOf(group: Group, etcd: Etcd, upstream: TestUpstream | undefined) {
  const { settings } = group;
  const flag = (option: string, setting: string) =>
    settings[setting] === undefined ? {} : { [option]: String(settings[setting]) };
  return {
    store: `etcd://${etcd.endpoint}`,
    // Linux refuses a fork to a process that has reserved more memory than the machine has, and this process starts
    // many servers.
    'table-memory': '16',
    domain: group.zones,
    'round-robin': false,
    stubzones: settings.stubZones === true,
    ...flag('ttl', 'ttl'),
    ...flag('min-ttl', 'minTtl'),
    ...flag('priority', 'priority'),
    ...flag('ndots', 'ndots'),
    ...flag('local', 'local'),
    ...(upstream === undefined
      ? { 'no-rec': true }
      : { 'no-rec': false, nameservers: `127.0.0.1:${upstream.port}` }),
  };
}

async function run(server: TestServer, group: Group, published: Case): Promise<void> {
  const qtype = typeCode(published.qtype);
  assert.ok(qtype !== undefined);
  const qclass = published.qclass === 'CH' ? Class.CH : Class.IN;
  const reply = await query(
    server.dns,
    { qname: name(published.qname), qtype, qclass },
    {
      transport: published.proto ?? 'udp',
      edns: { udpSize: 4096, dnssecOk: group.dnssec === true },
    },
  );
  const expectedRcode = DEVIATIONS[published.id]?.rcode ?? published.rcode;
  if (expectedRcode !== '*') assert.equal(Object.keys(Rcode)[reply.rcode], expectedRcode);
  if (published.answerMin !== undefined) assert.ok(reply.answer.length >= published.answerMin);
  const isMail = published.qtype === 'MX';
  compare(group, 'answer', reply.answer, published, false);
  compare(group, 'ns', reply.authority, published, group.dnssec === true);
  compare(group, 'extra', reply.additional, published, isMail);
}

function compare(
  group: Group,
  section: Section,
  actual: readonly Rr[],
  published: Case,
  isSubset: boolean,
): void {
  const expected = published[section];
  const asserted = group.compare[section];
  if (expected === undefined || asserted === undefined || asserted.length === 0) return;
  if (published.answerMin !== undefined) return;
  if (!isSubset) assert.equal(actual.length, expected.length, `${section}: ${actual.map(show)}`);
  for (const record of expected) {
    const found = actual.some((rr) => matches(rr, record, asserted));
    assert.ok(
      found,
      `${section}: ${JSON.stringify(record)} not in\n${actual.map(show).join('\n')}`,
    );
  }
}

function matches(rr: Rr, expected: Record_, asserted: readonly string[]): boolean {
  if (typeName(rr.type) !== expected.type) return false;
  if (asserted.includes('name') && printName(rr.owner) !== expected.name) return false;
  if (asserted.includes('ttl') && expected.ttl !== null && !isTtl(rr.ttlSeconds, expected.ttl)) {
    return false;
  }
  return !asserted.includes('data') || isData(printRdata(rr), expected);
}

/** The TTL of a leased record may already be a few seconds lower. */
function isTtl(actual: number, expected: number): boolean {
  return actual <= expected && actual >= expected - (expected === 360 ? 5 : 0);
}

function isData(actual: string, expected: Record_): boolean {
  const join = (text: string) => (expected.type === 'TXT' ? text.replaceAll('" "', '') : text);
  const words = join(expected.data).split(' ');
  const actualWords = join(actual).split(' ');
  return (
    words.length === actualWords.length &&
    words.every((word, i) => word === '*' || word === actualWords[i])
  );
}

function show(rr: Rr): string {
  return `${printName(rr.owner)} ${rr.ttlSeconds} ${typeName(rr.type)} ${printRdata(rr)}`;
}
