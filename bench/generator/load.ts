/** One load: its streams alternate on one thread until their time is over and the last replies are received. */
import { readFileSync } from 'node:fs';
import { QuestionCursor } from './cursor.ts';
import { PacedStream } from './pacedStream.ts';
import { openQuerySockets, type QuerySocket, waiter } from './querySocket.ts';
import { type Edns, parseQuestions, type Questions } from './questions.ts';
import { SingleStream } from './singleStream.ts';
import type { Stream, StreamResult, StreamSpec } from './stream.ts';
import { WindowStream } from './windowStream.ts';

export interface LoadSpec {
  /** On 127.0.0.1. */
  readonly port: number;
  readonly seconds: number;
  readonly streams: readonly StreamSpec[];
}

export interface LoadResult {
  /** Time until the last reply. */
  readonly seconds: number;
  /** CPU time of the generator. */
  readonly cpuSeconds: number;
  readonly streams: readonly StreamResult[];
}

const MAX_SECONDS = 600;
const MAX_PACED_QUESTIONS = 20_000_000;
const DEFAULT_SOCKETS = 4;
const SLEEP_MS = 1;

/** Puts the load on the server. Blocks this thread until the load is over. */
export function putLoad(spec: LoadSpec): LoadResult {
  if (!(spec.seconds > 0 && spec.seconds <= MAX_SECONDS)) throw new Error('seconds out of range');
  let startedMs = 0;
  const elapsedMs = (): number => performance.now() - startedMs;
  const streams = spec.streams.map((stream) => openStream(spec, stream, elapsedMs));
  try {
    const cpuBefore = process.cpuUsage();
    startedMs = performance.now();
    run(streams, spec.seconds * 1000, elapsedMs);
    const seconds = elapsedMs() / 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpuSeconds = (user + system) / 1e6;
    return { seconds, cpuSeconds, streams: streams.map((stream) => stream.result()) };
  } finally {
    for (const { sockets } of streams) for (const socket of sockets) socket.close();
  }
}

function run(streams: readonly Stream[], durationMs: number, elapsedMs: () => number): void {
  const wait = waiter(streams.flatMap(({ sockets }) => sockets));
  const maySleep = streams.every((stream) => stream.maySleep);
  for (let busy = true; busy; ) {
    const nowMs = elapsedMs();
    busy = false;
    for (const stream of streams) if (stream.step(nowMs, nowMs < durationMs)) busy = true;
    if (busy && maySleep) wait(SLEEP_MS);
  }
}

function openStream(
  { port, seconds }: LoadSpec,
  {
    questions,
    pace,
    edns = false,
    sockets = DEFAULT_SOCKETS,
    first = 0,
    blind = false,
    limit,
  }: StreamSpec,
  elapsedMs: () => number,
): Stream {
  const cursor = new QuestionCursor(readQuestions(questions, edns), first);
  const most = limit ?? Number.POSITIVE_INFINITY;
  if (pace.kind === 'single') {
    const [socket] = openQuerySockets(port, 1);
    return new SingleStream(socket as QuerySocket, cursor, most, elapsedMs);
  }
  const opened = openQuerySockets(port, sockets);
  if (pace.kind === 'window') {
    return new WindowStream(opened, cursor, pace.window, most);
  }
  const due = Math.min(most, MAX_PACED_QUESTIONS, Math.ceil(seconds * pace.perSecond));
  return new PacedStream(
    opened,
    cursor,
    { perSecond: pace.perSecond, limit: due, blind },
    elapsedMs,
  );
}

/** Parsed files, because every round uses the same ones. */
const parsed = new Map<string, Questions>();

function readQuestions(path: string, edns: Edns): Questions {
  const key = `${path} ${JSON.stringify(edns)}`;
  const before = parsed.get(key);
  if (before !== undefined) return before;
  const questions = parseQuestions(readFileSync(path), edns);
  parsed.set(key, questions);
  return questions;
}
