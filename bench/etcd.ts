/** A real etcd of the bench's own, in a temporary folder. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { freePort } from '../test/support/freePort.ts';
import { type BenchName, serviceValue } from './names.ts';
import { type Cores, type Running, start } from './process.ts';

const QUOTA_BYTES = 8 * 1024 ** 3;
const PUTS_PER_TXN = 128;
const TXNS_AT_ONCE = 16;
const READY_TIMEOUT_MS = 30_000;

export interface Etcd {
  /** As `--store` takes it. */
  readonly store: string;
  /** As its clients take it. */
  readonly url: string;
  readonly running: Running;
  put(key: string, value: string): Promise<void>;
  /** Puts the services of all the names, many at once. */
  fill(names: Iterable<BenchName>): Promise<void>;
  stop(): Promise<void>;
}

/** Starts an etcd and waits until it takes calls. */
export async function startEtcd(folder: string, core?: Cores): Promise<Etcd> {
  mkdirSync(folder, { recursive: true });
  const [clients, peers] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${clients}`;
  const running = start(
    [
      'etcd',
      ...['--name', 'bench', '--data-dir', join(folder, 'data'), '--logger', 'zap'],
      ...['--listen-client-urls', url, '--advertise-client-urls', url],
      ...['--listen-peer-urls', `http://127.0.0.1:${peers}`],
      ...['--initial-advertise-peer-urls', `http://127.0.0.1:${peers}`],
      ...['--initial-cluster', `bench=http://127.0.0.1:${peers}`],
      ...['--quota-backend-bytes', String(QUOTA_BYTES), '--log-level', 'error'],
    ],
    { cwd: folder, core },
  );
  const client = new Etcd3({ hosts: url });
  await untilUp(client, running);
  return {
    store: `etcd://127.0.0.1:${clients}`,
    url,
    running,
    put: async (key, value) => {
      await client.kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
    },
    fill: (names) => fill(client, names),
    stop: async () => {
      client.close();
      await running.stop();
    },
  };
}

async function untilUp(client: Etcd3, running: Running): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      await client.get('ready').string();
      return;
    } catch (error) {
      if (performance.now() > deadline || running.hasEnded()) {
        throw new Error(`etcd does not start: ${running.output()}`, { cause: error });
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

async function fill(client: Etcd3, names: Iterable<BenchName>): Promise<void> {
  const left = batches(names);
  const worker = async (): Promise<void> => {
    for (const batch of left) await client.kv.txn({ success: batch });
  };
  await Promise.all(Array.from({ length: TXNS_AT_ONCE }, worker));
}

interface PutOp {
  readonly request_put: { readonly key: Buffer; readonly value: Buffer };
}

function* batches(names: Iterable<BenchName>): Generator<PutOp[]> {
  let batch: PutOp[] = [];
  for (const { key, address } of names) {
    const value = Buffer.from(serviceValue(address));
    batch.push({ request_put: { key: Buffer.from(key), value } });
    if (batch.length === PUTS_PER_TXN) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}
