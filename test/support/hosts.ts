/** Tests that need several hosts: three for the file, with one etcd, and a skip with its reason where none can be. */
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
  /** For `test`: a skip with its reason where no Docker can run. */
  readonly options: { readonly skip?: string };
  /** For `test`: runs the body on the file's hosts, on which no containers run and where nothing is broken. */
  on(body: (hosts: Hosts) => Promise<void>): (context: TestContext) => Promise<void>;
}

export interface HostsSetup {
  /** Those whose soradns a test will start; all others' run from the beginning. */
  readonly later?: readonly string[];
}

/** The bridges are Docker's own choice twice, as on most hosts, and another one in between. */
const SETUPS: readonly HostSetup[] = [
  { name: 'a', number: 11, bridge: '172.17.0.1/16' },
  { name: 'b', number: 12, bridge: '172.30.1.1/24' },
  { name: 'c', number: 13, bridge: '172.17.0.1/16', liveRestore: true },
];

/** Starts the hosts before the file's tests and ends them after. */
export function useHosts({ later = [] }: HostsSetup = {}): HostTests {
  const reason = dockerSkipReason();
  const network = new HostNetwork();
  if (reason === undefined) {
    before(() => network.start(later));
    after(() => network.stop());
  }
  return {
    options: reason === undefined ? {} : { skip: reason },
    on: (body) => async () => {
      const [a, b, c] = network.hosts;
      if (!a || !b || !c) throw new Error('there are no hosts');
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

  /** What has come up before something does not is left for `stop`. */
  async start(later: readonly string[]): Promise<void> {
    const lan = startLan();
    this.#lan = lan;
    const created = await Promise.allSettled(SETUPS.map((setup) => createHost(setup, SETUPS, lan)));
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
