/** A real etcd for the benchmarks, with its data on disk, and a client that writes to it. */
import { mkdirSync } from 'node:fs';
import { Etcd3 } from 'etcd3';
import { startEtcd } from '../test/support/etcd.ts';
import { freePort } from '../test/support/freePort.ts';
import { type BenchName, serviceValue } from './names.ts';
import { type Cores, pinned } from './process.ts';

const QUOTA_BYTES = 8 * 1024 ** 3;
const PUTS_PER_TXN = 128;
const CONCURRENT_TXNS = 16;

export interface BenchEtcd {
  /** Value of `--store`. */
  readonly store: string;
  /** URL for etcd's clients. */
  readonly url: string;
  put(key: string, value: string): Promise<void>;
  /** Puts the services of all the names, many at once. */
  fill(names: Iterable<BenchName>): Promise<void>;
  stop(): Promise<void>;
}

/** Starts an etcd with its data in the folder and waits until it serves clients. */
export async function startBenchEtcd(folder: string, cores?: Cores): Promise<BenchEtcd> {
  mkdirSync(folder, { recursive: true });
  const onHost = ([program = '', ...args]: readonly string[]) => {
    const [command, all] = pinned([program, ...args], cores);
    return [command, ...all];
  };
  const etcd = await startEtcd({
    host: {
      address: '127.0.0.1',
      port: await freePort(),
      folder,
      onHost: (...line) => onHost(line),
    },
    args: ['--quota-backend-bytes', String(QUOTA_BYTES)],
  });
  const url = `http://${etcd.endpoint}`;
  const client = new Etcd3({ hosts: url });
  return {
    store: `etcd://${etcd.endpoint}`,
    url,
    put: async (key, value) => {
      await client.kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
    },
    fill: (names) => fill(client, names),
    stop: async () => {
      client.close();
      await etcd.stop();
    },
  };
}

async function fill(client: Etcd3, names: Iterable<BenchName>): Promise<void> {
  const left = batches(names);
  const worker = async (): Promise<void> => {
    for (const batch of left) await client.kv.txn({ success: batch });
  };
  await Promise.all(Array.from({ length: CONCURRENT_TXNS }, worker));
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
