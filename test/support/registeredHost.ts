/** A host with a simulated engine and containers, whose real registrar writes to a real etcd. */
import { Registrar } from '../../src/registrar/registrar.ts';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import type { LeaseStore } from '../../src/store/store.ts';
import { systemClock } from '../../src/timing/clock.ts';
import type { FakeContainer } from './fakeContainer.ts';
import { FakeEngine } from './fakeEngine.ts';
import { HOSTS_PREFIX } from './hostMirrors.ts';
import { registrarContext } from './inspection.ts';
import { named } from './registrarFixture.ts';

export class RegisteredHost {
  readonly #number: number;
  readonly #engine: FakeEngine;
  readonly #containers: FakeContainer[] = [];
  #runs = 0;
  #running: { registrar: Registrar; store: LeaseStore } | undefined;

  constructor(number: number, containers: number) {
    this.#number = number;
    this.#engine = new FakeEngine(systemClock, number * 256 + 2);
    const { engineInfo } = this.#engine;
    this.#engine.engineInfo = { ...engineInfo, id: `ENGINE:${number}`, name: `host-${number}` };
    for (let i = 0; i < containers; i++) this.run();
  }

  /** Starts another container. */
  run(): void {
    const name = `c${this.#containers.length}.h${this.#number}`;
    this.#containers.push(this.#engine.run(named(name)));
  }

  /** The stored keys of its containers with their addresses. */
  wanted(): [string, string][] {
    return this.#containers.map((container, i) => [
      `${HOSTS_PREFIX}local/skydns/h${this.#number}/c${i}`,
      container.networks.get('bridge')?.ip ?? '',
    ]);
  }

  start(endpoint: string): void {
    const host = `host-${this.#number}`;
    const store = new EtcdStore({ endpoints: [endpoint] });
    const registrar = new Registrar({
      engine: this.#engine,
      store,
      context: registrarContext({ mode: 'internal' }),
      readHostFacts: async () => ({ hostAddresses: {}, ownNetworks: [] }),
      probe: async () => true,
      runId: `${host} run ${++this.#runs}`,
      host,
      bootKey: `boot of ${host}`,
    });
    registrar.start();
    this.#running = { registrar, store };
  }

  async end(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.registrar.close({ onExit: 'keep', lingerMs: 0 });
    await running?.store.close();
  }
}
