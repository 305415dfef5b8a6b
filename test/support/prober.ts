/**
 * A client that asks one question every few milliseconds and remembers each answer with the time of asking, so that a
 * test can say for how long a name was wrong or missing, and bound it.
 */
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import type { SocketAddress } from '../../src/dns/address.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { Message } from '../../src/dns/message.ts';
import { rcodeName } from '../../src/dns/mnemonic.ts';
import { reportMs } from './measurement.ts';
import { until } from './until.ts';
import { question } from './zone.ts';

export interface Prober {
  /**
   * Waits for this answer to a question asked at `sinceMs` or later; gives how many milliseconds later the first such
   * was asked. Fails, with all answers, after `timeoutMs`.
   */
  waitFor(answer: string, sinceMs: number, timeoutMs?: number): Promise<number>;
  /** Of all questions asked since then, how many milliseconds they had another answer. */
  wrongMs(answer: string, sinceMs: number): number;
  /** The answers as they changed, for people: `+120 ms 192.0.2.1`. */
  history(sinceMs: number): string;
  stop(): void;
}

interface Sample {
  readonly sentMs: number;
  /** Addresses in order with spaces in between, else the response code; `nothing` if no reply came in time. */
  answer: string | undefined;
}

const EVERY_MS = 20;
const MAX_QUESTIONS = 1 << 16;
const REPLY_TIMEOUT_MS = 1_000;
const PATIENCE_MS = 30_000;

/** Now, on the clock that the times here are of; as Docker's are. */
export function nowMs(): number {
  return Date.now();
}

/** Asks for A records from now on. */
export async function startProber(server: SocketAddress, qname: string): Promise<Prober> {
  const socket = dgram.createSocket('udp4').bind(0);
  await once(socket, 'listening');
  const samples: Sample[] = [];
  const asked = question(qname, 'A');
  socket.on('message', (packet) => {
    const message = decodeMessage(packet);
    const sample = message && samples[message.id];
    if (sample) sample.answer ??= answerOf(message);
  });
  const timer = setInterval(() => {
    const id = samples.length;
    if (id === MAX_QUESTIONS) throw new Error('a prober lasts for twenty minutes');
    samples.push({ sentMs: nowMs(), answer: undefined });
    const flags = { recursionDesired: true, checkingDisabled: false, edns: undefined };
    // What cannot be sent has no answer.
    socket.send(
      encodeQuery({ id, question: asked, ...flags }),
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

/** Reports and asserts that the name had this answer whenever it was asked for since then. */
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
  /** Those that have their answer, or will never have one. */
  const settled = (sinceMs: number): { askedMs: number; answer: string }[] => {
    const lateMs = nowMs() - REPLY_TIMEOUT_MS;
    return samples
      .filter(({ sentMs: askedMs, answer }) => askedMs >= sinceMs && (answer ?? askedMs < lateMs))
      .map(({ sentMs: askedMs, answer = 'nothing' }) => ({ askedMs, answer }));
  };
  const changes = (sinceMs: number) =>
    settled(sinceMs).filter(({ answer }, index, all) => all[index - 1]?.answer !== answer);
  const history = (sinceMs: number): string =>
    changes(sinceMs)
      .map(({ askedMs, answer }) => `+${Math.round(askedMs - sinceMs)} ms ${answer}`)
      .join(', ');
  return {
    history,
    async waitFor(answer, sinceMs, timeoutMs = PATIENCE_MS) {
      const find = () => settled(sinceMs).find((sample) => sample.answer === answer);
      await until(answer, () => find() !== undefined, timeoutMs).catch(() => {});
      const found = find();
      if (found === undefined) assert.fail(`never ${answer}: ${history(sinceMs)}`);
      return found.askedMs - sinceMs;
    },
    wrongMs(answer, sinceMs) {
      const all = settled(sinceMs);
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
