/**
 * A client, a host that carries its connections, and backends, in network namespaces of the test: the process of the test
 * itself is the host.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile } from './dockerImages.ts';
import { WatchedFlow } from './flows.ts';
import { environment } from './hostCleaner.ts';
import { command, enterOwnNetwork } from './ownNetwork.ts';

const SUBNET = '10.77';

/** The neighbour of the host with this number: 10.77.NUMBER.2, with the host at 10.77.NUMBER.1. */
export class ThreeHosts {
  readonly flow: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'soradns-flow-'));
  readonly #id = randomBytes(3).toString('hex');
  readonly #names: string[] = [];
  readonly #children = new Set<ChildProcess>();

  constructor() {
    enterOwnNetwork();
    command('sysctl', '-qw', 'net.ipv4.ip_forward=1');
    this.flow = compile(this.#folder, 'musl-gcc', 'flow', 'flow.c', '-static');
  }

  /** Adds a neighbour in a namespace of its own; returns its address. */
  addNeighbour(number: number): string {
    const name = `sora3${this.#id}${number}`;
    command('ip', 'netns', 'add', name);
    this.#names[number] = name;
    command('ip', 'link', 'add', `n${number}`, 'type', 'veth', 'peer', 'eth0', 'netns', name);
    command('ip', 'address', 'add', `${SUBNET}.${number}.1/24`, 'dev', `n${number}`);
    command('ip', 'link', 'set', `n${number}`, 'up');
    const inside = (...args: readonly string[]) => command('ip', '-netns', name, ...args);
    inside('address', 'add', `${SUBNET}.${number}.2/24`, 'dev', 'eth0');
    inside('link', 'set', 'eth0', 'up');
    inside('link', 'set', 'lo', 'up');
    inside('route', 'add', 'default', 'via', `${SUBNET}.${number}.1`);
    return `${SUBNET}.${number}.2`;
  }

  /** Takes the neighbour off the network, and back. */
  disconnect(number: number): void {
    command('ip', 'link', 'set', `n${number}`, 'down');
  }

  /** Starts a server of lines and datagrams at a neighbour; its replies begin with the text. */
  async serve(number: number, text: string, ...ports: readonly number[]): Promise<ChildProcess> {
    const child = this.#spawn(number, ['serve', text, ...ports.map(String)]);
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    return child;
  }

  /** Runs a client of flow.c at a neighbour. */
  client(number: number, ...args: readonly string[]): WatchedFlow {
    return new WatchedFlow(['ip', 'netns', 'exec', this.#names[number] ?? '', this.flow, ...args]);
  }

  /** Connects that often; returns what the client has seen. */
  async connects(number: number, address: string, port: number, count: number) {
    const client = this.client(number, 'connects', address, `${port}`, `${count}`, '0');
    await client.ended();
    return client.seen()[0] as unknown as {
      readonly count: number;
      readonly failed: number;
      readonly error: string;
      readonly replies: Readonly<Record<string, number>>;
    };
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const name of this.#names) if (name !== undefined) command('ip', 'netns', 'del', name);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #spawn(number: number, args: readonly string[]): ChildProcess {
    const name = this.#names[number] ?? '';
    const child = spawn('ip', ['netns', 'exec', name, this.flow, ...args], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }
}
