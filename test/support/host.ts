/**
 * One of several hosts on a network: its Docker, its member of their etcd and its `soradns up` from
 * dist/, which listens at the address of the Docker bridge, where the host's containers are told to ask, and at the
 * host's own. All with the ports that they have in earnest.
 */
import { fileURLToPath } from 'node:url';
import type { SocketAddress } from '../../src/dns/address.ts';
import { type CliProcess, startCli } from './cliProcess.ts';
import { type Dockerd, startDockerd } from './dockerd.ts';
import { type Etcd, startEtcd } from './etcd.ts';
import type { Lan } from './hostNetwork.ts';

export interface HostSetup {
  readonly name: string;
  /** Its place on the network. */
  readonly number: number;
  /** Docker's `bip`: what the host's containers know it by, as `172.17.0.1/16`. */
  readonly bridge: string;
  /** Containers go on while dockerd does not run. */
  readonly liveRestore?: boolean;
}

export interface ClientSetup {
  /** The host's bridge if not given. */
  readonly dns?: readonly string[];
  /** Docker's default bridge if not given. */
  readonly network?: string | undefined;
  /** More options of `docker run`. */
  readonly args?: readonly string[] | undefined;
}

export interface ServiceSetup {
  /** As in DNS. */
  readonly name: string;
  /** On the host. */
  readonly port: number;
  /** More options of `docker run`. */
  readonly args?: readonly string[];
}

/** How long records outlive the host that they are of. */
export const LEASE_TTL_SECONDS = 5;

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const DNS_PORT = 53;
const CLIENT_PORT = 2379;
const PEER_PORT = 2380;

/** Starts its Docker, and nothing else yet. */
export async function createHost(setup: HostSetup, all: readonly HostSetup[], lan: Lan) {
  const dockerd = await startDockerd({
    images: ['peer'],
    liveRestore: setup.liveRestore === true,
    config: { bip: setup.bridge },
    connection: lan.connection(setup.number),
  });
  const members = all.map(({ name, number }) => ({ name, address: lan.addressOf(number) }));
  return new Host(setup, members, lan, dockerd);
}

interface Member {
  readonly name: string;
  readonly address: string;
}

export class Host {
  readonly name: string;
  /** On the network of the hosts, for the test and for the others. */
  readonly address: string;
  /** What its containers are given as `--dns`. */
  readonly bridge: string;
  /** Its soradns, as the test and other hosts reach it. */
  readonly dns: SocketAddress;
  readonly dockerd: Dockerd;
  readonly #setup: HostSetup;
  readonly #members: readonly Member[];
  readonly #lan: Lan;
  #etcd: Etcd | undefined;
  #soradns: CliProcess | undefined;

  constructor(setup: HostSetup, members: readonly Member[], lan: Lan, dockerd: Dockerd) {
    this.name = setup.name;
    this.bridge = setup.bridge.replace(/\/.*/, '');
    this.address = dockerd.address;
    this.dns = { address: this.address, port: DNS_PORT };
    this.dockerd = dockerd;
    this.#setup = setup;
    this.#members = members;
    this.#lan = lan;
  }

  get etcd(): Etcd {
    if (this.#etcd === undefined) throw new Error(`${this.name} has no etcd`);
    return this.#etcd;
  }

  /** The one started last. */
  get soradns(): CliProcess {
    if (this.#soradns === undefined) throw new Error(`${this.name} has no soradns`);
    return this.#soradns;
  }

  /** Waits until it serves, for which most members must be there. */
  async startEtcd(): Promise<void> {
    const { name, address, dockerd } = this;
    const { folder } = this.#lan;
    const onHost = (...line: string[]) => dockerd.onHost(...line);
    const peers = this.#members.map((each) => `${each.name}=http://${each.address}:${PEER_PORT}`);
    this.#etcd = await startEtcd({
      member: { name, peerPort: PEER_PORT, cluster: peers.join(',') },
      host: { address, port: CLIENT_PORT, folder, onHost },
    });
  }

  /** Starts one, or another; waits until it has said that it serves, or that it follows Docker as well. */
  startSoradns(until?: 'serving' | 'following docker'): Promise<void> {
    const addresses = [this.bridge, this.address].map((address) => `${address}:${DNS_PORT}`);
    return this.#up(
      addresses.flatMap((address) => ['--addr', address]),
      until,
    );
  }

  /** Starts one as a newcomer does, who says no more than where etcd is: it finds the bridge's address, and has no other. */
  startPlainSoradns(): Promise<void> {
    return this.#up([]);
  }

  async #up(
    options: readonly string[],
    until: 'serving' | 'following docker' = 'following docker',
  ): Promise<void> {
    const members = this.#members.map(({ address }) => `${address}:${CLIENT_PORT}`);
    const store = ['--store', `etcd://${members.join(',')}`];
    const lease = ['--register-lease-ttl', String(LEASE_TTL_SECONDS)];
    const program = this.dockerd.onHost(process.execPath, MAIN);
    const args = ['up', ...store, ...options, ...lease, '--no-rec'];
    this.#soradns = startCli(args, { DOCKER_HOST: this.dockerd.host }, program);
    await this.#soradns.logged(until);
  }

  /** Starts a container that says its name and answers each line with `HOST got LINE`; gives its id. */
  serve({ name, port, args }: ServiceSetup): Promise<string> {
    return this.dockerd.run({
      image: 'peer',
      env: { DNS_NAME: name },
      publish: [`${port}:8080`],
      command: ['peer-musl', 'serve', '8080', `${this.name} got`],
      ...(args && { args }),
    });
  }

  /** Runs a command in a container that finds others through `--dns`; gives what it prints. */
  inContainer(
    { dns = [this.bridge], network = 'bridge', args = [] }: ClientSetup,
    ...command: readonly string[]
  ): Promise<string> {
    const servers = dns.flatMap((server) => ['--dns', server]);
    const options = ['--rm', '--network', network, ...servers, ...args];
    return this.dockerd.docker('run', ...options, 'peer', ...command);
  }

  /** When a container started, or when it last ended, as `Date.now()` has it. */
  async timeOf(what: 'StartedAt' | 'FinishedAt', id: string): Promise<number> {
    return Date.parse(await this.dockerd.docker('inspect', '--format', `{{.State.${what}}}`, id));
  }

  /** Pulls its network cable. */
  disconnect(): void {
    this.#lan.disconnect(this.#setup.number);
  }

  /** Puts the cable back. */
  reconnect(): void {
    this.#lan.reconnect(this.#setup.number);
  }

  /** As if the mains had failed: all of it ends at once, and nobody hears of it. */
  crash(): Promise<void> {
    this.disconnect();
    return this.dockerd.crashHost();
  }

  /** Puts the cable back, and starts what was started before and does not run. */
  async repair(): Promise<void> {
    if (this.dockerd.pid === undefined) await this.dockerd.start();
    this.reconnect();
    if (this.#etcd?.isRunning === false) await this.#etcd.restart();
    if (this.#soradns?.isRunning === false) await this.startSoradns();
  }

  /** The end of soradns' log. */
  logTail(): string {
    return this.#soradns?.stdout().slice(-4000) ?? '';
  }

  async stop(): Promise<void> {
    await this.#soradns?.end('SIGKILL');
    await this.#etcd?.stop();
    await this.dockerd.stop();
  }
}
