/** A test upstream's reply to a query: a resolver's lookup in its records, and its misbehaviour. */
import assert from 'node:assert/strict';
import type { Answer, Packet } from 'dns-packet';

/** How the upstream misbehaves; without any field it behaves properly. */
export interface Behaviour {
  /** No reply, on this transport or on both. */
  readonly drop?: boolean | 'udp' | 'tcp';
  readonly delayMs?: number;
  /** TC and no records over UDP. */
  readonly truncate?: boolean;
  /** TC over TCP, with the records. */
  readonly truncateTcp?: boolean;
  readonly wrongId?: boolean;
  /** The reply's question has this name. */
  readonly wrongQuestion?: string;
  /** The reply is a query. */
  readonly isQuery?: boolean;
  /** The question comes back in lower case over UDP. */
  readonly lowerCase?: boolean;
  /** Packets sent before the reply. */
  readonly noise?: (query: Buffer) => readonly Uint8Array[];
  readonly rcode?: 'FORMERR' | 'SERVFAIL' | 'NXDOMAIN' | 'NOTIMP' | 'REFUSED';
  /** FORMERR without OPT for every query that has one. */
  readonly refuseEdns?: boolean;
  /** Accepts the connection, reads the query, then closes. */
  readonly closeTcp?: boolean;
  /** One octet at a time over TCP. */
  readonly dribble?: boolean;
  /** Header bits RA and AD; default RA only. */
  readonly flags?: number;
  /** Additional records of the sections, in zone-file text. */
  readonly extraAnswer?: readonly string[];
  readonly authority?: readonly string[];
  readonly additional?: readonly string[];
}

const RECURSION_AVAILABLE = 0x80;
const RCODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

/** Builds the reply to a query, with the given misbehaviour. */
export function makeReply(
  query: Packet,
  transport: 'udp' | 'tcp',
  records: readonly Answer[],
  behaviour: Behaviour,
): Packet {
  const [question] = query.questions ?? [];
  assert.ok(question);
  const opt = query.additionals?.find((record) => record.type === 'OPT');
  const refused = behaviour.refuseEdns === true && opt !== undefined;
  const truncated = behaviour.truncate === true && transport === 'udp';
  const found = lookUp(records, question.name, question.type);
  const hasTc = truncated || (behaviour.truncateTcp === true && transport === 'tcp');
  const rcode = refused ? 'FORMERR' : (behaviour.rcode ?? found.rcode);
  const isEmpty = truncated || refused || behaviour.rcode !== undefined;
  const name =
    behaviour.wrongQuestion ??
    (behaviour.lowerCase && transport === 'udp' ? fold(question.name) : question.name);
  const reply: Packet = {
    type: behaviour.isQuery === true ? 'query' : 'response',
    id: ((query.id ?? 0) + (behaviour.wrongId === true ? 1 : 0)) & 0xffff,
    flags: RCODES[rcode] | 0x0100 | (behaviour.flags ?? RECURSION_AVAILABLE) | (hasTc ? 0x0200 : 0),
    questions: [{ ...question, name }],
    answers: isEmpty ? [] : [...found.answer, ...(behaviour.extraAnswer ?? []).map(parseRecord)],
    authorities: [
      ...(isEmpty ? [] : found.authority),
      ...(behaviour.authority ?? []).map(parseRecord),
    ],
    additionals: [
      ...(behaviour.additional ?? []).map(parseRecord),
      ...(opt && !refused ? [opt] : []),
    ],
  };
  return reply;
}

interface Found {
  readonly rcode: 'NOERROR' | 'NXDOMAIN';
  readonly answer: readonly Answer[];
  readonly authority: readonly Answer[];
}

/** Looks the question up in the records as a resolver does, following CNAMEs. */
function lookUp(records: readonly Answer[], qname: string, qtype: string): Found {
  const answer: Answer[] = [];
  let name = fold(qname);
  for (let links = 0; links < 16; links++) {
    const owned = records.filter((record) => fold(record.name) === name);
    const wanted = owned.filter((record) => record.type === qtype);
    const alias = owned.find((record) => record.type === 'CNAME');
    answer.push(...wanted);
    if (wanted.length > 0) return { rcode: 'NOERROR', answer, authority: [] };
    if (alias?.type !== 'CNAME') break;
    answer.push(alias);
    name = fold(alias.data);
  }
  const exists = records.some((record) => isAtOrBelow(fold(record.name), name));
  const soa = records.filter(
    (record) => record.type === 'SOA' && isAtOrBelow(name, fold(record.name)),
  );
  return { rcode: exists ? 'NOERROR' : 'NXDOMAIN', answer, authority: soa };
}

function isAtOrBelow(name: string, ancestor: string): boolean {
  return name === ancestor || name.endsWith(`.${ancestor}`);
}

function fold(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** A record from `name ttl type rdata`. */
export function parseRecord(line: string): Answer {
  const [owner = '', ttl = '', type = '', ...rdata] = line.trim().split(/\s+/);
  const [first = '', ...rest] = rdata;
  const base = { name: owner.replace(/\.$/, ''), ttl: Number(ttl) };
  switch (type) {
    case 'A':
    case 'AAAA':
      return { ...base, type, data: first };
    case 'CNAME':
    case 'NS':
    case 'PTR':
      return { ...base, type, data: first.replace(/\.$/, '') };
    case 'TXT':
      return { ...base, type, data: rdata.join(' ') };
    case 'MX':
      return { ...base, type, data: { preference: Number(first), exchange: rest[0] ?? '' } };
    case 'SRV': {
      const [weight, port] = rest.map(Number);
      return {
        ...base,
        type,
        data: {
          priority: Number(first),
          weight: weight ?? 0,
          port: port ?? 0,
          target: rest[2] ?? '',
        },
      };
    }
    case 'SOA': {
      const [serial, refresh, retry, expire, minimum] = rest.slice(1).map(Number);
      const data = {
        mname: first,
        rname: rest[0] ?? '',
        serial: serial ?? 0,
        refresh: refresh ?? 0,
      };
      return {
        ...base,
        type,
        data: { ...data, retry: retry ?? 0, expire: expire ?? 0, minimum: minimum ?? 0 },
      };
    }
    default:
      return assert.fail(`the test upstream does not support ${type} records`);
  }
}
