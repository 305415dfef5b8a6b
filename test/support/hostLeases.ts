/**
 * The leases of many hosts' registrars in one process: each holds its lock and renews its lease with the registrar's own
 * code, over its own connection to etcd. The caller writes the names.
 */
import type { Self } from '../../src/registrar/leadership/identity.ts';
import { Leadership } from '../../src/registrar/leadership/leadership.ts';
import { answerWithinMs, Locks } from '../../src/registrar/leadership/locks.ts';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { asStoreError } from '../../src/store/store.ts';
import { systemClock } from '../../src/timing/clock.ts';
import { HOSTS_PREFIX } from './hostMirrors.ts';
import { until } from './until.ts';

interface OneRegistrar {
  readonly store: EtcdStore;
  readonly locks: Locks;
  readonly leadership: Leadership;
}

export class HostLeases {
  readonly #endpoint: string;
  readonly #leaseTtlSeconds: number;
  readonly #registrars: OneRegistrar[] = [];
  /** Leases that a registrar lost. */
  losses = 0;

  constructor(endpoint: string, leaseTtlSeconds: number) {
    this.#endpoint = endpoint;
    this.#leaseTtlSeconds = leaseTtlSeconds;
  }

  /** Starts the registrars of the hosts with these numbers; resolves with their leases. */
  async start(first: number, count: number): Promise<string[]> {
    for (let i = first; i < first + count; i++) this.#registrars.push(this.#open(i));
    let leases: string[] = [];
    const haveAll = (): boolean => {
      leases = this.#registrars.flatMap(({ leadership }) => {
        const state = leadership.state();
        return state.kind === 'held' ? [state.leaseId] : [];
      });
      return leases.length === this.#registrars.length;
    };
    await until('all registrars hold their leases', haveAll, 120_000);
    return leases;
  }

  /** Renews every lease that often, and returns the numbers of renewals and of calls without an answer. */
  async renew(times: number): Promise<{ renewed: number; unanswered: number }> {
    let renewed = 0;
    let unanswered = 0;
    const renewOne = async ({ store, leadership }: OneRegistrar): Promise<void> => {
      for (let i = 0; i < times; i++) {
        const state = leadership.state();
        if (state.kind !== 'held') continue;
        try {
          if (await store.renewLease(state.leaseId)) renewed++;
        } catch (error) {
          asStoreError(error);
          unanswered++;
        }
      }
    };
    await Promise.all(this.#registrars.map(renewOne));
    return { renewed, unanswered };
  }

  async close(): Promise<void> {
    for (const { store, locks, leadership } of this.#registrars) {
      locks.close();
      await leadership.close('keep').catch(() => undefined);
      await store.close();
    }
  }

  #open(number: number): OneRegistrar {
    const store = new EtcdStore({ endpoints: [this.#endpoint] });
    const self = selfOf(number);
    const engineId = `ENGINE:${number}`;
    const common = { store, engineId, clock: systemClock, random: Math.random };
    const { runId } = self;
    const leaseTtlSeconds = this.#leaseTtlSeconds;
    const answerMs = answerWithinMs(leaseTtlSeconds);
    const locks = new Locks({ ...common, runId, answerWithinMs: answerMs });
    const leadership = new Leadership({
      ...common,
      locks,
      registrar: { self: () => self },
      dryRun: false,
      leaseTtlSeconds,
      onIdentity: () => undefined,
      onChange: () => undefined,
      onEvent: ({ kind }) => {
        if (kind === 'leaseLost') this.losses++;
      },
    });
    locks.start();
    leadership.start();
    return { store, locks, leadership };
  }
}

function selfOf(number: number): Self {
  return {
    runId: `run-${number}`,
    host: `host-${number}`,
    bootKey: `boot-${number}`,
    profile: {
      name: `host-${number}`,
      rootDir: '/var/lib/docker',
      bootId: `boot-${number}`,
      endpoint: undefined,
      addresses: [`10.${number >> 8}.${number & 255}.1`],
      bridgeId: undefined,
      work: { prefix: HOSTS_PREFIX, zones: ['skydns.local'], metadata: 'environment' },
    },
    uptimeMs: undefined,
  };
}
