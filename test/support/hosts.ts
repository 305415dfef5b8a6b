/**
 * Three hosts on one network, as a small company has them: each with its Docker, its member of one etcd and its
 * `soradns serve --register` from dist/, at the address of its Docker bridge, where its containers are told to ask, and
 * at its own. All with the ports that they have in earnest.
 */
import { existsSync } from 'node:fs';
import { after, before, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { SocketAddress } from '../../src/dns/socketAddress.ts';
import { type CliProcess, startCli } from './cliProcess.ts';
import { type Dockerd, startDockerd } from './dockerd.ts';
import { dockerSkipReason } from './dockerTest.ts';
import { type Etcd, startEtcd } from './etcd.ts';
import { type Lan, startLan } from './hostNetwork.ts';

export interface Host {
  readonly name: string;
  /** On the network of the hosts, for the test and for the others. */
  readonly address: string;
  /** What its containers are given as `--dns`. */
  readonly bridge: string;
  /** Its soradns, as the test and other hosts reach it. */
  readonly dns: SocketAddress;
  readonly dockerd: Dockerd;
  readonly etcd: Etcd;
  /** The one started last. */
  readonly soradns: CliProcess;
  /** Starts another one; waits until it serves and follows Docker. */
  startSoradns(): Promise<void>;
  /** Starts an image's command in a container that asks `--dns` (this host's, if not given); gives what it prints. */
  inContainer(where: ClientPlace, ...command: readonly string[]): Promise<string>;
  /** Pulls its network cable, and puts it back. */
  cut(): void;
  mend(): void;
}

export interface ClientPlace {
  readonly dns?: readonly string[];
  readonly network?: string;
}

export interface Hosts {
  readonly a: Host;
  readonly b: Host;
  readonly c: Host;
  readonly all: readonly Host[];
}

export interface HostTests {
  /** For `test`: a skip with its reason where no Docker can run. */
  readonly options: { readonly skip?: string };
  /** For `test`: runs the body on the file's hosts; afterwards they have no containers and nothing is broken. */
  on(body: (hosts: Hosts) => Promise<void>): (context: TestContext) => Promise<void>;
}

/** How long records outlive the host that they are of. */
export const LEASE_TTL_SECONDS = 5;

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const FIRST_NUMBER = 11;
const CLIENT_PORT = 2379;
const PEER_PORT = 2380;

/** Docker's own choice twice, as most hosts have it, and another one in between. */
const BRIDGES = [
  { name: 'a', bridge: '172.17.0.1', prefix: 16 },
  { name: 'b', bridge: '172.30.1.1', prefix: 24 },
  { name: 'c', bridge: '172.17.0.1', prefix: 16 },
] as const;

/** Starts them before the file's tests and ends them after. */
export function useHosts(): HostTests {
  const reason = dockerSkipReason();
  const network = reason === undefined ? new Network() : undefined;
  if (network !== undefined) {
    before(() => network.start());
    after(() => network.stop());
  }
  return {
    options: reason === undefined ? {} : { skip: reason },
    on: (body) => async () => {
      const hosts = network?.hosts;
      if (hosts === undefined) throw new Error('there are no hosts');
      try {
        await body(hosts);
      } finally {
        await Promise.all(hosts.all.map(({ dockerd }) => dockerd.clear()));
      }
    },
  };
}

class Network {
  #lan: Lan | undefined;
  #started: StartedHost[] = [];
  hosts: Hosts | undefined;

  async start(): Promise<void> {
    if (!existsSync(MAIN)) throw new Error('dist/ is not built: npm run build');
    const lan = startLan();
    this.#lan = lan;
    const members = BRIDGES.map(({ name }, index) => ({
      name,
      address: lan.addressOf(FIRST_NUMBER + index),
    }));
    const started = await Promise.allSettled(
      BRIDGES.map(async ({ name, bridge, prefix }, index) => {
        const number = FIRST_NUMBER + index;
        const dockerd = await startDockerd({
          images: ['peer'],
          config: { bip: `${bridge}/${prefix}` },
          connection: lan.connection(number),
        });
        const host = new StartedHost(name, bridge, number, lan, dockerd, members);
        this.#started.push(host);
        await host.startEtcd();
        await host.startSoradns();
        return host;
      }),
    );
    const [a, b, c] = started.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
    if (a && b && c) this.hosts = { a, b, c, all: [a, b, c] };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#started.map((host) => host.stop()));
    await this.#lan?.stop();
  }
}

interface Member {
  readonly name: string;
  readonly address: string;
}

class StartedHost implements Host {
  readonly name: string;
  readonly address: string;
  readonly bridge: string;
  readonly dns: SocketAddress;
  readonly dockerd: Dockerd;
  readonly #number: number;
  readonly #lan: Lan;
  readonly #members: readonly Member[];
  #etcd: Etcd | undefined;
  #soradns: CliProcess | undefined;

  constructor(
    name: string,
    bridge: string,
    number: number,
    lan: Lan,
    dockerd: Dockerd,
    members: readonly Member[],
  ) {
    this.name = name;
    this.bridge = bridge;
    this.address = dockerd.address;
    this.dns = { address: dockerd.address, port: 53 };
    this.dockerd = dockerd;
    this.#number = number;
    this.#lan = lan;
    this.#members = members;
  }

  get etcd(): Etcd {
    if (this.#etcd === undefined) throw new Error(`${this.name} has no etcd`);
    return this.#etcd;
  }

  get soradns(): CliProcess {
    if (this.#soradns === undefined) throw new Error(`${this.name} has no soradns`);
    return this.#soradns;
  }

  async startEtcd(): Promise<void> {
    const { name, address } = this;
    const peers = this.#members.map((each) => `${each.name}=http://${each.address}:${PEER_PORT}`);
    this.#etcd = await startEtcd({
      member: { name, peerPort: PEER_PORT, cluster: peers.join(',') },
      host: { address, port: CLIENT_PORT, onHost: (...line) => [...this.dockerd.onHost(...line)] },
    });
  }

  async startSoradns(): Promise<void> {
    const members = this.#members.map(({ address }) => `${address}:${CLIENT_PORT}`);
    const places = ['--addr', `${this.bridge}:53`, '--addr', `${this.address}:53`, '--no-rec'];
    const registrar = ['--register', '--register-lease-ttl', String(LEASE_TTL_SECONDS)];
    const args = ['serve', '--store', `etcd://${members.join(',')}`, ...places, ...registrar];
    const program = this.dockerd.onHost(process.execPath, MAIN);
    this.#soradns = startCli(args, { DOCKER_HOST: this.dockerd.host }, program);
    await this.#soradns.says('following docker');
  }

  inContainer({ dns, network }: ClientPlace, ...command: readonly string[]): Promise<string> {
    const servers = (dns ?? [this.bridge]).flatMap((server) => ['--dns', server]);
    const place = network === undefined ? [] : ['--network', network];
    return this.dockerd.docker('run', '--rm', ...servers, ...place, 'peer', ...command);
  }

  cut(): void {
    this.#lan.cut(this.#number);
  }

  mend(): void {
    this.#lan.mend(this.#number);
  }

  async stop(): Promise<void> {
    await this.#soradns?.end('SIGKILL');
    await this.#etcd?.stop();
    await this.dockerd.stop();
  }
}
