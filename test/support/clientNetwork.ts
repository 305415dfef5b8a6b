/**
 * A network namespace and a mount namespace in which a server, resolvers in front of it and clients can use port 53 and
 * an /etc/resolv.conf of their own, as on a host. Needs root.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { SocketAddress } from '../../src/dns/address.ts';
import { environment } from './hostCleaner.ts';
import { newTempDir, removeDir } from './tempDir.ts';
import { until } from './until.ts';

const run = promisify(execFile);

export interface ClientNetwork {
  /** A folder for the programs' files, at the same path inside. */
  readonly folder: string;
  /** The command line that runs the command inside. */
  inside(...command: readonly string[]): [string, ...string[]];
  /** Runs a command inside; returns its output. */
  call(...command: readonly string[]): Promise<string>;
  /** Starts a program inside, which ends with the network. */
  start(...command: readonly string[]): ChildProcess;
  /** Waits until the DNS server answers for the name. */
  answers(at: SocketAddress, name: string): Promise<void>;
  /** The output lines of `dig +short @address TYPE NAME`. */
  dig(address: string, ...question: readonly string[]): Promise<string[]>;
  stop(): Promise<void>;
}

/** Starts a network whose resolv.conf names 127.0.0.1. */
export async function startClientNetwork(): Promise<ClientNetwork> {
  const folder = await newTempDir();
  const resolvConf = join(folder, 'resolv.conf');
  await writeFile(resolvConf, 'nameserver 127.0.0.1\n');
  const script = `ip link set lo up && mount --bind ${resolvConf} /etc/resolv.conf && echo ready && cat`;
  // The process ends with its standard input, and the network with its last process.
  const holder = spawn('unshare', ['--net', '--mount', 'sh', '-c', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: environment(),
  });
  await once(holder.stdout, 'data');
  return new HeldNetwork(holder, folder);
}

class HeldNetwork implements ClientNetwork {
  readonly folder: string;
  readonly #holder: ChildProcess;
  readonly #children = new Set<ChildProcess>();

  constructor(holder: ChildProcess, folder: string) {
    this.#holder = holder;
    this.folder = folder;
  }

  inside(...command: readonly string[]): [string, ...string[]] {
    const target = ['--target', String(this.#holder.pid), '--net', '--mount', '--wd'];
    return ['nsenter', ...target, ...command];
  }

  async call(...command: readonly string[]): Promise<string> {
    const [program, ...args] = this.inside(...command);
    const { stdout } = await run(program, args, { env: environment(), timeout: 30_000 });
    return stdout;
  }

  start(...command: readonly string[]): ChildProcess {
    const [program, ...args] = this.inside(...command);
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'ignore'], env: environment() });
    this.#children.add(child);
    child.on('exit', () => this.#children.delete(child));
    return child;
  }

  async answers({ address, port }: SocketAddress, name: string): Promise<void> {
    const args = ['+tries=1', '+time=1', `@${address}`, '-p', String(port), name];
    await until(`${address} answers`, async () => {
      try {
        return /status: (NOERROR|NXDOMAIN)/.test(await this.call('dig', ...args));
      } catch {
        return false;
      }
    });
  }

  async dig(address: string, ...question: readonly string[]): Promise<string[]> {
    const text = await this.call('dig', '+short', '+tries=1', `@${address}`, ...question);
    return text.split('\n').filter((line) => line !== '');
  }

  async stop(): Promise<void> {
    const ends = [...this.#children].map((child) => once(child, 'exit'));
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(ends);
    assert.ok(this.#holder.stdin);
    this.#holder.stdin.end();
    await once(this.#holder, 'exit');
    await removeDir(this.folder);
  }
}
