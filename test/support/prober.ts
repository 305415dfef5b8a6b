/**
 * A client that sends the same query every few milliseconds and records each answer with its time, so that a test can
 * measure and limit how long a name was wrong or missing.
 */
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import type { SocketAddress } from '../../src/dns/address.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { Message } from '../../src/dns/message.ts';
import { rcodeName } from '../../src/dns/presentation/mnemonic.ts';
import { reportMs } from './measurement.ts';
import { until } from './until.ts';
import { question } from './zone.ts';

export interface Prober {
  /**
   * Waits for this answer to a query sent at `sinceMs` or later; returns how many milliseconds after `sinceMs` the
   * first such query was sent. Fails after `timeoutMs` with all answers.
   */
  waitFor(answer: string, sinceMs: number, timeoutMs?: number): Promise<number>;
  /** For how many milliseconds queries sent since then had another answer. */
  wrongMs(answer: string, sinceMs: number): number;
  /** The changes of the answer, printable: `+120 ms 192.0.2.1`. */
  history(sinceMs: number): string;
  stop(): void;
}

interface Sample {
  readonly sentMs: number;
  /** Sorted addresses separated by spaces, or the response code; undefined without a reply. */
  answer: string | undefined;
}

const EVERY_MS = 20;
const MAX_QUERIES = 1 << 16;
const REPLY_TIMEOUT_MS = 1_000;
const TIMEOUT_MS = 30_000;

/** The time on the clock that this file and Docker use. */
export function nowMs(): number {
  return Date.now();
}

/** Starts sending queries for A records. */
export async function startProber(server: SocketAddress, qname: string): Promise<Prober> {
  const socket = dgram.createSocket('udp4').bind(0);
  await once(socket, 'listening');
  const samples: Sample[] = [];
  const probed = question(qname, 'A');
  socket.on('message', (packet) => {
    const message = decodeMessage(packet);
    const sample = message && samples[message.id];
    if (sample) sample.answer ??= answerOf(message);
  });
  const timer = setInterval(() => {
    const id = samples.length;
    if (id === MAX_QUERIES) throw new Error('a prober has query ids for only twenty minutes');
    samples.push({ sentMs: nowMs(), answer: undefined });
    const flags = { recursionDesired: true, checkingDisabled: false, edns: undefined };
    // A query that cannot be sent has no answer.
    socket.send(
      encodeQuery({ id, question: probed, ...flags }),
      server.port,
      server.address,
      () => {},
    );
  }, EVERY_MS);
  const stop = (): void => {
    clearInterval(timer);
    socket.close();
  };
  return { ...reading(samples), stop };
}

/** Asserts that every query since then had this answer, and prints for how long queries had another answer or none. */
export function assertNeverWrong(
  prober: Prober,
  answer: string,
  sinceMs: number,
  what: string,
): void {
  const wrongMs = prober.wrongMs(answer, sinceMs);
  reportMs(`${what}: wrong or missing`, wrongMs);
  assert.equal(wrongMs, 0, prober.history(sinceMs));
}

function reading(samples: readonly Sample[]): Omit<Prober, 'stop'> {
  /** Samples with an answer, and those whose time for an answer is over. */
  const completed = (sinceMs: number): { askedMs: number; answer: string }[] => {
    const lateMs = nowMs() - REPLY_TIMEOUT_MS;
    return samples
      .filter(({ sentMs: askedMs, answer }) => askedMs >= sinceMs && (answer ?? askedMs < lateMs))
      .map(({ sentMs: askedMs, answer = 'no reply' }) => ({ askedMs, answer }));
  };
  const changes = (sinceMs: number) =>
    completed(sinceMs).filter(({ answer }, index, all) => all[index - 1]?.answer !== answer);
  const history = (sinceMs: number): string =>
    changes(sinceMs)
      .map(({ askedMs, answer }) => `+${Math.round(askedMs - sinceMs)} ms ${answer}`)
      .join(', ');
  return {
    history,
    async waitFor(answer, sinceMs, timeoutMs = TIMEOUT_MS) {
      const find = () => completed(sinceMs).find((sample) => sample.answer === answer);
      await until(answer, () => find() !== undefined, timeoutMs).catch(() => {});
      const found = find();
      if (found === undefined) assert.fail(`the answer was never ${answer}: ${history(sinceMs)}`);
      return found.askedMs - sinceMs;
    },
    wrongMs(answer, sinceMs) {
      const all = completed(sinceMs);
      const durations = all.map(({ askedMs, answer: got }, index) =>
        got === answer ? 0 : (all[index + 1]?.askedMs ?? askedMs + EVERY_MS) - askedMs,
      );
      return durations.reduce((sum, ms) => sum + ms, 0);
    },
  };
}

function answerOf({ rcode, answer }: Message): string {
  const addresses = answer.flatMap(({ rdata }) =>
    rdata.kind === 'address' ? [rdata.address] : [],
  );
  return addresses.length > 0 ? addresses.sort().join(' ') : rcodeName(rcode);
}
