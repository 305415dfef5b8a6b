/** Machines whose engines have one id, and the findings of their registrars. */
import type { Machine } from '../../src/registrar/observe/self.ts';
import type { FakeContainer } from './fakeContainer.ts';
import { FakeEngine } from './fakeEngine.ts';
import {
  type FixtureSetup,
  named,
  type RegistrarFixture,
  type Running,
} from './registrarFixture.ts';

export const KERNEL = '6.1.0';

/** The key of a name in the zone skydns.local, below `/skydns/`. */
export const keyOf = (name: string): string => `local/skydns/${name}`;

/** A machine with one container and an engine whose id is the same at each site. */
export class Site {
  readonly engine: FakeEngine;
  readonly container: FakeContainer;
  readonly key: string;
  readonly #fixture: RegistrarFixture;
  readonly #setup: FixtureSetup;
  #bootId: string;
  #bootedAtMs: number;

  constructor(fixture: RegistrarFixture, name: string, { address, ...setup }: SiteSetup = {}) {
    this.#fixture = fixture;
    this.engine = new FakeEngine(fixture.clock);
    this.engine.engineInfo = { ...this.engine.engineInfo, kernel: KERNEL };
    this.#bootId = `boot of ${name}`;
    this.#bootedAtMs = fixture.clock.monotonicMs() - 3_600_000;
    const v4 = address ?? `192.0.2.${name.charCodeAt(0)}`;
    const readHostFacts = async () => ({ hostAddresses: { v4 }, ownNetworks: [] });
    this.#setup = { bootKey: undefined, host: name, readHostFacts, ...setup };
    this.container = this.engine.run(named(name));
    this.key = keyOf(name);
  }

  start(more: FixtureSetup = {}): Running {
    const bootedAtMs = this.#bootedAtMs;
    const machine: Machine = {
      bootId: this.#bootId,
      kernel: KERNEL,
      uptimeMs: () => this.#fixture.clock.monotonicMs() - bootedAtMs,
    };
    return this.#fixture.start({ engine: this.engine, machine, ...this.#setup, ...more });
  }

  /** The machine loses power and boots again. */
  reboot(running: Running): void {
    this.#fixture.kill(running);
    this.#bootId += ' again';
    this.#bootedAtMs = this.#fixture.clock.monotonicMs();
    this.engine.cutEvents();
  }
}

export interface SiteSetup extends FixtureSetup {
  readonly address?: string;
}

export const findingsOf = ({ registrar }: Running) => registrar.status().findings;
export const findingKindsOf = (running: Running) => findingsOf(running).map(({ kind }) => kind);
export const foundMessagesOf = ({ events }: Running): string[] =>
  events.flatMap((event) => (event.kind === 'found' ? [event.finding.message] : []));
