/**
 * The query log: at most so many lines a second, and how many more there would have been. What is not logged costs one
 * comparison; nothing is built for it.
 */
import type { DnsClient, Question } from '../dns/message.ts';
import { className, rcodeName, typeName } from '../dns/mnemonic.ts';
import { printName } from '../dns/name.ts';
import { Class } from '../dns/rr.ts';
import type { WriteLog } from './log.ts';

export interface QueryLog {
  /** One answered query; `durationMs` from packet to reply. */
  record(client: DnsClient, question: Question, rcode: number, durationMs: number): void;
  /** Says how many were left out since the last line said so, and stops. */
  close(): void;
}

/** Passes at most `perSecond` events in each second of the clock given, and counts the others. */
export class Sampler {
  readonly #perSecond: number;
  #second = Number.NEGATIVE_INFINITY;
  #passed = 0;
  #suppressed = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  pass(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#passed = 0;
    }
    if (this.#passed < this.#perSecond) {
      this.#passed++;
      return true;
    }
    this.#suppressed++;
    return false;
  }

  /** How many did not pass since this was last asked. */
  takeSuppressed(): number {
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}

export interface QueryLogOptions {
  readonly write: WriteLog;
  /** Lines a second at most; 0 for none at all. */
  readonly perSecond: number;
  /** A monotonic clock. */
  readonly nowMs: () => number;
  /** Queries since the start that were answered where nobody records them. */
  readonly unrecorded: () => number;
}

export function createQueryLog(options: QueryLogOptions): QueryLog {
  const { write, perSecond, nowMs, unrecorded } = options;
  if (perSecond === 0) return { record: () => {}, close: () => {} };
  const sampler = new Sampler(perSecond);
  let told = unrecorded();
  const report = () => {
    const since = unrecorded() - told;
    told += since;
    const queries = sampler.takeSuppressed() + since;
    if (queries > 0) write({ queries }, 'queries not logged: above the limit of --log-queries');
  };
  const timer = setInterval(report, 1000);
  timer.unref();
  return {
    record(client, question, rcode, durationMs) {
      if (sampler.pass(nowMs())) write(fieldsOf(client, question, rcode, durationMs), 'query');
    },
    close() {
      clearInterval(timer);
      report();
    },
  };
}

function fieldsOf(client: DnsClient, question: Question, rcode: number, durationMs: number) {
  const { qname, qtype, qclass } = question;
  return {
    client: client.address,
    transport: client.transport,
    qname: printName(qname),
    qtype: typeName(qtype),
    ...(qclass === Class.IN ? {} : { qclass: className(qclass) }),
    rcode: rcodeName(rcode),
    ms: Math.round(durationMs * 1000) / 1000,
  };
}
