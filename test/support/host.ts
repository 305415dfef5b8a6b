/**
 * One of several hosts on a network: its Docker, its etcd member and its `soradns up` from dist/, which listens on the
 * Docker bridge's address for the host's containers and on the host's own address. All use their standard ports.
 */
import type { SocketAddress } from '../../src/dns/address.ts';
import { MAIN } from './cli.ts';
import { type CliProcess, startCli } from './cliProcess.ts';
import { type Dockerd, startDockerd } from './dockerd.ts';
import { type Etcd, startEtcd } from './etcd.ts';
import type { Lan } from './hostNetwork.ts';

export interface HostSetup {
  readonly name: string;
  /** Number of its address on the network. */
  readonly number: number;
  /** Docker's `bip`, the host's address for its containers, as `172.17.0.1/16`. */
  readonly bridge: string;
  /** Containers keep running while dockerd is down. */
  readonly liveRestore?: boolean;
  /** More options of `soradns up`. */
  readonly options?: readonly string[];
  /** More settings of dockerd. */
  readonly dockerConfig?: Readonly<Record<string, unknown>>;
}

export interface ClientSetup {
  /** Default: the host's bridge. */
  readonly dns?: readonly string[];
  /** Default: Docker's default bridge. */
  readonly network?: string | undefined;
  /** More options of `docker run`. */
  readonly args?: readonly string[] | undefined;
}

export interface ServiceSetup {
  /** Name in DNS. */
  readonly name: string;
  /** Port on the host. */
  readonly port: number;
  /** More options of `docker run`. */
  readonly args?: readonly string[];
}

export interface SoradnsStart {
  /** What soradns logs before the start counts as done. */
  readonly until?: 'serving' | 'following docker' | undefined;
  readonly leaseTtlSeconds?: number | undefined;
}

/** The lease of the records. Records stay that long after their host has failed. */
export const LEASE_TTL_SECONDS = 5;

const DNS_PORT = 53;
const CLIENT_PORT = 2379;
const PEER_PORT = 2380;

/** Starts the host with its Docker, but without etcd and soradns. */
export async function createHost(setup: HostSetup, all: readonly HostSetup[], lan: Lan) {
  const dockerd = await startDockerd({
    images: ['peer'],
    liveRestore: setup.liveRestore === true,
    config: { bip: setup.bridge, ...setup.dockerConfig },
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
  /** Address on the hosts' network. */
  readonly address: string;
  /** The `--dns` of its containers. */
  readonly bridge: string;
  /** The address of its soradns for the test and other hosts. */
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

  /** The soradns process started last. */
  get soradns(): CliProcess {
    if (this.#soradns === undefined) throw new Error(`${this.name} has no soradns`);
    return this.#soradns;
  }

  /** Starts the etcd member and waits until it serves, which needs a majority of members. */
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

  /** Starts soradns, or restarts it; waits until it logs that it serves or, by default, that it follows Docker. */
  startSoradns({ until, leaseTtlSeconds }: SoradnsStart = {}): Promise<void> {
    const addresses = [this.bridge, this.address].map((address) => `${address}:${DNS_PORT}`);
    const options = addresses.flatMap((address) => ['--addr', address]);
    return this.#up(options, { until, leaseTtlSeconds });
  }

  /** Starts soradns with only the address of etcd: it finds the bridge's address and listens only there. */
  startPlainSoradns(): Promise<void> {
    return this.#up([]);
  }

  async #up(
    options: readonly string[],
    { until = 'following docker', leaseTtlSeconds = LEASE_TTL_SECONDS }: SoradnsStart = {},
  ): Promise<void> {
    const members = this.#members.map(({ address }) => `${address}:${CLIENT_PORT}`);
    const store = ['--store', `etcd://${members.join(',')}`];
    const lease = ['--register-lease-ttl', String(leaseTtlSeconds)];
    const program = this.dockerd.onHost(process.execPath, MAIN);
    const { options: more = [] } = this.#setup;
    const args = ['up', ...store, ...options, ...lease, '--no-rec', ...more];
    this.#soradns = startCli(args, { DOCKER_HOST: this.dockerd.host }, program);
    await this.#soradns.logged(until);
  }

  /** Starts a container that has this DNS name and answers each line with `HOST got LINE`; returns its id. */
  serve({ name, port, args }: ServiceSetup): Promise<string> {
    return this.dockerd.run({
      image: 'peer',
      env: { DNS_NAME: name },
      publish: [`${port}:8080`],
      command: ['peer-musl', 'serve', '8080', `${this.name} got`],
      ...(args && { args }),
    });
  }

  /** Runs a command in a container with `--dns`; returns its output. */
  inContainer(
    { dns = [this.bridge], network = 'bridge', args = [] }: ClientSetup,
    ...command: readonly string[]
  ): Promise<string> {
    const servers = dns.flatMap((server) => ['--dns', server]);
    const options = ['--rm', '--network', network, ...servers, ...args];
    return this.dockerd.docker('run', ...options, 'peer', ...command);
  }

  /** The time when a container started or last ended, in ms as `Date.now()`. */
  async timeOf(what: 'StartedAt' | 'FinishedAt', id: string): Promise<number> {
    return Date.parse(await this.dockerd.docker('inspect', '--format', `{{.State.${what}}}`, id));
  }

  /** Disconnects the host from the network. */
  disconnect(): void {
    this.#lan.disconnect(this.#setup.number);
  }

  /** Connects it again. */
  reconnect(): void {
    this.#lan.reconnect(this.#setup.number);
  }

  /** Simulates a power failure: disconnects the host, then kills everything on it at once. */
  crash(): Promise<void> {
    this.disconnect();
    return this.dockerd.crashHost();
  }

  /** Connects the host again and restarts the programs that have ended. */
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
