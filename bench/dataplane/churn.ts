/**
 * Changes a store at a steady rate, and now and then queries the server over UDP until the answer has the value that
 * was just put. The rate stays the same while the store is slow: up to a bound, changes are sent before earlier changes
 * are acknowledged.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { dueAfter } from '../generator/pacing.ts';
import { addressOf, BENCH_FOLDER, BENCH_PARENT, serviceValue } from '../names.ts';
import { openQueryClient, untilAnswers } from '../queryClient.ts';
import { changeOf } from './changes.ts';
import { type Endpoint, type KeyWriter, openKeyWriter } from './keyWriter.ts';

export interface ChurnRequest {
  readonly endpoint: Endpoint;
  /** `zone`: below the keys that the server holds; `elsewhere`: below other keys. */
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
  /** For each put that was queried: from the call of the put to the answer over UDP. */
  readonly visibleMs: readonly number[];
  /** From the same calls to the store's acknowledgement: the store's part. */
  readonly acknowledgedMs: readonly number[];
  /** From the acknowledgement to the answer if the answer came later: the server's part. */
  readonly afterwardsMs: readonly number[];
}

const MAX_UNDER_WAY = 512;
const PROBE_PAUSE_MS = 10;
const PROBE_TIMEOUT_MS = 10_000;

type Probed = Pick<ChurnResult, 'visibleMs' | 'acknowledgedMs' | 'afterwardsMs'>;
const NOT_PROBED: Probed = { visibleMs: [], acknowledgedMs: [], afterwardsMs: [] };

/** Each run continues the changes of the previous run. */
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
