import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createQueryLog, Sampler } from '../../src/observability/queryLog.ts';

describe('the sampler', () => {
  it('The sampler passes a limited number of queries a second and counts the others', () => {
    const sampler = new Sampler(3);
    const at = (ms: number) => sampler.pass(ms);
    assert.deepEqual([0, 1, 500, 999, 999].map(at), [true, true, true, false, false]);
    assert.deepEqual([1000, 1001, 1002, 1003].map(at), [true, true, true, false]);
    assert.equal(sampler.takeSuppressed(), 3);
    assert.equal(sampler.takeSuppressed(), 0);
  });
});

describe('the query log', () => {
  const client = { transport: 'udp', address: '192.0.2.1', port: 4242 } as const;
  const question = { qname: ['A\u001b\u009b', 'x.y', 'example'], qtype: 33, qclass: 1 };

  function collect(perSecond: number) {
    const lines: { fields: Readonly<Record<string, unknown>>; message: string }[] = [];
    let nowMs = 0;
    let unrecorded = 1000;
    const log = createQueryLog({
      write: (fields, message) => lines.push({ fields, message }),
      perSecond,
      nowMs: () => nowMs,
      unrecorded: () => unrecorded,
    });
    const answerElsewhere = (queries: number): void => {
      unrecorded += queries;
    };
    return { lines, log, tick: () => nowMs++, answerElsewhere };
  }

  it('The query log prints a query’s fields, with the name in presentation format', () => {
    const { lines, log } = collect(10);
    log.record(client, question, 3, 0.12345);
    log.record(client, { ...question, qtype: 4711, qclass: 3 }, 0, 1);
    log.close();
    assert.deepEqual(lines[0], {
      message: 'query',
      fields: {
        client: '192.0.2.1',
        transport: 'udp',
        qname: 'A\\027\\155.x\\.y.example.',
        qtype: 'SRV',
        rcode: 'NXDOMAIN',
        ms: 0.123,
      },
    });
    assert.equal(lines[1]?.fields.qtype, 'TYPE4711');
    assert.equal(lines[1]?.fields.qclass, 'CH');
  });

  it('The query log reports how many queries the answer table answered without a log line', () => {
    const { lines, log, answerElsewhere } = collect(5);
    log.record(client, question, 0, 1);
    answerElsewhere(41);
    log.close();
    assert.deepEqual(lines.at(-1)?.fields, { queries: 41 });
  });

  it('The query log reports how many queries it left out', () => {
    const { lines, log, tick } = collect(5);
    for (let i = 0; i < 50; i++, tick()) log.record(client, question, 0, 1);
    log.close();
    assert.equal(lines.length, 6);
    assert.deepEqual(lines[5]?.fields, { queries: 45 });
  });

  it('A query log of 0 lines a second prints nothing', () => {
    const { lines, log } = collect(0);
    log.record(client, question, 0, 1);
    log.close();
    assert.deepEqual(lines, []);
  });
});
