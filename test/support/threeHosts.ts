/**
 * A client, a host that carries its connections, and backends, in network namespaces of the test: the process of the test
 * itself is the host.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile } from './dockerImages.ts';
import { WatchedFlow } from './flows.ts';
import { environment } from './hostCleaner.ts';
import { command, enterOwnNetwork } from './ownNetwork.ts';

const SUBNET = '10.77';
const SUBNET6 = 'fd77';
/** The network of the bridge; neighbours have lower numbers. */
const BRIDGE = 200;

/**
 * A neighbour with a link of its own is 10.77.NUMBER.2 and fd77:NUMBER::2; the host is 10.77.NUMBER.1 and fd77:NUMBER::1
 * there. Members of the bridge are 10.77.200.NUMBER and fd77:200::NUMBER, and the host has the numbers 1 there.
 */
export class ThreeHosts {
  readonly flow: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'soradns-flow-'));
  /** A process in each namespace, which ends with the test. */
  readonly #holders = new Map<number, ChildProcess>();
  readonly #children = new Set<ChildProcess>();

  constructor() {
    enterOwnNetwork();
    command('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    this.flow = compile(this.#folder, 'musl-gcc', 'flow', 'flow.c', '-static');
  }

  /** Adds a neighbour in a namespace of its own; returns its address. */
  async addNeighbour(number: number): Promise<string> {
    await this.#addLink(number, `n${number}`);
    this.#configureLink(`n${number}`, number);
    return this.#configure(number, number, 2);
  }

  /** Adds the bridge without members. */
  addBridge(): void {
    command('ip', 'link', 'add', 'bridge', 'type', 'bridge');
    this.#configureLink('bridge', BRIDGE);
  }

  /** Adds a member of the bridge in a namespace of its own; returns its address. */
  async addMember(number: number): Promise<string> {
    await this.#addLink(number, `m${number}`);
    command('ip', 'link', 'set', `m${number}`, 'master', 'bridge', 'up');
    return this.#configure(number, BRIDGE, number);
  }

  /** Runs a program at a neighbour or member; returns its output. */
  run(number: number, program: string, ...args: readonly string[]): string {
    const [first, ...others] = this.inside(number, program, ...args);
    return command(first, ...others);
  }

  /** Creates the namespace with `eth0`, whose other end has the name. */
  async #addLink(number: number, link: string): Promise<void> {
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready && exec cat'], {
      env: environment(),
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.#holders.set(number, holder);
    await once(holder.stdout, 'data');
    const peer = ['peer', 'eth0', 'netns', `${holder.pid}`];
    command('ip', 'link', 'add', link, 'type', 'veth', ...peer);
  }

  /** The command line that runs the command there; the host itself has the number 0. */
  inside(number: number, ...line: readonly string[]): [string, ...string[]] {
    const holder = this.#holders.get(number);
    const enter = holder === undefined ? [] : ['nsenter', '--target', `${holder.pid}`, '--net'];
    return [...enter, ...line] as unknown as [string, ...string[]];
  }

  #configureLink(link: string, network: number): void {
    command('ip', 'address', 'add', `${SUBNET}.${network}.1/24`, 'dev', link);
    command('ip', 'address', 'add', `${SUBNET6}:${network}::1/64`, 'dev', link, 'nodad');
    command('ip', 'link', 'set', link, 'up');
  }

  #configure(number: number, network: number, host: number): string {
    const inside = (...args: readonly string[]) => this.run(number, 'ip', ...args);
    inside('address', 'add', `${SUBNET}.${network}.${host}/24`, 'dev', 'eth0');
    inside('address', 'add', `${SUBNET6}:${network}::${host}/64`, 'dev', 'eth0', 'nodad');
    inside('link', 'set', 'eth0', 'up');
    inside('link', 'set', 'lo', 'up');
    inside('route', 'add', 'default', 'via', `${SUBNET}.${network}.1`);
    inside('-6', 'route', 'add', 'default', 'via', `${SUBNET6}:${network}::1`);
    return `${SUBNET}.${network}.${host}`;
  }

  /** Takes the neighbour off the network; `reconnect` puts it back. */
  disconnect(number: number): void {
    command('ip', 'link', 'set', `n${number}`, 'down');
  }

  reconnect(number: number): void {
    command('ip', 'link', 'set', `n${number}`, 'up');
  }

  /** Starts a server of lines and datagrams at a neighbour; its replies begin with the text. */
  async serve(number: number, text: string, ...ports: readonly number[]): Promise<ChildProcess> {
    const child = this.#spawn(number, ['serve', text, ...ports.map(String)]);
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    return child;
  }

  /** Runs a client of flow.c at a neighbour, or at the host, whose number is 0. */
  client(number: number, ...args: readonly string[]): WatchedFlow {
    return new WatchedFlow(this.inside(number, this.flow, ...args));
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
    for (const child of [...this.#children, ...this.#holders.values()]) child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #spawn(number: number, args: readonly string[]): ChildProcess {
    const [program, ...words] = this.inside(number, this.flow, ...args);
    const child = spawn(program, words, {
      env: environment(),
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }
}
