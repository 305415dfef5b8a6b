/** Questions at a steady rate from one UDP socket, every id of them followed to its one reply. Nothing is asked twice. */
import dgram from 'node:dgram';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { Message, Question } from '../../src/dns/message.ts';
import type { SocketAddress } from '../../src/dns/socketAddress.ts';

export interface QueryFlow {
  readonly asked: number;
  readonly answered: number;
  /** What was wrong with replies, printable; at most a few are kept. */
  readonly problems: readonly string[];
  /** Stops asking, waits for what is owed, and gives the number of questions that got no reply. */
  stop(): Promise<number>;
}

export interface FlowOptions {
  readonly question: Question;
  readonly queriesPerSecond: number;
  /** What is wrong with a reply; undefined: nothing. */
  readonly check: (reply: Message) => string | undefined;
}

const TICK_MS = 5;
const LAST_REPLY_MS = 3_000;
const MAX_PROBLEMS = 20;

export function startQueryFlow(server: SocketAddress, options: FlowOptions): QueryFlow {
  const socket = dgram.createSocket(server.address.includes(':') ? 'udp6' : 'udp4');
  const owed = new Set<number>();
  const problems: string[] = [];
  const counts = { asked: 0, answered: 0 };
  const tell = (problem: string | undefined): void => {
    if (problem !== undefined && problems.length < MAX_PROBLEMS) problems.push(problem);
  };
  socket.on('error', (error) => tell(String(error)));
  socket.on('message', (octets) => {
    const reply = decodeMessage(octets);
    if (reply === undefined || !owed.delete(reply.id)) return tell('a reply to no question');
    counts.answered++;
    tell(options.check(reply));
  });

  const startMs = performance.now();
  const timer = setInterval(() => {
    const dueBy = ((performance.now() - startMs) / 1000) * options.queriesPerSecond;
    for (; counts.asked < dueBy && owed.size < 60_000; counts.asked++) ask(counts.asked & 0xffff);
  }, TICK_MS);

  function ask(id: number): void {
    if (owed.has(id)) tell(`id ${id} had no reply for a whole round`);
    owed.add(id);
    const { question } = options;
    const query = {
      id,
      question,
      recursionDesired: true,
      checkingDisabled: false,
      edns: undefined,
    };
    socket.send(encodeQuery(query), server.port, server.address);
  }

  return {
    get asked() {
      return counts.asked;
    },
    get answered() {
      return counts.answered;
    },
    problems,
    async stop() {
      clearInterval(timer);
      const untilMs = performance.now() + LAST_REPLY_MS;
      while (owed.size > 0 && performance.now() < untilMs) {
        await new Promise((resolve) => setTimeout(resolve, TICK_MS));
      }
      socket.close();
      return owed.size;
    },
  };
}
