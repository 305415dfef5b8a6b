/** The answer cache of a running server, with a real upstream and a reader in place of a worker. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LiveConfig } from '../../src/app/answering/liveConfig.ts';
import { cacheSourceOf, OutsideCache } from '../../src/app/answering/outsideCache.ts';
import { readConfig } from '../../src/config/config.ts';
import { openFastPath } from '../../src/dataplane/reply/reader.ts';
import { counterBlock, newCounterMemory } from '../../src/dataplane/table/counters.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { Question, Response } from '../../src/dns/message.ts';
import { Class, Rcode, Type } from '../../src/dns/rr.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';

const MAX_UDP_OCTETS = 1232;
const TTL = 60;
/** After this time a fresh answer is in the last tenth of its TTL, and has three seconds left. */
const LATE_MS = 57_000;

const PLAIN = { checkingDisabled: false, dnssecOk: false, client: '127.0.0.1' };

interface Scene {
  readonly upstream: TestUpstream;
  readonly liveConfig: LiveConfig;
  readonly outside: OutsideCache;
  /** Whether a worker whose clock is ahead by these milliseconds has the answer. */
  readonly ask: (question: Question, aheadMs: number) => boolean;
}

async function openScene(t: TestContext, names: readonly string[]): Promise<Scene> {
  const records = names.map((name) => `${name} ${TTL} A 192.0.2.1`);
  const upstream = await startUpstream({ records, behaviour: { delayMs: 20 } });
  t.after(() => upstream.close());
  const read = readConfig({
    flags: { store: 'memory:', nameservers: `127.0.0.1:${upstream.port}`, addr: '127.0.0.1:5398' },
    env: {},
    readFile: () => ({ problem: 'ENOENT' }),
    stateDirectory: '/nonexistent',
  });
  assert.ok(read.kind === 'config');
  const write = () => {};
  const log = {
    debug: write,
    info: write,
    warn: write,
    error: write,
    close: write,
    setLevel: write,
  };
  const liveConfig = new LiveConfig(read.config, '/skydns/config', log);
  t.after(() => liveConfig.close());
  const table = new AnswerTable(2 ** 18, 99, MAX_UDP_OCTETS);
  table.active = true;
  const onError = (error: unknown) => assert.fail(String(error));
  const outside = new OutsideCache({ table: table.handle, liveConfig, onError });
  t.after(() => outside.close());
  let aheadMs = 0;
  const handle = { ...table.handle, cache: outside.memory };
  const counters = counterBlock(newCounterMemory(1), 0);
  const fastPath = openFastPath(handle, 1, counters, () => performance.now() + aheadMs);
  const packet = new Uint8Array(MAX_UDP_OCTETS);
  const ask = (question: Question, ahead: number): boolean => {
    aheadMs = ahead;
    const query = encodeQuery({ id: 1, question, recursionDesired: true, checkingDisabled: false });
    packet.set(query);
    fastPath.beginBatch();
    const length = fastPath.answer(packet, 0, query.length, true);
    fastPath.endBatch();
    return length > 0;
  };
  return { upstream, liveConfig, outside, ask };
}

function questionFor(name: string): Question {
  return { qname: name.split('.'), qtype: Type.A, qclass: Class.IN };
}

function answerTo({ qname }: Question): Response {
  const rdata = { kind: 'address', address: '192.0.2.1' } as const;
  const answer = [{ owner: qname, type: Type.A, class: Class.IN, ttlSeconds: TTL, rdata }];
  const flags = { authoritative: false, recursionAvailable: true };
  return { rcode: Rcode.NOERROR, ...flags, answer, authority: [], additional: [] };
}

test('More answers than are prefetched at a time are all prefetched, each once', async (t) => {
  const names = Array.from({ length: 150 }, (_, i) => `n${i}.outside.test`);
  const { upstream, outside, ask } = await openScene(t, names);
  const questions = names.map(questionFor);
  for (const question of questions)
    for (let i = 0; i < 2; i++) outside.offer(question, answerTo(question));
  const offeredMs = performance.now();
  const sent = () => upstream.queries.map(({ name }) => name.toLowerCase());
  await until('every question is sent', () => {
    const known = new Set(sent());
    const others = names.filter((name) => !known.has(name));
    // The worker's clock stands still: the answers must not expire while the main thread is slow.
    const aheadMs = offeredMs + LATE_MS - performance.now();
    for (const name of others) ask(questionFor(name), aheadMs);
    return others.length === 0;
  });
  assert.deepEqual(sent().sort(), [...names].sort());
});

/** Flushes both caches. */
function flush({ outside: outsideCache, liveConfig }: Scene): number | undefined {
  const none = { blocks: [] };
  return cacheSourceOf({ outsideCache, liveConfig, udp: none, tcp: none })?.flush(undefined);
}

function forward({ liveConfig }: Scene, name: string, dnssecOk = false): Promise<unknown> {
  const { forwarder } = liveConfig;
  assert.ok(forwarder !== undefined);
  return forwarder.resolve(questionFor(name), { ...PLAIN, dnssecOk });
}

test('An answer that was prefetched before a flush does not come into the cache after it', async (t) => {
  const names = ['www.outside.test', 'late.outside.test'];
  const scene = await openScene(t, names);
  const { upstream, outside, ask } = scene;
  const question = questionFor('www.outside.test');
  for (let i = 0; i < 2; i++) outside.offer(question, answerTo(question));
  upstream.behave({ delayMs: 300 });
  assert.ok(ask(question, LATE_MS));
  await until('the question is sent', () => upstream.queries.length === 1);
  assert.equal(flush(scene), 1);
  // The upstream replies to this question after it has replied to the other.
  await forward(scene, 'late.outside.test');
  assert.equal(ask(question, 0), false);
  assert.equal(flush(scene), 1, 'the later answer');
});

test('A flush counts each question once, if its answer had not expired', async (t) => {
  const names = ['both.outside.test', 'forwarded.outside.test', 'shared.outside.test'];
  const scene = await openScene(t, [...names, 'bad.outside.test']);
  const { upstream, outside } = scene;
  upstream.behave(({ name }) =>
    name.toLowerCase().startsWith('bad') ? { rcode: 'SERVFAIL' } : {},
  );
  const [both = '', forwarded = '', shared = ''] = names;
  await forward(scene, both);
  await forward(scene, both, true);
  await forward(scene, forwarded);
  await forward(scene, 'bad.outside.test');
  for (const question of [both, shared].map(questionFor))
    for (let i = 0; i < 2; i++) outside.offer(question, answerTo(question));
  assert.equal(flush(scene), 3);
  assert.equal(flush(scene), 0);
  upstream.serve([`${forwarded} 1 A 192.0.2.1`]);
  await forward(scene, forwarded);
  await sleep(1_100);
  assert.equal(flush(scene), 0, 'it has expired');
});
