/** A soradns that carries the host's connections to virtual addresses in the kernel, with a store of its own. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openNft } from '../../src/kernel/libnftables.ts';
import { type KeyWriter, openKeyWriter } from '../dataplane/keyWriter.ts';
import { fillStore } from '../dataplane/lab.ts';
import { BENCH_FOLDER, BENCH_PARENT, type BenchName } from '../names.ts';
import { openQueryClient } from '../queryClient.ts';
import { type Soradns, startSoradns, untilReady } from '../soradns.ts';
import { type BackendHost, CLIENT, HOST_ADDRESS, type Scene } from './scene.ts';

export interface VipServer {
  readonly running: Soradns;
  /** Where the client asks it. */
  readonly dns: string;
  /** Registers an instance of a service at a backend; the service has a virtual address. */
  put(instance: Instance, backend: BackendHost): Promise<void>;
  remove(instance: Pick<Instance, 'service' | 'instance'>): Promise<void>;
  /** The virtual address of a service, once a backend answers there at the port. */
  addressOf(service: string, port: number): Promise<string>;
  stop(): Promise<void>;
}

export interface Instance {
  readonly service: string;
  readonly instance: string;
  /** Its port at the backend. */
  readonly port: number;
  /** Its port at the virtual address: `80`, `"53/udp"`. */
  readonly expose: number | string;
}

const RANGE = '198.18.0.0/16';
const TRIES = 200;
const PAUSE_MS = 50;

/** `names`: what the store holds besides. */
export async function startVipServer(
  scene: Scene,
  options: { readonly args?: readonly string[]; readonly names?: readonly BenchName[] } = {},
): Promise<VipServer> {
  const cwd = mkdtempSync(join(scene.options.folder, 'vip-'));
  const store = join(cwd, 'store');
  if (options.names !== undefined) await fillStore(store, options.names);
  const port = FIRST_PORT + started++;
  const running = await startSoradns({
    ...{ port, cwd, store: `file:${store}` },
    args: [
      ...['--vip', '--vip-range', RANGE, '--ambassador-plane', 'nft', '--no-rec'],
      ...['--addr', `${HOST_ADDRESS}:${port}`, ...(options.args ?? [])],
    ],
  });
  try {
    await untilReady(running);
  } catch (error) {
    await running.stop();
    throw error;
  }
  const writer = openKeyWriter({ kind: 'http', port: running.httpPort });
  return {
    running,
    dns: `${HOST_ADDRESS}:${port}`,
    put: (instance, backend) => putInstance(writer, instance, backend),
    remove: (instance) => writer.write({ kind: 'delete', key: keyOf(instance) }),
    addressOf: (service, vipPort) => addressOf(scene, running.port, service, vipPort),
    stop: async () => {
      writer.close();
      await running.stop();
      clearTables();
    },
  };
}

/** In this network namespace every port is free. */
const FIRST_PORT = 5300;
let started = 0;

function keyOf({ service, instance }: Pick<Instance, 'service' | 'instance'>): string {
  return `${BENCH_FOLDER}/${service}/${instance}`;
}

export function nameOf(service: string): string {
  return `${service}.${BENCH_PARENT}`;
}

function putInstance(writer: KeyWriter, instance: Instance, { address }: BackendHost) {
  const { port, expose } = instance;
  const value = JSON.stringify({ host: address, port, expose, vip: 'auto' });
  return writer.write({ kind: 'put', key: keyOf(instance), value });
}

async function addressOf(
  scene: Scene,
  dnsPort: number,
  service: string,
  port: number,
): Promise<string> {
  const client = await openQueryClient(dnsPort);
  try {
    for (let time = 0; time < TRIES; time++, await sleep(PAUSE_MS)) {
      const [address] = (await client.addresses(nameOf(service))) ?? [];
      if (address?.startsWith('198.18.') !== true) continue;
      const { failed } = await scene.hosts.connects(CLIENT, address, port, 1);
      if (failed === 0) return address;
    }
    throw new Error(`${service} has no virtual address that works`);
  } finally {
    client.close();
  }
}

/** The tables outlive the server; the next measurement begins without them. */
export function clearTables(): void {
  const opened = openNft();
  if (opened.kind === 'missing') throw new Error(opened.reason);
  opened.nft.run('flush ruleset');
  opened.nft.close();
}
