/** Encoded messages decode to the same values: properties over arbitrary names and records. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { accept } from '../../src/dns/accept.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery, encodeResponse } from '../../src/dns/encode.ts';
import type { Query, Response } from '../../src/dns/message.ts';
import { foldLabel, foldName, type Name } from '../../src/dns/name.ts';
import type { Rr } from '../../src/dns/rr.ts';
import { anyName, anyRr, plainRecord } from '../support/records.ts';

const u16 = fc.integer({ min: 0, max: 0xffff });

const anyQuestion = plainRecord({ qname: anyName, qtype: u16, qclass: u16 });

const anyEdns = plainRecord({
  udpSize: u16,
  version: fc.constant(0),
  dnssecOk: fc.boolean(),
});

const anyQuery: fc.Arbitrary<Query> = plainRecord({
  id: u16,
  recursionDesired: fc.boolean(),
  checkingDisabled: fc.boolean(),
  question: anyQuestion.filter(({ qtype }) => qtype !== 41),
  edns: fc.option(anyEdns, { nil: undefined }),
});

const section = fc.array(anyRr, { maxLength: 8 });

const anyResponse: fc.Arbitrary<Response> = plainRecord({
  rcode: fc.integer({ min: 0, max: 15 }),
  authoritative: fc.boolean(),
  recursionAvailable: fc.boolean(),
  answer: section,
  authority: section,
  additional: section,
});

/** Makes buffers and plain arrays of octets equal. */
function plain(rrs: readonly Rr[]): Rr[] {
  return rrs.map((rr) =>
    rr.rdata.kind === 'unknown'
      ? { ...rr, rdata: { kind: 'unknown', octets: Uint8Array.from(rr.rdata.octets) } }
      : rr,
  );
}

/** Names in lower case, except that labels shared with the question have its case. */
function folded(rrs: readonly Rr[]): Rr[] {
  return plain(rrs).map((rr) => {
    const owner = foldName(rr.owner);
    const { rdata } = rr;
    switch (rdata.kind) {
      case 'name':
      case 'srv':
        return { ...rr, owner, rdata: { ...rdata, target: foldName(rdata.target) } };
      case 'mx':
        return { ...rr, owner, rdata: { ...rdata, exchange: foldName(rdata.exchange) } };
      case 'soa': {
        const { mname, rname } = rdata;
        return {
          ...rr,
          owner,
          rdata: { ...rdata, mname: foldName(mname), rname: foldName(rname) },
        };
      }
      default:
        return { ...rr, owner };
    }
  });
}

/** The name with its last labels, as far as they equal the question's, in the question's case. */
function inCaseOf(qname: Name, name: Name): Name {
  const labels = [...name];
  for (let i = 1; i <= Math.min(name.length, qname.length); i++) {
    const asked = qname[qname.length - i] as string;
    if (foldLabel(asked) !== foldLabel(labels[labels.length - i] as string)) break;
    labels[labels.length - i] = asked;
  }
  return labels;
}

test('A response survives encoding and decoding', () => {
  fc.assert(
    fc.property(anyQuery, anyResponse, (query, response) => {
      const message = decodeMessage(encodeResponse(query, response, 65535));
      assert.ok(message);
      assert.equal(message.truncated, false);
      assert.deepEqual(message.questions, [query.question]);
      assert.deepEqual(folded(message.answer), folded(response.answer));
      assert.deepEqual(folded(message.authority), folded(response.authority));
      assert.deepEqual(folded(message.additional), folded(response.additional));
      assert.equal(message.id, query.id);
      assert.equal(message.rcode, response.rcode);
      assert.equal(message.authoritative, response.authoritative);
      assert.equal(message.recursionAvailable, response.recursionAvailable);
      assert.equal(message.recursionDesired, query.recursionDesired);
      assert.equal(message.checkingDisabled, query.checkingDisabled);
      assert.equal(message.edns?.dnssecOk, query.edns?.dnssecOk);
    }),
    { numRuns: 1500 },
  );
});

test('A query survives encoding and accept', () => {
  fc.assert(
    fc.property(anyQuery, (query) => {
      const accepted = accept(encodeQuery(query), 1);
      assert.deepEqual(accepted, { kind: 'query', query });
    }),
    { numRuns: 1500 },
  );
});

test('Compression changes no octet of a name except to the letter case of the question', () => {
  const names = fc.array(anyName, { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(anyQuery, names, (query, owners) => {
      const answer = owners.map(
        (owner): Rr => ({
          owner,
          type: 2,
          class: 1,
          ttlSeconds: 0,
          rdata: { kind: 'name', target: owner },
        }),
      );
      const response = {
        rcode: 0,
        authoritative: true,
        recursionAvailable: false,
        answer,
        authority: [],
        additional: [],
      };
      const message = decodeMessage(encodeResponse(query, response, 65535));
      const { qname } = query.question;
      const expected = owners.map((owner) => inCaseOf(qname, owner));
      assert.deepEqual(
        message?.answer.map((rr) => [rr.owner, rr.rdata]),
        expected.map((owner) => [owner, { kind: 'name', target: owner }]),
      );
    }),
    { numRuns: 500 },
  );
});

test('The letter case of a question changes no octet after it (0x20)', () => {
  fc.assert(
    fc.property(anyQuery, anyResponse, (query, response) => {
      const { question } = query;
      const lower = { ...query, question: { ...question, qname: foldName(question.qname) } };
      const behind = encodeQuery({ ...query, edns: undefined }).length;
      const reply = encodeResponse(query, response, 65535).subarray(behind);
      assert.deepEqual(reply, encodeResponse(lower, response, 65535).subarray(behind));
    }),
    { numRuns: 500 },
  );
});
