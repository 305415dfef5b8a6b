/** `/metrics` of a whole server: the counts are right, and no client can make it longer. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { after, before, describe, it } from 'node:test';
import { allFamilies, METRICS_PATH } from '../../src/app/metricsPage.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { exposition } from '../../src/observability/metrics.ts';
import { AnswerCounters } from '../../src/server/answerCounters.ts';
import { nameOf } from '../support/messages.ts';
import { allMetricsSources } from '../support/metricsSources.ts';
import { bestMs, rawPacket } from '../support/packets.ts';
import { Exposition } from '../support/prometheus.ts';
import { query, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';
import { question } from '../support/zone.ts';

let upstream: TestUpstream;
let server: TestServer;

before(async () => {
  upstream = await startUpstream({ records: ['www.example.com. 300 A 192.0.2.80'] });
  server = await startTestServer({
    addr: ['127.0.0.1:0', '[::1]:0'],
    'no-rec': false,
    nameservers: `127.0.0.1:${upstream.port}`,
  });
  await put('/v2/keys/skydns/local/skydns/web', '{"host":"10.0.0.1"}');
  await put('/v2/keys/skydns/local/skydns/bad', '{"host":["x"]}');
  await until('the server has both values', async () => {
    const { answer } = await query(server.dns, question('web.skydns.local.', 'A'));
    return answer.length === 1 && server.lines.some((l) => l.message === 'value skipped');
  });
});
after(async () => {
  await server?.close();
  await upstream?.close();
});

async function put(path: string, value: string): Promise<void> {
  const body = new URLSearchParams({ value });
  const reply = await fetch(`http://127.0.0.1:${server.http?.port}${path}`, {
    method: 'PUT',
    body,
  });
  assert.ok(reply.ok, await reply.text());
}

async function scrape(): Promise<{ read: Exposition; text: string }> {
  const reply = await fetch(`http://127.0.0.1:${server.http?.port}${METRICS_PATH}`);
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const text = await reply.text();
  return { read: new Exposition(text), text };
}

/** Runs the work; returns a function that gives the growth of a metric. */
async function growth(work: () => Promise<unknown>) {
  const before = (await scrape()).read;
  await work();
  const after = (await scrape()).read;
  return (name: string, labels: Readonly<Record<string, string>> = {}): number =>
    after.value(name, labels) - before.value(name, labels);
}

const REQUESTS = 'soradns_dns_requests_total';
const RESPONSES = 'soradns_dns_responses_total';

