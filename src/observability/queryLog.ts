/**
 * The query log: a limited number of lines a second, and a count of the queries left out. Leaving out a query costs one
 * comparison and allocates nothing.
 */
import type { DnsClient, Question } from '../dns/message.ts';
import { printName } from '../dns/name.ts';
import { className, rcodeName, typeName } from '../dns/presentation/mnemonic.ts';
import { Class } from '../dns/rr.ts';
import type { WriteLog } from './log.ts';

export interface QueryLog {
  /** Logs an answered query; `durationMs` is the time from packet to reply. */
  record(client: DnsClient, question: Question, rcode: number, durationMs: number): void;
  /** Logs how many queries were left out since the last such line, and stops. */
  close(): void;
}

/** Passes at most `perSecond` events in each second of the caller's clock, and counts the others. */
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

  /** Returns how many events did not pass since the last call. */
  takeSuppressed(): number {
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}

export interface QueryLogOptions {
  readonly write: WriteLog;
  /** The most lines a second; 0 disables the log. */
  readonly perSecond: number;
  /** A monotonic clock. */
  readonly nowMs: () => number;
  /** The number of queries since the start that workers answered without handing them over. */
  readonly unrecorded: () => number;
}

export function createQueryLog(options: QueryLogOptions): QueryLog {
  const { write, perSecond, nowMs, unrecorded } = options;
  if (perSecond === 0) return { record: () => {}, close: () => {} };
  const sampler = new Sampler(perSecond);
  let reported = unrecorded();
  const report = () => {
    const since = unrecorded() - reported;
    reported += since;
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
