/** Tests that need several hosts: three hosts with one etcd cluster for each file, and a skip where they cannot run. */
import { after, before, type TestContext } from 'node:test';
import { dockerSkipReason } from './dockerTest.ts';
import { createHost, type Host, type HostSetup } from './host.ts';
import { type Lan, startLan } from './hostNetwork.ts';

export interface Hosts {
  readonly a: Host;
  readonly b: Host;
  readonly c: Host;
}

export interface HostTests {
  /** Options for `test`: a skip with its reason where Docker cannot run. */
  readonly options: { readonly skip?: string };
  /** Body for `test`: runs `body` with the file's hosts, when they have no containers and all their programs run. */
  on(body: (hosts: Hosts) => Promise<void>): (context: TestContext) => Promise<void>;
}

export interface HostsSetup {
  /** Hosts whose soradns a test starts; the others' start with the file. */
  readonly later?: readonly string[];
  /** More options of every host's `soradns up`. */
  readonly options?: readonly string[];
  /** More of them, by the host's name. */
  readonly optionsOf?: Readonly<Record<string, readonly string[]>>;
  /** More settings of dockerd, by the host's name. */
  readonly dockerConfig?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Two hosts have Docker's default bridge, as most hosts do, and one has another. */
const SETUPS: readonly HostSetup[] = [
  { name: 'a', number: 11, bridge: '172.17.0.1/16' },
  { name: 'b', number: 12, bridge: '172.30.1.1/24' },
  { name: 'c', number: 13, bridge: '172.17.0.1/16', liveRestore: true },
];

/** Starts the hosts before the file's tests and stops them afterwards. */
export function useHosts(setup: HostsSetup = {}): HostTests {
  const reason = dockerSkipReason();
  const network = new HostNetwork();
  if (reason === undefined) {
    before(() => network.start(setup));
    after(() => network.stop());
  }
  return {
    options: reason === undefined ? {} : { skip: reason },
    on: (body) => async () => {
      const [a, b, c] = network.hosts;
      if (!a || !b || !c) throw new Error('the hosts are not started');
      try {
        await body({ a, b, c });
      } catch (error) {
        for (const host of network.hosts) console.log(`${host.name}: ${host.logTail()}`);
        throw error;
      } finally {
        await Promise.all(network.hosts.map((host) => host.repair()));
        await Promise.all(network.hosts.map((host) => host.dockerd.clear()));
      }
    },
  };
}

class HostNetwork {
  hosts: readonly Host[] = [];
  #lan: Lan | undefined;

  /** On failure `stop` removes the hosts that have started. */
  async start({
    later = [],
    options = [],
    optionsOf = {},
    dockerConfig = {},
  }: HostsSetup): Promise<void> {
    const lan = startLan();
    this.#lan = lan;
    const setups = SETUPS.map((setup) => {
      const { name } = setup;
      const own = [...options, ...(optionsOf[name] ?? [])];
      return { ...setup, options: own, dockerConfig: dockerConfig[name] ?? {} };
    });
    const created = await Promise.allSettled(setups.map((setup) => createHost(setup, setups, lan)));
    this.hosts = created.flatMap((host) => (host.status === 'fulfilled' ? [host.value] : []));
    for (const host of created) if (host.status === 'rejected') throw host.reason;
    await Promise.all(this.hosts.map((host) => host.startEtcd()));
    const soon = this.hosts.filter(({ name }) => !later.includes(name));
    await Promise.all(soon.map((host) => host.startSoradns()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.stop()));
    await this.#lan?.stop();
  }
}