describe('/metrics', () => {
  it('/metrics counts every query once, by transport, family, type and rcode', async () => {
    const [v4, v6] = server.endpoints;
    assert.ok(v4 !== undefined && v6 !== undefined);
    const edns = { udpSize: 1232, dnssecOk: true };
    const grew = await growth(async () => {
      for (let i = 0; i < 5; i++) await query(v4, question('web.skydns.local.', 'A'));
      for (let i = 0; i < 3; i++) await query(v6, question('nobody.skydns.local.', 'A'));
      await query(v4, question('web.skydns.local.', 'AAAA'), { transport: 'tcp', edns });
      await query(v4, question('web.skydns.local.', 'A'), { edns }); // answered from the table by now
      await query(v6, question('web.skydns.local.', 'SRV'), { transport: 'tcp' });
      await query(v4, { ...question('web.skydns.local.', 'A'), qtype: 64 });
      await query(v4, question('www.example.com.', 'A'), { recursionDesired: false });
    });
    const count = (proto: string, family: string, type: string): number =>
      grew(REQUESTS, { proto, family, type });
    assert.equal(count('udp', '1', 'A'), 7);
    assert.equal(count('udp', '2', 'A'), 3);
    assert.equal(count('tcp', '1', 'AAAA'), 1);
    assert.equal(count('tcp', '2', 'SRV'), 1);
    assert.equal(count('udp', '1', 'other'), 1);
    assert.equal(grew(REQUESTS), 13);
    assert.equal(grew(RESPONSES), 13);
    assert.equal(grew(RESPONSES, { rcode: 'NXDOMAIN' }), 3);
    assert.equal(grew(RESPONSES, { rcode: 'REFUSED' }), 1);
    assert.equal(grew('soradns_dns_request_duration_seconds_count'), 13);
    assert.equal(grew('soradns_dns_do_requests_total'), 2);
    assert.equal(grew('soradns_dns_edns_requests_total'), 2);
    assert.ok(grew('soradns_dns_request_bytes_total') >= 13 * 17);
    assert.ok(grew('soradns_dns_response_bytes_total') >= 13 * 17);
    assert.equal(grew('soradns_tcp_connections_accepted_total'), 2);
  });

  it('/metrics counts refused and dropped packets', async () => {
    const socket = dgram.createSocket('udp4');
    const send = (packet: Uint8Array) => socket.send(packet, server.dns.port, server.dns.address);
    try {
      const grew = await growth(async () => {
        const before = (await scrape()).read.value(RESPONSES);
        send(Buffer.alloc(5));
        send(rawPacket({ flags: 0x8000 }));
        send(rawPacket({ flags: 0x2800 })); // UPDATE
        send(rawPacket({ counts: [2, 0, 0, 0] }));
        await until('the replies are counted', async () => {
          return (await scrape()).read.value(RESPONSES) === before + 2;
        });
      });
      assert.equal(grew('soradns_dropped_total', { reason: 'short' }), 1);
      assert.equal(grew('soradns_dropped_total', { reason: 'response' }), 1);
      assert.equal(grew(RESPONSES, { rcode: 'NOTIMP' }), 1);
      assert.equal(grew(RESPONSES, { rcode: 'FORMERR' }), 1);
      assert.equal(grew(REQUESTS, { type: 'other' }), 2);
    } finally {
      socket.close();
    }
  });

  it('/metrics counts forwarded queries, cache hits and failures', async () => {
    const grew = await growth(async () => {
      for (let i = 0; i < 3; i++) await query(server.dns, question('www.example.com.', 'A'));
      await query(server.dns, question('short.', 'A'));
      upstream.behave({ rcode: 'SERVFAIL' });
      await query(server.dns, question('broken.example.com.', 'A'));
      upstream.behave({});
    });
    assert.equal(grew('soradns_forward_requests_total'), 5);
    assert.equal(grew('soradns_forward_cache_hits_total'), 2);
    assert.equal(grew('soradns_forward_refused_total'), 1);
    assert.equal(grew('soradns_forward_request_duration_seconds_count'), 2);
    assert.equal(grew('soradns_forward_failures_total', { reason: 'servfail' }), 1);
    assert.equal((await scrape()).read.value('soradns_forward_in_flight'), 0);
  });

  it('/metrics reports the state of the store and of the process', async () => {
    const { read } = await scrape();
    assert.equal(read.value('soradns_store_synced'), 1);
    assert.equal(read.value('soradns_store_keys'), 1);
    assert.equal(read.value('soradns_store_invalid_values'), 1);
    assert.equal(read.value('soradns_store_invalid_values_total'), 1);
    assert.ok(read.value('soradns_store_revision') > 0);
    assert.equal(read.value('soradns_store_stale_seconds'), 0);
    const now = Date.now() / 1000;
    assert.ok(Math.abs(now - read.value('soradns_store_last_event_timestamp_seconds')) < 60);
    const runsFor = now - read.value('process_start_time_seconds');
    assert.ok(Math.abs(runsFor - process.uptime()) < 5, `started ${runsFor} s ago`);
    assert.ok(read.value('process_open_fds') > 3);
    assert.ok(read.value('process_resident_memory_bytes') > 10e6);
    assert.ok(read.value('process_cpu_seconds_total') > 0);
    assert.ok(read.value('soradns_table_answers') > 0);
    assert.equal(read.value('soradns_build_info'), 1);
  });

  it('/metrics has the same series after a flood of random queries', async () => {
    const before = await scrape();
    const socket = dgram.createSocket('udp4');
    let replies = 0;
    socket.on('message', () => replies++);
    try {
      for (let i = 0; i < 2_000; i++) {
        const qname = nameOf(
          `${randomBytes(8).toString('hex')}.${i % 2 ? 'skydns.local' : 'nowhere'}.`,
        );
        const flooded = { qname, qtype: randomBytes(2).readUInt16BE(), qclass: 1 };
        const packet = encodeQuery({
          id: i,
          question: flooded,
          recursionDesired: false,
          checkingDisabled: false,
          edns: undefined,
        });
        socket.send(packet, server.dns.port, server.dns.address);
        if (i % 50 === 49) await until('most queries are answered', () => replies >= i - 200);
      }
    } finally {
      socket.close();
    }
    const after = await scrape();
    assert.deepEqual(after.read.series(), before.read.series());
    assert.ok(after.read.value(REQUESTS) - before.read.value(REQUESTS) > 1_000);
  });
});

it('/metrics has the same series after 100,000 clients, types and rcodes, and renders within 20 ms', () => {
  const answers = new AnswerCounters();
  const { dns, ...others } = allMetricsSources();
  assert.ok(dns !== undefined);
  const text = (): string =>
    exposition(allFamilies({ ...others, dns: { ...dns, answers: answers.blocks } }));
  const before = new Exposition(text()).series();
  const reply = Buffer.alloc(12);
  for (let i = 0; i < 100_000; i++) {
    const random = randomBytes(8);
    const client = {
      transport: i % 3 === 0 ? 'tcp' : 'udp',
      address:
        i % 2 === 0 ? random.subarray(0, 4).join('.') : `2001:db8::${random.toString('hex')}`,
      port: 1 + (i % 65_535),
    } as const;
    answers.answered(client, {
      packetOctets: 40,
      qtype: random.readUInt16BE(4),
      edns: undefined,
      rcode: random.readUInt16BE(6) % 4096,
      reply,
      durationMs: random.readUInt16BE(2) / 100,
    });
  }
  const after = new Exposition(text());
  assert.deepEqual(after.series(), before);
  assert.equal(after.value(REQUESTS), 100_000);
  assert.equal(after.value(RESPONSES), 100_000);
  assert.equal(after.value('soradns_dns_request_duration_seconds_count'), 100_000);
  const ms = bestMs(5, text);
  assert.ok(ms < 20, `a scrape takes ${ms} ms`);
});
