/**
 * Table tests for the zone: they give services as keys and JSON, and expected records as zone-file text in dig's form,
 * one record a line. `Catalog.apply` fills the tree, as in the server.
 */
import assert from 'node:assert/strict';
import type { Question, Response } from '../../src/dns/message.ts';
import { foldName, type Name, parseName } from '../../src/dns/name.ts';
import { typeCode } from '../../src/dns/presentation/mnemonic.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { Class, Rcode, type Rr } from '../../src/dns/rr.ts';
import type { Lease } from '../../src/service/change.ts';
import { keyPrefix } from '../../src/service/key.ts';
import { answer, type Decision } from '../../src/zone/answer.ts';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import { NO_FORWARDED_NAMES } from '../../src/zone/tree/forwardedNames.ts';
import {
  type External,
  type Externals,
  externalKey,
  type NameFacts,
  NO_FACTS,
  type View,
  type ZoneSettings,
} from '../../src/zone/tree/view.ts';

export function name(text: string): Name {
  const parsed = parseName(text);
  assert.ok(parsed !== undefined, `not a name: ${text}`);
  return parsed;
}

export function question(qname: string, type: string, qclass: number = Class.IN): Question {
  const qtype = typeCode(type);
  assert.ok(qtype !== undefined, `not a type: ${type}`);
  return { qname: name(qname), qtype, qclass };
}

export type Services = Readonly<Record<string, unknown>>;

/** A catalog under `/skydns/` holding the given key -> value pairs; keys leave the prefix out. */
export function catalogOf(
  services: Services,
  leases: Readonly<Record<string, Lease>> = {},
): Catalog {
  const catalog = new Catalog({ prefix: keyPrefix('skydns') });
  let revision = 0;
  for (const [key, value] of Object.entries(services)) {
    revision++;
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const entry = {
      key: `/skydns/${key}`,
      value: Buffer.from(text),
      createRevision: revision,
      modRevision: revision,
      lease: leases[key],
    };
    catalog.apply([{ kind: 'put', entry, previous: undefined }]);
  }
  return catalog;
}

export function settingsOf(overrides: Partial<ZoneSettings> = {}): ZoneSettings {
  return {
    apexes: [foldName(name('skydns.local.'))],
    ttlSeconds: 3600,
    minTtlSeconds: 5,
    minLeaseTtlSeconds: 1,
    priority: 10,
    hostmaster: undefined,
    local: undefined,
    roundRobin: false,
    near: undefined,
    any: 'hinfo',
    parentValue: 'hidden',
    storedWildcards: true,
    aggregateDepth: Number.POSITIVE_INFINITY,
    questionWildcards: 'all',
    leaderTtlSeconds: 1,
    virtualAddresses: false,
    ambassador: false,
    ownAddresses: [],
    consul: undefined,
    forwarded: NO_FORWARDED_NAMES,
    ...overrides,
  };
}

export interface Asked {
  readonly settings?: Partial<ZoneSettings>;
  /** Other servers' answers, by `externalKey`. */
  readonly externals?: ReadonlyMap<string, External>;
  /** Questions that were sent to other servers before. */
  readonly sent?: number;
  readonly recursionDesired?: boolean;
  readonly roomOctets?: number;
  readonly onFault?: (error: unknown) => void;
  readonly nowMs?: number;
  readonly sampleStart?: number;
  readonly facts?: NameFacts;
  readonly localAddress?: string;
}

/** The hour that makes the SOA serial 7200. */
const UNIX_SECONDS = 7_300;

export function viewOf(catalog: Catalog, asked: Asked = {}): View {
  return {
    root: catalog.root,
    settings: settingsOf(asked.settings),
    nowMs: asked.nowMs ?? 0,
    unixSeconds: UNIX_SECONDS,
    sampleStart: asked.sampleStart ?? 0,
    externals: externalsOf(asked.externals ?? new Map(), asked.sent),
    facts: asked.facts ?? NO_FACTS,
    localAddress: asked.localAddress,
    recursionDesired: asked.recursionDesired ?? true,
    roomOctets: asked.roomOctets,
    onFault:
      asked.onFault ??
      ((error) => {
        throw error;
      }),
  };
}

/** Names outside the zones, from a table by `externalKey`. */
export function externalsOf(known: ReadonlyMap<string, External>, sent = 0): Externals {
  return { get: (qname, qtype) => known.get(externalKey(qname, qtype)), sent };
}

export function ask(catalog: Catalog, qname: string, type: string, asked: Asked = {}): Decision {
  return answer(viewOf(catalog, asked), question(qname, type));
}

/** The response; outside names that `asked.externals` lacks are unavailable. */
export function respond(
  catalog: Catalog,
  qname: string,
  type: string,
  asked: Asked = {},
): Response {
  const answered = ask(catalog, qname, type, asked);
  if (answered.kind === 'incomplete') {
    const externals = new Map(asked.externals);
    for (const { question: asking } of answered.missing) {
      externals.set(externalKey(asking.qname, asking.qtype), { kind: 'unavailable' });
    }
    return respond(catalog, qname, type, { ...asked, externals });
  }
  assert.equal(answered.kind, 'response', `${qname} ${type} is not ours`);
  return (answered as Extract<Decision, { kind: 'response' }>).response;
}

export interface Expected {
  readonly rcode?: keyof typeof Rcode;
  /** Zone-file text. A section that is left out must be empty, except for the SOA of a negative answer. */
  readonly answer?: string;
  readonly additional?: string;
}

/** Compares a response with its expectation, records in any order. */
export function assertResponse(
  response: Response,
  expected: Expected,
  apex = 'skydns.local.',
): void {
  assert.equal(nameOfRcode(response.rcode), expected.rcode ?? 'NOERROR');
  assert.deepEqual(text(response.answer), lines(expected.answer));
  assert.deepEqual(text(response.additional), lines(expected.additional));
  const isNegative = response.answer.length === 0 && response.authoritative;
  const soa = `${apex} 5 IN SOA ns.dns.${apex} hostmaster.${apex} 7200 28800 7200 604800 5`;
  assert.deepEqual(text(response.authority), isNegative ? [soa] : []);
}

function nameOfRcode(rcode: number): string {
  return Object.entries(Rcode).find(([, code]) => code === rcode)?.[0] ?? String(rcode);
}

export function text(records: readonly Rr[]): string[] {
  return records.map((rr) => normal(printRr(rr))).sort();
}

function lines(zoneText: string | undefined): string[] {
  return (zoneText ?? '')
    .split('\n')
    .map(normal)
    .filter((line) => line !== '')
    .sort();
}

function normal(line: string): string {
  return line.trim().replace(/\s+/g, ' ');
}
