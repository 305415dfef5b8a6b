/**
 * Measures several contenders in alternation. Each round begins with another contender, so that a disturbance affects
 * all of them.
 */
import type { LoadResult } from '../generator/load.ts';
import type { Edns } from '../generator/questions.ts';
import type { StreamResult, StreamSpec } from '../generator/stream.ts';
import { machineSeconds, untilQuietMachine } from '../quiet.ts';
import { figure } from '../table.ts';
import type { Lab, QuestionFile, Server } from './lab.ts';

export interface Contender {
  readonly title: string;
  readonly server: Server;
  readonly load: Load;
}

/** The questions of a load, and the expected kind of answers. */
export interface Load {
  readonly questions: QuestionFile;
  readonly edns?: Edns;
  readonly expects?: 'noerror' | 'nxdomain' | 'refused';
  readonly sockets?: number;
  readonly window?: number;
}

export interface Sample {
  readonly qps: number;
  /** Server CPU per answer. */
  readonly cpuMicros: number;
  /** The share of questions without the expected answer. */
  readonly failedShare: number;
  /** Shares of a core. */
  readonly serverBusy: number;
  readonly generatorBusy: number;
  readonly othersBusy: number;
}

const QUIET_TIMEOUT_MS = 2000;

/** Returns each contender's samples, in the order of rounds. */
export async function alternate<L extends { readonly title: string }, S>(
  contenders: readonly L[],
  rounds: number,
  measure: (contender: L, round: number) => Promise<S>,
  quietTimeoutMs: number = QUIET_TIMEOUT_MS,
): Promise<S[][]> {
  const samples = contenders.map((): S[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const index = (i + round) % contenders.length;
      await untilQuietMachine(quietTimeoutMs);
      const sample = await measure(contenders[index] as L, round);
      samples[index]?.push(sample);
    }
  }
  return samples;
}

/**
 * Questions in flight on all sockets together. A socket with buffers of the default size, which Knot and NSD use, can
 * hold more.
 */
export const WINDOW = 48;
const WARM_UP_WINDOW = 16;
/** The distance between the first questions of two successive rounds. */
const STRIDE = 104_729;
const WARM_UP_SECONDS = 1;
const ASKING_SECONDS = 600;
const WARM_UPS = 4;
const FAILED_SHARE = 0.0001;

/**
 * Asks every question once, and repeats that until all answers are as expected, because a server may compute an answer
 * on its first use. Then sends more questions so that code is compiled.
 */
export async function warmUp(lab: Lab, contenders: readonly Contender[]): Promise<void> {
  for (const contender of contenders) {
    const { port } = contender.server;
    await askEach(lab, contender);
    const streams = [streamOf(contender.load, 0)];
    await lab.generator.request({ port, seconds: WARM_UP_SECONDS, streams });
  }
}

export async function askEach(lab: Lab, { title, server, load }: Contender): Promise<void> {
  const gently = { ...load, window: WARM_UP_WINDOW };
  const streams = [{ ...streamOf(gently, 0), limit: load.questions.count }];
  for (let time = 1; ; time++) {
    const spec = { port: server.port, seconds: ASKING_SECONDS, streams };
    const result = await lab.generator.request(spec);
    const failed = failedShare(result.streams[0] as StreamResult, load);
    if (failed <= FAILED_SHARE) return;
    console.error(`${title}: ${figure(failed * 100, 2)} % failed while warming up`);
    if (time === WARM_UPS) throw new Error(`${title} does not answer as expected`);
  }
}

/** Keeps the server as busy as it can be. */
export async function saturate(
  lab: Lab,
  contender: Contender,
  round: number,
  generator: Lab['generator'] = lab.generator,
): Promise<Sample> {
  const streams = [streamOf(contender.load, round)];
  const { seconds } = lab.options;
  const sample = await sampleOf(contender, () =>
    generator.request({ port: contender.server.port, seconds, streams }),
  );
  logSample(contender.title, round, sample);
  return sample;
}

/** Puts a load of one stream on the server, and returns its sample. */
export async function sampleOf(
  contender: Contender,
  put: () => Promise<LoadResult>,
): Promise<Sample> {
  const { result, ...busy } = await weigh(contender.server, put);
  const stream = result.streams[0] as StreamResult;
  return {
    ...busy,
    qps: stream.answered / result.seconds,
    cpuMicros: (busy.serverBusy * result.seconds * 1e6) / stream.answered,
    failedShare: failedShare(stream, contender.load),
  };
}

export interface Weighed extends Pick<Sample, 'serverBusy' | 'generatorBusy' | 'othersBusy'> {
  readonly result: LoadResult;
}

/** How much of a core the server, the generator and other programs used during a load. */
export async function weigh(server: Server, put: () => Promise<LoadResult>): Promise<Weighed> {
  const [serverBefore, machineBefore] = [server.running.cpuSeconds(), machineSeconds()];
  const result = await put();
  const serverSeconds = server.running.cpuSeconds() - serverBefore;
  const others = machineSeconds() - machineBefore - serverSeconds - result.cpuSeconds;
  return {
    result,
    serverBusy: serverSeconds / result.seconds,
    generatorBusy: result.cpuSeconds / result.seconds,
    othersBusy: Math.max(0, others / result.seconds),
  };
}

function streamOf({ questions, edns, sockets, window }: Load, round: number): StreamSpec {
  return {
    questions: questions.path,
    pace: { kind: 'window', window: window ?? WINDOW },
    first: round * STRIDE,
    ...(edns === undefined ? {} : { edns }),
    ...(sockets === undefined ? {} : { sockets }),
  };
}

export function failedShare(result: StreamResult, { expects = 'noerror' }: Load): number {
  return 1 - result[expects] / result.sent;
}

export function logSample(title: string, round: number, sample: Sample): void {
  const { qps, cpuMicros, failedShare: failed } = sample;
  console.error(
    `${title}, round ${round + 1}: ${figure(qps)}/s, ${figure(cpuMicros, 2)} µs, ${busyText(sample)}, failed ${percent(failed)}`,
  );
}

export function busyText(busy: Omit<Weighed, 'result'>): string {
  const { serverBusy, generatorBusy, othersBusy } = busy;
  return `server ${percent(serverBusy)}, generator ${percent(generatorBusy)}, others ${percent(othersBusy)}`;
}

function percent(share: number): string {
  return `${figure(share * 100)} %`;
}
