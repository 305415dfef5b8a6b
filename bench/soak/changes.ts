/**
 * Changes the names during a soak: addresses change, keys are put and deleted, containers start and die, and etcd is down
 * for a while. Each change enters the ledger before it begins, and is confirmed when the server must have applied it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import type { Etcd } from '../../test/support/etcd.ts';
import type { FakeDocker } from '../../test/support/fakeDocker.ts';
import { serviceValue } from '../names.ts';
import { addressOf, isPresent, type Ledger, SOAK_NAMES, type SoakName } from './ledger.ts';

/** The longest time from the acknowledgement, or from Docker's event, until the server answers with the change. */
const CONFIRM_MS = 2_000;
const CONTAINER_CONFIRM_MS = 6_000;
/** The longest time until server and registrar have reconnected to etcd: their backoff grows to 5 s. */
const RECOVERY_MS = 15_000;

const PERIOD_MS: Readonly<Record<'moves' | 'comes' | 'container', number>> = {
  moves: 10,
  comes: 50,
  container: 250,
};

interface PendingChange {
  readonly dueMs: number;
  readonly index: number;
  readonly state: number;
}

export class Changes {
  /** Number of changes so far. */
  count = 0;
  readonly #ledger: Ledger;
  readonly #etcd: Etcd;
  readonly #client: Etcd3;
  readonly #docker: FakeDocker;
  readonly #containers = new Map<number, string>();
  readonly #busy = new Set<number>();
  readonly #timers: NodeJS.Timeout[] = [];
  #pending: PendingChange[] = [];
  /** No change is confirmed before this time; infinite while etcd is down. */
  #confirmFromMs = 0;
  #stopped = false;

  constructor(ledger: Ledger, etcd: Etcd, docker: FakeDocker) {
    this.#ledger = ledger;
    this.#etcd = etcd;
    this.#client = new Etcd3({ hosts: `http://${etcd.endpoint}` });
    this.#docker = docker;
  }

  /** Writes the names that exist from the start. */
  async fill(): Promise<void> {
    const first = SOAK_NAMES.filter(
      ({ behaviour }) => behaviour === 'stays' || behaviour === 'moves',
    );
    for (const name of first) await this.#apply(name, 1);
    for (const { index } of first) this.#ledger.confirm(index, 1);
  }

  start(): void {
    for (const behaviour of ['moves', 'comes', 'container'] as const) this.#repeat(behaviour);
    this.#timers.push(setInterval(() => this.#confirmDue(), 20));
  }

  /** Stops changing names; resolves when pending changes are done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    while (this.#busy.size > 0) await sleep(10);
    this.#client.close();
  }

  /** Kills etcd and restarts it with its data after `awayMs`. */
  async interrupt(awayMs: number): Promise<void> {
    this.#confirmFromMs = Number.POSITIVE_INFINITY;
    await this.#etcd.kill();
    await sleep(awayMs);
    await this.#etcd.restart();
    this.#confirmFromMs = performance.now() + RECOVERY_MS;
  }

  #repeat(behaviour: keyof typeof PERIOD_MS): void {
    const names = SOAK_NAMES.filter((name) => name.behaviour === behaviour);
    let next = 0;
    const tick = (): void => {
      const name = names[next++ % names.length];
      if (name !== undefined && !this.#busy.has(name.index)) void this.#change(name);
    };
    this.#timers.push(setInterval(tick, PERIOD_MS[behaviour]));
  }

  async #change(name: SoakName): Promise<void> {
    this.#busy.add(name.index);
    const state = this.#ledger.newest(name.index) + (name.behaviour === 'moves' ? 2 : 1);
    await this.#apply(name, state);
    const graceMs = name.behaviour === 'container' ? CONTAINER_CONFIRM_MS : CONFIRM_MS;
    this.#pending.push({ dueMs: performance.now() + graceMs, index: name.index, state });
    this.count++;
    this.#busy.delete(name.index);
  }

  async #apply(name: SoakName, state: number): Promise<void> {
    this.#ledger.begin(name.index, state);
    if (name.behaviour === 'container') this.#toggleContainer(name, state);
    else await this.#write(name, state);
  }

  /** Retries until etcd acknowledges: after a failure the write may or may not be stored. */
  async #write({ key, index }: SoakName, state: number): Promise<void> {
    while (!this.#stopped) {
      try {
        if (isPresent(state))
          await this.#client.put(key).value(serviceValue(addressOf(index, state)));
        else await this.#client.delete().key(key);
        return;
      } catch {
        await sleep(100);
      }
    }
  }

  #toggleContainer({ index, name }: SoakName, state: number): void {
    if (isPresent(state)) {
      const env = { DNS_NAME: name, DNS_IP: addressOf(index, state), DNS_PORT: '80' };
      this.#containers.set(index, this.#docker.run({ env, publish: ['8080:80'] }));
      return;
    }
    const id = this.#containers.get(index) ?? '';
    this.#docker.stop(id);
    this.#docker.remove(id);
  }

  #confirmDue(): void {
    const nowMs = performance.now();
    if (nowMs < this.#confirmFromMs) return;
    this.#pending = this.#pending.filter(({ dueMs, index, state }) => {
      if (nowMs < dueMs) return true;
      this.#ledger.confirm(index, state);
      return false;
    });
  }
}
