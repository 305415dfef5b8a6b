/**
 * Changes a store at a steady rate, and now and then asks over UDP for the value that it has just put, until the server
 * answers with it. It keeps to its timetable: up to a bound, it sends changes to a store that has not acknowledged
 * earlier ones.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { dueAfter } from '../generator/pacing.ts';
import { addressOf, BENCH_FOLDER, BENCH_PARENT, serviceValue } from '../names.ts';
import { openQueryClient, untilAnswers } from '../queryClient.ts';
import { changeOf } from './changes.ts';
import { type Endpoint, type KeyWriter, openKeyWriter } from './keyWriter.ts';

export interface ChurnRequest {
  readonly endpoint: Endpoint;
  /** Below the keys that the server holds, or below others. */
  readonly where: 'zone' | 'elsewhere';
  /** The server that follows the store. */
  readonly dnsPort: number;
  /** Names in the zone. */
  readonly names: number;
  readonly perSecond: number;
  readonly seconds: number;
}

export interface ChurnResult {
  readonly acknowledgedPerSecond: number;
  readonly failed: number;
  /** From the call of each put that was asked for to its answer over UDP. */
  readonly visibleMs: readonly number[];
  /** From the same calls to the store's acknowledgement: the part that is not the server's. */
  readonly acknowledgedMs: readonly number[];
  /** From the acknowledgement to the answer, where that came later: the server's part. */
  readonly afterwardsMs: readonly number[];
}

const MAX_UNDER_WAY = 512;
const PROBE_PAUSE_MS = 10;
const PROBE_TIMEOUT_MS = 10_000;

type Probed = Pick<ChurnResult, 'visibleMs' | 'acknowledgedMs' | 'afterwardsMs'>;
const NOT_PROBED: Probed = { visibleMs: [], acknowledgedMs: [], afterwardsMs: [] };

/** A run goes on where the last one ended. */
let nextIndex = 0;
let nextProbe = 0;

export async function churn(run: ChurnRequest): Promise<ChurnResult> {
  const writer = openKeyWriter(run.endpoint);
  try {
    const probing = run.where === 'zone' ? probe(writer, run) : NOT_PROBED;
    const [written, probed] = await Promise.all([changeAll(writer, run), probing]);
    return { ...written, ...probed };
  } finally {
    writer.close();
  }
}

async function changeAll(
  writer: KeyWriter,
  { perSecond, seconds, names, where }: ChurnRequest,
): Promise<Pick<ChurnResult, 'acknowledgedPerSecond' | 'failed'>> {
  const beganMs = performance.now();
  const total = perSecond * seconds;
  let [issued, acknowledged, failed] = [0, 0, 0];
  while (acknowledged + failed < total) {
    const due = Math.min(total, dueAfter(performance.now() - beganMs, perSecond));
    while (issued < due && issued - acknowledged - failed < MAX_UNDER_WAY) {
      issued += 1;
      const change = changeOf(nextIndex++, names);
      const key = where === 'zone' ? change.key : `/elsewhere${change.key}`;
      writer.write({ ...change, key }).then(
        () => acknowledged++,
        () => failed++,
      );
    }
    await sleep(1);
  }
  const tookSeconds = (performance.now() - beganMs) / 1000;
  return { acknowledgedPerSecond: acknowledged / tookSeconds, failed };
}

async function probe(writer: KeyWriter, { dnsPort, seconds }: ChurnRequest): Promise<Probed> {
  const client = await openQueryClient(dnsPort);
  const endMs = performance.now() + seconds * 1000;
  const visibleMs: number[] = [];
  const acknowledgedMs: number[] = [];
  const afterwardsMs: number[] = [];
  try {
    while (performance.now() < endMs) {
      const address = addressOf(nextProbe++);
      const beganMs = performance.now();
      const change = { key: `${BENCH_FOLDER}/probe`, value: serviceValue(address) };
      const written = writer
        .write({ kind: 'put', ...change })
        .then(() => performance.now() - beganMs);
      await untilAnswers(client, `probe.${BENCH_PARENT}`, address, PROBE_TIMEOUT_MS);
      const visible = performance.now() - beganMs;
      const acknowledged = await written;
      visibleMs.push(visible);
      acknowledgedMs.push(acknowledged);
      afterwardsMs.push(Math.max(0, visible - acknowledged));
      await sleep(PROBE_PAUSE_MS);
    }
  } finally {
    client.close();
  }
  return { visibleMs, acknowledgedMs, afterwardsMs };
}
