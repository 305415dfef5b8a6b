/** A client that asks one question again and again, and remembers what came of each. */
import type { SocketAddress } from '../../src/dns/address.ts';
import { Rcode, Type } from '../../src/dns/rr.ts';
import { query } from './server.ts';
import { question } from './zone.ts';

export interface SteadyClient {
  /** Asked so far. */
  readonly asked: number;
  /** Answers without an address, and questions without an answer; printable. */
  readonly failures: readonly string[];
  /** Stops, and waits for what is under way. */
  stop(): Promise<void>;
}

/** Asks for A records so many times a second. */
export function startSteadyClient(
  server: SocketAddress,
  qname: string,
  queriesPerSecond: number,
): SteadyClient {
  const failures: string[] = [];
  const underWay = new Set<Promise<void>>();
  const ask = async (): Promise<void> => {
    try {
      const { rcode, answer } = await query(server, question(qname, 'A'));
      const isGood = rcode === Rcode.NOERROR && answer.some(({ type }) => type === Type.A);
      if (!isGood) failures.push(`rcode ${rcode}, ${answer.length} records`);
    } catch (error) {
      failures.push(String(error));
    }
  };
  let asked = 0;
  const startMs = performance.now();
  const timer = setInterval(() => {
    const dueBy = ((performance.now() - startMs) / 1000) * queriesPerSecond;
    for (; asked < dueBy; asked++) {
      const asking = ask().finally(() => underWay.delete(asking));
      underWay.add(asking);
    }
  }, 2);
  return {
    get asked() {
      return asked;
    },
    failures,
    stop: async () => {
      clearInterval(timer);
      await Promise.all(underWay);
    },
  };
}
