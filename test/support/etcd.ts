/**
 * A real etcd for one test with its own data folder (in memory if /dev/shm exists) and free ports. It ends with the
 * test, even when the test fails. This file sends signals only to processes that it started.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import type { EtcdOptions } from '../../src/store/etcd/options.ts';
import type { Store } from '../../src/store/store.ts';
import { freePort } from './freePort.ts';
import { MEMORY } from './tempDir.ts';

export interface EtcdSetup {
  /** The command that starts the server; default: the `etcd` in PATH. */
  readonly command?: string;
  /** Serves etcd's v2 API too. */
  readonly enableV2?: boolean;
  /** Paths of files. With `clientAuth` clients need a certificate signed by `ca`. */
  readonly tls?: { ca: string; cert: string; key: string; clientAuth?: boolean };
  /** Serves clients on ::1 too, at the same port. */
  readonly alsoIpv6?: boolean;
  /** Further options of etcd. */
  readonly args?: readonly string[];
  /** This member's name, its peer port, and all members as etcd's `--initial-cluster`. */
  readonly member?: { name: string; peerPort: number; cluster: string };
  /** The host to run on; default: this host, on free ports. */
  readonly host?: EtcdHost;
}

export interface EtcdHost {
  readonly address: string;
  /** The port for clients. */
  readonly port: number;
  /** The data folder. */
  readonly folder: string;
  /** The command line that runs `command` on that host. */
  readonly onHost: (...command: readonly string[]) => readonly string[];
}

export interface Etcd {
  /** `host:port` for clients; the same after a restart. */
  readonly endpoint: string;
  readonly isRunning: boolean;
  /** Of the server, or of the command that runs it on its host. Another one after a restart. */
  readonly pid: number | undefined;
  /** Runs `etcdctl` (API v3) against it and returns its output. Rejects when etcdctl fails. */
  etcdctl(args: readonly string[], input?: string): Promise<string>;
  /** SIGSTOP: connections stay open, and etcd answers nothing. */
  pause(): void;
  resume(): void;
  /** SIGKILL. `restart` finds the data again. */
  kill(): Promise<void>;
  /** Starts it again on the same port; `wipe` deletes its data first. */
  restart(options?: { wipe?: boolean }): Promise<void>;
  /** Ends it and deletes its data. */
  stop(): Promise<void>;
}

const START_ATTEMPTS = 5;
const START_TIMEOUT_MS = 20_000;

/** Starts one etcd and waits until it serves clients. */
export async function startEtcd(setup: EtcdSetup = {}): Promise<Etcd> {
  for (let attempt = 1; ; attempt++) {
    const etcd = new EtcdProcess(setup, await freePort(), await freePort());
    try {
      await etcd.start();
      return etcd;
    } catch (error) {
      await etcd.stop();
      // Another process may have taken a port in between.
      if (attempt === START_ATTEMPTS || setup.member !== undefined) throw error;
    }
  }
}

/** Starts a cluster of several members. */
export async function startEtcdCluster(size: number, command: string): Promise<Etcd[]> {
  const peers = [];
  for (let i = 0; i < size; i++) peers.push({ name: `m${i}`, peerPort: await freePort() });
  const cluster = peers.map((peer) => `${peer.name}=http://127.0.0.1:${peer.peerPort}`).join(',');
  return Promise.all(peers.map((peer) => startEtcd({ command, member: { ...peer, cluster } })));
}

/** Opens a store on etcd and closes it after use. */
export async function withEtcdStore<T>(
  options: EtcdOptions,
  use: (store: Store) => Promise<T>,
): Promise<T> {
  const store = new EtcdStore(options);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

class EtcdProcess implements Etcd {
  readonly endpoint: string;
  readonly #setup: EtcdSetup;
  readonly #peerPort: number;
  readonly #folder: string;
  readonly #onExit = (): void => void this.#child?.kill('SIGKILL');
  #child: ChildProcess | undefined;

  constructor(setup: EtcdSetup, port: number, peerPort: number) {
    this.#folder = mkdtempSync(join(setup.host?.folder ?? MEMORY, 'soradns-etcd-'));
    this.#setup = setup;
    this.#peerPort = setup.member?.peerPort ?? peerPort;
    const { host } = setup;
    this.endpoint = host === undefined ? `127.0.0.1:${port}` : `${host.address}:${host.port}`;
    process.on('exit', this.#onExit);
  }

  get isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    const line = [this.#setup.command ?? 'etcd', ...this.#args()];
    const [command = '', ...args] = this.#setup.host?.onHost(...line) ?? line;
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    const last: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`etcd ${why}\n${last.join('\n')}`));
      const timer = setTimeout(() => fail('did not start'), START_TIMEOUT_MS);
      child.once('error', (error) => fail(error.message));
      child.once('exit', () => fail('ended'));
      createInterface({ input: child.stderr }).on('line', (line) => {
        if (last.push(line) > 20) last.shift();
        if (/serving (?:insecure )?client (?:requests|traffic)/.test(line)) resolve();
      });
      child.once('exit', () => clearTimeout(timer));
    });
  }

  etcdctl(args: readonly string[], input?: string): Promise<string> {
    const { tls } = this.#setup;
    const secure = tls && ['--cacert', tls.ca, '--cert', tls.cert, '--key', tls.key];
    const all = ['--endpoints', this.endpoint, ...(secure ?? []), ...args];
    const env = { ...process.env, ETCDCTL_API: '3' };
    return new Promise((resolve, reject) => {
      const options = { env, maxBuffer: 1 << 28, timeout: 30_000 };
      const child = execFile('etcdctl', all, options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`etcdctl ${args.join(' ')}: ${stderr || error.message}`));
      });
      // A command that ends without reading its input is not an error.
      child.stdin?.on('error', () => {}).end(input ?? '');
    });
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async restart(options: { wipe?: boolean } = {}): Promise<void> {
    await this.kill();
    if (options.wipe === true) rmSync(this.#folder, { recursive: true, force: true });
    await this.start();
  }

  async stop(): Promise<void> {
    await this.kill();
    process.off('exit', this.#onExit);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #args(): string[] {
    const { enableV2, tls, member, args, host, alsoIpv6 } = this.#setup;
    const clients = `${tls === undefined ? 'http' : 'https'}://${this.endpoint}`;
    const ipv6 = alsoIpv6 === true ? `,${clients.replace('127.0.0.1', '[::1]')}` : '';
    const peers = `http://${host?.address ?? '127.0.0.1'}:${this.#peerPort}`;
    const name = member?.name ?? 'default';
    return [
      ...['--name', name, '--data-dir', this.#folder, '--bcrypt-cost', '4'],
      ...['--listen-client-urls', `${clients}${ipv6}`, '--advertise-client-urls', clients],
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers],
      ...['--initial-cluster', member?.cluster ?? `${name}=${peers}`],
      ...(enableV2 === true ? ['--enable-v2'] : []),
      ...(tls === undefined ? [] : tlsArgs(tls)),
      ...(args ?? []),
    ];
  }
}

function tlsArgs(tls: NonNullable<EtcdSetup['tls']>): string[] {
  const own = ['--cert-file', tls.cert, '--key-file', tls.key];
  return tls.clientAuth === true
    ? [...own, '--client-cert-auth', '--trusted-ca-file', tls.ca]
    : own;
}
