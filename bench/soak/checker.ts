/**
 * Writes queries for addresses and checks each reply, octet by octet, against the states of the name between query and
 * reply. A query whose id is reused without a reply is lost.
 */
import { encodeQuery } from '../../src/dns/encode.ts';
import { parseName } from '../../src/dns/name.ts';
import { Rcode, Type } from '../../src/dns/rr.ts';
import { isAddressOf, type Ledger, mayBeAbsent, SOAK_NAMES, type SoakName } from './ledger.ts';

export interface CheckResult {
  readonly sent: number;
  readonly answered: number;
  /** Queries without a reply. */
  readonly lost: number;
  readonly wrong: number;
  /** The first few faults, printable. */
  readonly examples: readonly string[];
}

const HEADER_OCTETS = 12;
const ADDRESS_RECORD_OCTETS = 16;
const MAX_EXAMPLES = 10;
const IDS = 0x10000;
const NO_NAME = -1;

export class Checker {
  readonly #ledger: Ledger;
  readonly #queries: readonly Uint8Array[] = SOAK_NAMES.map(queryFor);
  /** By id: the name in the query, and its oldest valid state at that time. */
  readonly #nameOf = new Int32Array(IDS).fill(NO_NAME);
  readonly #oldestOf = new Int32Array(IDS);
  readonly #examples: string[] = [];
  #sent = 0;
  #answered = 0;
  #overdue = 0;
  #wrong = 0;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Writes the next query, for the name; returns its length. */
  writeQuery(index: number, octets: Uint8Array, at: number): number {
    const id = this.#sent++ & (IDS - 1);
    if (this.#nameOf[id] !== NO_NAME) this.#overdue++;
    this.#nameOf[id] = index;
    this.#oldestOf[id] = this.#ledger.oldest(index);
    const query = this.#queries[index] as Uint8Array;
    octets.set(query, at);
    octets[at] = id >> 8;
    octets[at + 1] = id & 255;
    return query.length;
  }

  check(octets: Uint8Array, at: number, length: number): void {
    const id = ((octets[at] as number) << 8) | (octets[at + 1] as number);
    const index = this.#nameOf[id] as number;
    if (index === NO_NAME) {
      this.#addFault('answered twice, or without a query', undefined);
      return;
    }
    this.#nameOf[id] = NO_NAME;
    this.#answered++;
    const fault = this.#faultOf(octets.subarray(at, at + length), index, id);
    if (fault !== undefined) this.#addFault(fault, SOAK_NAMES[index]);
  }

  /** Queries that still wait for a reply count as lost. */
  result(): CheckResult {
    const waiting = this.#nameOf.reduce((sum, index) => sum + (index === NO_NAME ? 0 : 1), 0);
    return {
      sent: this.#sent,
      answered: this.#answered,
      lost: this.#overdue + waiting,
      wrong: this.#wrong,
      examples: this.#examples,
    };
  }

  #faultOf(reply: Uint8Array, index: number, id: number): string | undefined {
    const query = this.#queries[index] as Uint8Array;
    const { behaviour } = SOAK_NAMES[index] as SoakName;
    const [from, to] = [this.#oldestOf[id] as number, this.#ledger.newest(index)];
    const states = `in state ${from}${to === from ? '' : ` to ${to}`}`;
    for (let i = HEADER_OCTETS; i < query.length; i++)
      if (reply[i] !== query[i]) return 'another question';
    const [flags = 0, rcode = 0, answers = 0] = [reply[2], (reply[3] ?? 0) & 15, reply[7]];
    if ((flags & 0x86) !== 0x84) return `flags ${flags.toString(16)}`;
    if (rcode === Rcode.NXDOMAIN && answers === 0)
      return mayBeAbsent(behaviour, from, to) ? undefined : `absent, ${states}`;
    if (rcode !== Rcode.NOERROR || answers !== 1)
      return `rcode ${rcode}, ${answers} answers, ${states}`;
    const host = hostOf(reply, query.length);
    if (host === undefined) return 'no address record';
    return isAddressOf(index, host, from, to)
      ? undefined
      : `address ${host.toString(16)}, ${states}`;
  }

  #addFault(fault: string, name: SoakName | undefined): void {
    this.#wrong++;
    if (this.#examples.length < MAX_EXAMPLES) this.#examples.push(`${name?.name ?? '?'}: ${fault}`);
  }
}

function queryFor({ name }: SoakName): Uint8Array {
  const qname = parseName(name) ?? [];
  const question = { qname, qtype: Type.A, qclass: 1 };
  return encodeQuery({
    id: 0,
    question,
    recursionDesired: true,
    checkingDisabled: false,
    edns: undefined,
  });
}

/** The lower 24 bits of the address (10.0.0.0/8) in the record at `at`, whose owner must be the question's name. */
function hostOf(reply: Uint8Array, at: number): number | undefined {
  const [a = 0, b = 0, , type, , klass] = reply.subarray(at, at + 6);
  const [lengthHigh, length, ten, x = 0, y = 0, z = 0] = reply.subarray(
    at + 10,
    at + ADDRESS_RECORD_OCTETS,
  );
  const isAddress = type === Type.A && klass === 1 && lengthHigh === 0 && length === 4;
  const isOfQuestion = a === 0xc0 && b === HEADER_OCTETS;
  return isAddress && isOfQuestion && ten === 10 ? (x << 16) | (y << 8) | z : undefined;
}
