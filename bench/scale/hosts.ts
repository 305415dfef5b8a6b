/** Many hosts on one etcd: child processes with their mirrors and registrars, and the names that the registrars keep. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import type { Etcd } from '../../test/support/etcd.ts';
import {
  epochMs,
  HOSTS_PREFIX,
  type MirrorCheck,
  TIMED_PREFIX,
} from '../../test/support/hostMirrors.ts';
import { untilAnswered } from '../../test/support/untilAnswered.ts';
import { type LineChild, startLineChild } from '../lineChild.ts';
import type { HostsAnswer, HostsRequest } from './hostsMain.ts';

const PUTS_PER_TXN = 128;
const CONCURRENT_TXNS = 8;

type Child = LineChild<HostsRequest, HostsAnswer>;

export interface HostsSetup {
  readonly etcd: Etcd;
  readonly hosts: number;
  readonly processes: number;
  readonly leaseTtlSeconds: number;
}

export class Hosts {
  readonly #setup: HostsSetup;
  readonly #client: Etcd3;
  readonly #registrars: Child;
  readonly #mirrors: readonly Child[];

  constructor(setup: HostsSetup) {
    this.#setup = setup;
    this.#client = new Etcd3({ hosts: `http://${setup.etcd.endpoint}` });
    const open = (): Child => startLineChild('scale/hostsMain.ts', undefined);
    this.#registrars = open();
    this.#mirrors = Array.from({ length: setup.processes }, open);
  }

  /** Starts the registrars and puts the names on their leases. */
  async register(keys: number): Promise<void> {
    const { etcd, hosts, leaseTtlSeconds } = this.#setup;
    for (const child of [this.#registrars, ...this.#mirrors])
      await child.request({ kind: 'connect', endpoint: etcd.endpoint, leaseTtlSeconds });
    const { leases = [] } = await this.#registrars.request({
      ...{ kind: 'register', first: 0, count: hosts },
    });
    const left = transactions(keys, leases);
    const work = async (): Promise<void> => {
      for (const success of left) await untilAnswered(() => this.#client.kv.txn({ success }));
    };
    await Promise.all(Array.from({ length: CONCURRENT_TXNS }, work));
  }

  /** Renews every lease that often; resolves with the numbers of renewals and of calls without an answer. */
  async renew(times: number): Promise<{ readonly renewed: number; readonly unanswered: number }> {
    const { renewals } = await this.#registrars.request({ kind: 'renew', times });
    return renewals ?? { renewed: 0, unanswered: 0 };
  }

  /** Starts all mirrors at once. */
  async startMirrors(): Promise<void> {
    const { hosts, processes } = this.#setup;
    const count = (at: number): number =>
      Math.floor(((at + 1) * hosts) / processes) - Math.floor((at * hosts) / processes);
    await Promise.all(
      this.#mirrors.map((child, at) => child.request({ kind: 'start', count: count(at) })),
    );
  }

  async all(kind: 'cut' | 'restore' | 'close'): Promise<void> {
    await Promise.all(this.#mirrors.map((child) => child.request({ kind })));
  }

  /** Puts a timed key; resolves with its revision and the time of the request that etcd answered. */
  put(name = 'mark'): Promise<{ revision: number; atMs: number }> {
    return untilAnswered(() => this.#put(name));
  }

  async #put(name: string): Promise<{ revision: number; atMs: number }> {
    const atMs = epochMs();
    const value = serviceText(0, Math.floor(atMs));
    const { header } = await this.#client.kv.put({
      key: Buffer.from(`${TIMED_PREFIX}${name}`),
      value: Buffer.from(value),
    });
    return { revision: Number(header.revision), atMs };
  }

  /** Resolves with the times at which the mirrors had that revision. */
  async agree(revision: number): Promise<number[]> {
    const answers = await Promise.all(
      this.#mirrors.map((child) => child.request({ kind: 'agree', revision })),
    );
    return answers.flatMap(({ times }) => times ?? []);
  }

  /** Puts at a rate; resolves with the delays of each put at all mirrors. */
  async timedPuts(count: number, everyMs: number): Promise<number[][]> {
    const puts: { revision: number; atMs: number }[] = [];
    for (let i = 0; i < count; i++) {
      puts.push(await this.put(`put-${i % 10}`));
      await sleep(everyMs);
    }
    const revisions = puts.map(({ revision }) => revision);
    await this.agree(revisions.at(-1) ?? 0);
    const answers = await Promise.all(
      this.#mirrors.map((child) => child.request({ kind: 'arrivals', revisions })),
    );
    return puts.map(({ atMs }, i) =>
      answers.flatMap(({ arrivals }) => (arrivals?.[i] ?? []).map((at) => at - atMs)),
    );
  }

  /** Compares all mirrors with etcd. */
  async check(): Promise<MirrorCheck & { readonly leaseLosses: number }> {
    const { leaseLosses = 0 } = await this.#registrars.request({ kind: 'check' });
    const checks: MirrorCheck[] = [];
    for (const child of this.#mirrors) {
      const { check } = await child.request({ kind: 'check' });
      if (check !== undefined) checks.push(check);
    }
    const sum = (of: (check: MirrorCheck) => number): number =>
      checks.reduce((total, check) => total + of(check), 0);
    return {
      mirrors: sum(({ mirrors }) => mirrors),
      keys: checks[0]?.keys ?? 0,
      wrong: sum(({ wrong }) => wrong),
      missing: sum(({ missing }) => missing),
      losses: sum(({ losses }) => losses),
      relists: sum(({ relists }) => relists),
      failures: sum(({ failures }) => failures),
      leastSize: Math.min(...checks.map(({ leastSize }) => leastSize)),
      leaseLosses,
      reasons: checks[0]?.reasons ?? {},
    };
  }

  async close(): Promise<void> {
    this.#client.close();
    await Promise.all([this.#registrars, ...this.#mirrors].map((child) => child.close()));
  }
}

interface PutOp {
  readonly request_put: { readonly key: Buffer; readonly value: Buffer; readonly lease: string };
}

/** The names of all hosts, as their registrars write them. */
function* transactions(keys: number, leases: readonly string[]): Generator<PutOp[]> {
  let puts: PutOp[] = [];
  for (let i = 0; i < keys; i++) {
    const host = i % leases.length;
    const key = Buffer.from(`${HOSTS_PREFIX}local/skydns/service${Math.floor(i / 10)}/${i}`);
    const value = Buffer.from(serviceText(host, i));
    puts.push({ request_put: { key, value, lease: leases[host] ?? '0' } });
    if (puts.length < PUTS_PER_TXN) continue;
    yield puts;
    puts = [];
  }
  if (puts.length > 0) yield puts;
}

/** A value of a registrar, with its owner's stamp. */
function serviceText(host: number, container: number): string {
  const address = `10.${host >> 8}.${host & 255}.${container & 255}`;
  const owner = { r: `ENGINE:${host}`, c: container.toString(16).padStart(12, '0'), s: '0' };
  return JSON.stringify({ host: address, port: 8080, ttl: 30, owner });
}
