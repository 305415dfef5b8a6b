/** A registrar with a real engine and a real etcd: in this process, or as a process that a test can kill. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { RegistrarContext } from '../../src/registrar/describe/context.ts';
import { connectEngine } from '../../src/registrar/engine/dockerode.ts';
import { probe } from '../../src/registrar/observe/probe.ts';
import { Registrar } from '../../src/registrar/registrar.ts';
import type { RegistrarEvent } from '../../src/registrar/registrarEvents.ts';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { registrarContext } from './inspection.ts';

export interface RealSetup {
  readonly socket: string;
  /** `host:port` */
  readonly etcd: string;
  readonly instance: string;
  readonly hostAddress: string;
  readonly context?: Partial<RegistrarContext>;
  readonly leaseTtlSeconds?: number;
}

export interface RealRegistrar {
  readonly registrar: Registrar;
  readonly events: RegistrarEvent[];
  close(end?: 'keep' | 'revoke'): Promise<void>;
}

export function startRealRegistrar(setup: RealSetup): RealRegistrar {
  const { socket, etcd, instance, hostAddress, context, ...rest } = setup;
  const engine = connectEngine({ kind: 'unix', path: socket });
  const store = new EtcdStore({ endpoints: [etcd] });
  const events: RegistrarEvent[] = [];
  const registrar = new Registrar({
    engine,
    store,
    context: registrarContext(context),
    readHostFacts: async () => ({ hostAddresses: { v4: hostAddress }, ownNetworks: [] }),
    probe,
    runId: instance,
    host: instance,
    onEvent: (event) => events.push(event),
    ...rest,
  });
  registrar.start();
  const close = async (onExit: 'keep' | 'revoke' = 'revoke'): Promise<void> => {
    await registrar.close({ onExit, lingerMs: 0 });
    engine.close();
    await store.close();
  };
  return { registrar, events, close };
}

/** Starts a registrar as a process; resolves when it is ready or standby. */
export async function spawnRegistrar(setup: RealSetup): Promise<ChildProcess> {
  const script = fileURLToPath(import.meta.url);
  const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(setup)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout }))
    if (line === 'ready') return child;
  throw new Error('the registrar exited');
}

export async function killRegistrar(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { registrar } = startRealRegistrar(JSON.parse(process.argv[2] ?? ''));
  process.stdin.resume().on('end', () => process.exit()); // the parent process has ended
  const timer = setInterval(() => {
    if (!registrar.readiness().isReady) return;
    clearInterval(timer);
    console.log('ready');
  }, 10);
}
