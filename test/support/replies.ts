/** Builders of queries and responses for the encoder. */
import type { Edns, Query, Response } from '../../src/dns/message.ts';
import type { Rdata, Rr } from '../../src/dns/rr.ts';
import { nameOf } from './messages.ts';

export function queryFor(qname: string, qtype = 33, edns?: Partial<Edns>): Query {
  return {
    id: 0x1234,
    recursionDesired: true,
    checkingDisabled: false,
    question: { qname: nameOf(qname), qtype, qclass: 1 },
    edns: edns && { udpSize: 1232, version: 0, dnssecOk: false, ...edns },
  };
}

export function responseWith(sections: Partial<Response>): Response {
  return {
    rcode: 0,
    authoritative: true,
    recursionAvailable: false,
    answer: [],
    authority: [],
    additional: [],
    ...sections,
  };
}

export function rrOf(owner: string, type: number, rdata: Rdata, ttlSeconds = 60): Rr {
  return { owner: nameOf(owner), type, class: 1, ttlSeconds, rdata };
}

export function srvRr(owner: string, target: string, port = 8080): Rr {
  const rdata: Rdata = { kind: 'srv', priority: 10, weight: 100, port, target: nameOf(target) };
  return rrOf(owner, 33, rdata);
}

export function addressRr(owner: string, address: string): Rr {
  return rrOf(owner, address.includes(':') ? 28 : 1, { kind: 'address', address });
}
