/** Sends queries at a steady rate from one UDP socket and matches each id with its one reply. No query is repeated. */
import dgram from 'node:dgram';
import { DropWatch, dropsOfPort } from '../../bench/soak/kernelDrops.ts';
import type { SocketAddress } from '../../src/dns/address.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { Message, Question } from '../../src/dns/message.ts';

export interface QueryFlow {
  readonly sent: number;
  readonly answered: number;
  /** Faults of replies, printable; only the first few are kept. */
  readonly problems: readonly string[];
  /**
   * Stops sending, waits for the last replies, and returns the number of queries without a reply. Packets that the
   * kernel dropped at either socket are not counted: on a busy machine neither end reads in time.
   */
  stop(): Promise<number>;
}

export interface FlowOptions {
  readonly question: Question;
  readonly queriesPerSecond: number;
  /** The fault of a reply; undefined if it is right. */
  readonly check: (reply: Message) => string | undefined;
}

const TICK_MS = 5;
const LAST_REPLY_MS = 3_000;
const MAX_PROBLEMS = 20;
/** Less than the number of ids. */
const MAX_PENDING = 60_000;

export function startQueryFlow(server: SocketAddress, options: FlowOptions): QueryFlow {
  return new Flow(server, options);
}

class Flow implements QueryFlow {
  readonly problems: string[] = [];
  sent = 0;
  answered = 0;
  readonly #server: SocketAddress;
  readonly #options: FlowOptions;
  readonly #socket: dgram.Socket;
  readonly #timer: NodeJS.Timeout;
  readonly #startMs = performance.now();
  readonly #drops: DropWatch;
  /** Ids of queries without a reply yet. */
  readonly #pending = new Set<number>();

  constructor(server: SocketAddress, options: FlowOptions) {
    this.#server = server;
    this.#options = options;
    this.#socket = dgram.createSocket(server.address.includes(':') ? 'udp6' : 'udp4');
    this.#socket.on('error', (error) => this.#addProblem(String(error)));
    this.#socket.on('message', (octets) => this.#onReply(octets));
    this.#timer = setInterval(() => this.#sendDue(), TICK_MS);
    this.#drops = new DropWatch(server.port);
  }

  async stop(): Promise<number> {
    clearInterval(this.#timer);
    const untilMs = performance.now() + LAST_REPLY_MS;
    while (this.#pending.size > 0 && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    const dropped = this.#drops.stop() + dropsOfPort(this.#socket.address().port);
    this.#socket.close();
    return Math.max(0, this.#pending.size - dropped);
  }

  #sendDue(): void {
    const elapsedSeconds = (performance.now() - this.#startMs) / 1000;
    const dueBy = elapsedSeconds * this.#options.queriesPerSecond;
    for (; this.sent < dueBy && this.#pending.size < MAX_PENDING; this.sent++) {
      this.#send(this.sent & 0xffff);
    }
  }

  #send(id: number): void {
    if (this.#pending.has(id)) this.#addProblem(`id ${id} has no reply and is reused`);
    this.#pending.add(id);
    const { question } = this.#options;
    const flags = { recursionDesired: true, checkingDisabled: false };
    const query = encodeQuery({ id, question, ...flags, edns: undefined });
    this.#socket.send(query, this.#server.port, this.#server.address);
  }

  #onReply(octets: Buffer): void {
    const reply = decodeMessage(octets);
    if (reply === undefined || !this.#pending.delete(reply.id)) {
      this.#addProblem('a reply without a query');
      return;
    }
    this.answered++;
    this.#addProblem(this.#options.check(reply));
  }

  #addProblem(problem: string | undefined): void {
    if (problem !== undefined && this.problems.length < MAX_PROBLEMS) this.problems.push(problem);
  }
}
