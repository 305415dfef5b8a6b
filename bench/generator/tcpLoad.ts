/**
 * A closed loop over TCP: many connections stay open, each with a fixed number of pending queries. The connections come
 * from several addresses of loopback, because servers limit the connections of one client.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { LoadResult } from './load.ts';
import { parseQuestions } from './questions.ts';
import { Tally } from './tally.ts';

export interface TcpLoadSpec {
  /** On 127.0.0.1. */
  readonly port: number;
  readonly seconds: number;
  /** A file with a line `name TYPE` for each question. */
  readonly questions: string;
  readonly connections: number;
  /** Pending queries on each connection. */
  readonly window: number;
}

/** At most this many connections come from one address. */
const PER_ADDRESS = 10;
const DRAIN_MS = 500;
const LENGTH_OCTETS = 2;

/** The queries, each with its length before it. */
interface FramedQueries {
  readonly octets: Uint8Array;
  /** Start of each query, and the end of the last one. */
  readonly offsets: Uint32Array;
}

export async function putTcpLoad(spec: TcpLoadSpec): Promise<LoadResult> {
  const queries = framedQueries(spec.questions);
  const tally = new Tally();
  const clients = await Promise.all(
    Array.from({ length: spec.connections }, async (_, i) => {
      const localAddress = `127.0.0.${1 + Math.floor(i / PER_ADDRESS)}`;
      const socket = connect({ host: '127.0.0.1', port: spec.port, localAddress, noDelay: true });
      await once(socket, 'connect');
      return new Client(socket, queries, i, tally);
    }),
  );
  const cpuBefore = process.cpuUsage();
  const startedMs = performance.now();
  for (const client of clients) client.start(spec.window);
  await new Promise((done) => setTimeout(done, spec.seconds * 1000));
  for (const client of clients) client.isSending = false;
  const untilMs = performance.now() + DRAIN_MS;
  while (clients.some(({ pending }) => pending > 0) && performance.now() < untilMs)
    await new Promise((done) => setTimeout(done, 5));
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  for (const client of clients) client.close();
  tally.lost = tally.sent - tally.answered;
  return { seconds, cpuSeconds: (user + system) / 1e6, streams: [tally.result()] };
}

class Client {
  isSending = true;
  pending = 0;
  readonly #socket: Socket;
  readonly #queries: FramedQueries;
  readonly #tally: Tally;
  #window = 0;
  #next: number;
  /** The start of a reply whose end has not arrived. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, queries: FramedQueries, index: number, tally: Tally) {
    this.#socket = socket;
    this.#queries = queries;
    this.#tally = tally;
    this.#next = (index * 97) % (queries.offsets.length - 1);
    socket.on('error', () => {}); // its pending queries count as lost
    socket.on('data', (chunk) => this.#receive(chunk));
  }

  start(window: number): void {
    this.#window = window;
    this.#send(window);
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(wanted: number): void {
    const { octets, offsets } = this.#queries;
    const count = Math.min(wanted, offsets.length - 1 - this.#next);
    const end = this.#next + count;
    this.#socket.write(octets.subarray(offsets[this.#next], offsets[end]));
    this.#next = end === offsets.length - 1 ? 0 : end;
    this.pending += count;
    this.#tally.sent += count;
  }

  #receive(chunk: Buffer): void {
    const octets = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    while (at + LENGTH_OCTETS <= octets.length) {
      const length = octets.readUInt16BE(at);
      if (at + LENGTH_OCTETS + length > octets.length) break;
      if (this.#tally.count(octets, at + LENGTH_OCTETS, length)) this.pending--;
      at += LENGTH_OCTETS + length;
    }
    this.#rest = octets.subarray(at);
    const room = this.#window - this.pending;
    if (this.isSending && room * 2 >= this.#window) this.#send(room);
  }
}

function framedQueries(path: string): FramedQueries {
  const { count, octets, offsets } = parseQuestions(readFileSync(path), false);
  const framed = Buffer.alloc(octets.length + count * LENGTH_OCTETS);
  const starts = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) {
    const from = offsets[i] as number;
    const length = (offsets[i + 1] as number) - from;
    const at = starts[i] as number;
    framed.writeUInt16BE(length, at);
    framed.set(octets.subarray(from, from + length), at + LENGTH_OCTETS);
    framed.writeUInt16BE(i & 0xffff, at + LENGTH_OCTETS);
    starts[i + 1] = at + LENGTH_OCTETS + length;
  }
  return { octets: framed, offsets: starts };
}
